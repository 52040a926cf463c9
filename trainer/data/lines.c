#include "trainer/data/lines.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/file.h"
#include "comm/base/die.h"
#include "comm/base/memory.h"

enum { STRIDE = LINES_STRIDE, MOST_MARKS = 1 << 20 };

bool lines_open(struct lines *l, const struct input *in, struct problems *p)
{
    *l = (struct lines){.path = in->path, .fd = -1};
    l->fd = input_open(in, &l->bytes, p);
    return l->fd >= 0;
}

void lines_close(struct lines *l)
{
    if (l->path && l->fd >= 0) close(l->fd);
    lines_lend(l, NULL, 0);
    free(l->buffer);
    *l = (struct lines){.fd = -1};
}

static void grow(struct lines *l, size_t room)
{
    if (room <= l->room) return;
    l->buffer = realloc(l->buffer, room);
    SYS_OK(l->buffer, "give the job more memory", "no memory for a line of %zu bytes of %s", room,
           l->path);
    l->room = room;
}

static bool is_blank(const char *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (at[i] != ' ' && at[i] != '\t' && at[i] != '\r') return false;
    return true;
}

static size_t without_return(const char *at, size_t n)
{
    return n > 0 && at[n - 1] == '\r' ? n - 1 : n;
}

/* --- piece by piece --- */

/* The buffer holds the bytes of the file before `to`; where it did already, some more of them. */
static bool reach(struct lines *l, uint64_t to, char why[LINES_WHY])
{
    enum { MORE = 64 << 10, MANY = 8 << 20 };
    uint64_t end = l->from + l->have, wanted = end < to ? to : end + MORE;
    if (end >= to && l->have > MANY) wanted = end + l->have / 2;
    if (wanted > l->bytes) wanted = l->bytes;
    size_t n = (size_t)(wanted - end);
    if (l->have + n > l->room) grow(l, l->have + n + MORE);
    ssize_t got = file_read_at(l->fd, l->buffer + l->have, n, end);
    l->read += n;
    if (got == (ssize_t)n) {
        l->have += n;
        return true;
    }
    snprintf(why, LINES_WHY, "cannot be read from byte %llu on: %s", (unsigned long long)end,
             got < 0 ? strerror(errno) : "it has become shorter");
    return false;
}

/* Where the first line that begins in the piece stands in the buffer: behind a line break, be that
 * the last byte before the piece. */
static bool piece_begin(struct lines *l, const struct lines_piece *piece, size_t *at,
                        char why[LINES_WHY])
{
    l->from = piece->from > 0 ? piece->from - 1 : 0;
    l->have = 0;
    if (!reach(l, piece->to, why)) return false;
    if (piece->from == 0) {
        *at = l->have >= 3 && memcmp(l->buffer, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        return true;
    }
    const char *stop = memchr(l->buffer, '\n', l->have);
    *at = stop ? (size_t)(stop + 1 - l->buffer) : l->have;
    return true;
}

/* The line break of the line at `at`, which may lie beyond the piece; NULL: the file ends first. */
static bool line_end(struct lines *l, size_t at, const char **stop, char why[LINES_WHY])
{
    for (size_t looked = at; !(*stop = memchr(l->buffer + looked, '\n', l->have - looked));) {
        looked = l->have;
        if (l->from + l->have >= l->bytes) return true;
        if (!reach(l, 0, why)) return false;
    }
    return true;
}

static void piece_mark(struct lines_piece *piece, uint64_t at)
{
    int n = piece->marks;
    if (n > 0 && at < piece->mark[n - 1].at + LINES_STRIDE) return;
    piece->mark[n] = (struct line_mark){at, piece->n};
    piece->marks++;
}

/* A line belongs to the piece in which it begins, so each is of just one. */
bool lines_piece(struct lines *l, struct lines_piece *piece,
                 bool (*line)(void *ctx, const struct line *line), void *ctx, char why[LINES_WHY])
{
    size_t at;
    piece->n = piece->marks = 0;
    if (!piece_begin(l, piece, &at, why)) return false;
    for (bool more = true; more && l->from + at < piece->to;) {
        const char *stop;
        if (!line_end(l, at, &stop, why)) return false;
        const char *text = l->buffer + at;
        size_t whole = stop ? (size_t)(stop - text) : l->have - at;
        const struct line one = {text, without_return(text, whole), l->from + at, ++piece->n};
        piece_mark(piece, one.at);
        if (!is_blank(one.text, one.n)) more = line(ctx, &one);
        at += whole + (stop != NULL);
    }
    return true;
}

const char *lines_piece_bytes(const struct lines *l, const struct lines_piece *piece)
{
    return l->buffer + (piece->from - l->from);
}

static uint64_t stride_of(const struct lines *l)
{
    return l->bytes / MOST_MARKS > STRIDE ? l->bytes / MOST_MARKS : STRIDE;
}

static void note_mark(struct lines *l, uint64_t at)
{
    if (l->marks > 0 && at < l->mark[l->marks - 1].at + stride_of(l)) return;
    if ((l->marks & (l->marks + 1)) == 0) {
        l->mark = realloc(l->mark, 2 * (l->marks + 1) * sizeof *l->mark);
        SYS_OK(l->mark, "give the job more memory", "no memory for the lines of %s", l->path);
    }
    l->mark[l->marks++] = (struct line_mark){at, l->n};
}

void lines_join(struct lines *l, const struct lines_piece *piece)
{
    int before = l->n;
    for (int i = 0; i < piece->marks; i++) {
        l->n = before + piece->mark[i].number;
        note_mark(l, piece->mark[i].at);
    }
    l->n = before + piece->n;
}

/* What the buffer holds is forgotten. */
void lines_settle(struct lines *l)
{
    struct line_mark *mark = l->marks ? realloc(l->mark, l->marks * sizeof *mark) : NULL;
    if (mark) l->mark = mark;
    free(l->buffer);
    l->buffer = NULL;
    l->room = l->have = 0;
}

void lines_lend(struct lines *l, struct line_mark *mark, size_t marks)
{
    if (!l->lent) free(l->mark);
    l->mark = mark;
    l->marks = marks;
    l->lent = true;
}

/* --- one by one --- */

/* The last line noted at or before a byte, or a line, of the file. */
static size_t mark_before(const struct lines *l, uint64_t at, int number)
{
    size_t low = 0, high = l->marks;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(l->mark[middle].at <= at && l->mark[middle].number <= number ? &low : &high) = middle;
    }
    return low;
}

/* As many lines as there were, the last of them whole: else another would be taken for the one that
 * is meant. */
static bool as_before(const struct lines *l, size_t mark)
{
    bool last = mark + 1 == l->marks;
    int lines = (last ? l->n + 1 : l->mark[mark + 1].number) - l->mark[mark].number, found = 0;
    const char *at = l->buffer, *end = at + l->have, *stop;
    for (; at < end && (stop = memchr(at, '\n', (size_t)(end - at))); at = stop + 1) found++;
    return last ? found + (at < end) == lines : at == end && found == lines;
}

/* The lines from a mark to the next one, all of them whole, into the buffer. */
static void load(struct lines *l, size_t mark)
{
    uint64_t from = l->mark[mark].at, to = mark + 1 < l->marks ? l->mark[mark + 1].at : l->bytes;
    size_t n = (size_t)(to - from);
    if (l->have == n && l->from == from) return;
    grow(l, n);
    l->have = 0;
    ssize_t got = file_read_at(l->fd, l->buffer, n, from);
    l->read += n;
    SYS_OK(got == (ssize_t)n, "give the job the file that it began with",
           "cannot read the lines at byte %llu of %s", (unsigned long long)from, l->path);
    l->from = from;
    l->have = n;
    l->last_line = l->mark[mark];
    SYS_OK(as_before(l, mark), "leave a file alone while a job reads it",
           "%s has changed since the job began: other lines are at byte %llu", l->path,
           (unsigned long long)from);
}

/* What is left of the buffer from a byte of the file on, which it holds. */
static const char *held(const struct lines *l, uint64_t at, size_t *left)
{
    size_t skip = (size_t)(at - l->from);
    INVARIANT(skip <= l->have, "byte %zu of %zu", skip, l->have);
    *left = l->have - skip;
    return l->buffer + skip;
}

const char *lines_at(struct lines *l, uint64_t at, size_t *n)
{
    load(l, mark_before(l, at, INT_MAX));
    const char *text = held(l, at, n), *stop = memchr(text, '\n', *n);
    *n = without_return(text, stop ? (size_t)(stop - text) : *n);
    return text;
}

/* Lines are asked for in their order more often than not: the search goes on where the last one
 * ended. */
const char *lines_numbered(struct lines *l, int number, uint64_t *at, size_t *n)
{
    load(l, mark_before(l, UINT64_MAX, number));
    if (number < l->last_line.number) l->last_line = l->mark[mark_before(l, l->from, INT_MAX)];
    size_t left;
    const char *text = held(l, l->last_line.at, &left);
    for (; l->last_line.number < number; l->last_line.number++) {
        const char *stop = memchr(text, '\n', left);
        INVARIANT(stop, "no line %d at byte %llu", number, (unsigned long long)l->from);
        left -= (size_t)(stop + 1 - text);
        text = stop + 1;
    }
    *at = l->last_line.at = l->from + (l->have - left);
    return lines_at(l, *at, n);
}

/* Counted from the nearest mark before it. */
int lines_number(struct lines *l, uint64_t at)
{
    if (l->marks == 0) return 0;
    size_t mark = mark_before(l, at, INT_MAX), left;
    load(l, mark);
    int number = l->mark[mark].number;
    const char *end = held(l, at, &left);
    for (const char *c = l->buffer; c < end; c++) number += *c == '\n';
    return number;
}
