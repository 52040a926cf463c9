#include "trainer/data/lines.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/checksum.h"
#include "comm/base/file.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/watch.h"

enum { STRIDE = 16 << 10, MOST_MARKS = 1 << 20, PIECE = 1 << 20 };

bool lines_open(struct lines *l, const struct input *in, struct problems *p)
{
    *l = (struct lines){.path = in->path, .fd = -1};
    l->fd = input_open(in, &l->bytes, p);
    return l->fd >= 0;
}

void lines_close(struct lines *l)
{
    if (l->path && l->fd >= 0) close(l->fd);
    free(l->mark);
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

/* Lists and buffers that grew by doubling; what the buffer holds is forgotten. */
static void give_back(struct lines *l)
{
    struct line_mark *mark = l->marks ? realloc(l->mark, l->marks * sizeof *mark) : NULL;
    if (mark) l->mark = mark;
    free(l->buffer);
    l->buffer = NULL;
    l->room = l->have = 0;
}

/* --- once through --- */

struct walk {
    struct lines *l;
    uint64_t at; /* byte of the file at which the buffer begins: a line's first */
    size_t have; /* bytes in the buffer */
    bool end;    /* of the file: no more can be read */
    struct checksum *sum;
    double said;
};

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

/* Fills the buffer; a line longer than it makes it grow. */
static bool fill(struct walk *w, struct problems *p)
{
    struct lines *l = w->l;
    if (w->have == l->room || l->room < PIECE) grow(l, l->room < PIECE ? PIECE : 2 * l->room);
    ssize_t got = file_read_at(l->fd, l->buffer + w->have, l->room - w->have, w->at + w->have);
    if (got < 0) {
        problems_add(p, l->path, 0, "cannot be read from byte %llu on: %s",
                     (unsigned long long)(w->at + w->have), strerror(errno));
        return false;
    }
    w->end = (size_t)got < l->room - w->have;
    checksum_add(w->sum, l->buffer + w->have, (size_t)got);
    w->have += (size_t)got;
    watchdog_feed();
    if (clock_now() > w->said + 5) {
        w->said = clock_now();
        log_info("%s: %.1f of %.1f MiB read", l->path, (double)(w->at + w->have) / 0x1p20,
                 (double)l->bytes / 0x1p20);
    }
    return true;
}

/* Forgets the lines before byte `used` of the buffer. */
static void move_on(struct walk *w, size_t used)
{
    w->have -= used;
    memmove(w->l->buffer, w->l->buffer + used, w->have);
    w->at += used;
}

/* Hands on the lines that are whole. */
static bool hand_on(struct walk *w,
                    bool (*line)(void *ctx, const char *text, size_t n, uint64_t at, int number),
                    void *ctx)
{
    struct lines *l = w->l;
    size_t used = 0;
    bool more = true;
    while (more && used < w->have && l->n < INT_MAX) {
        const char *from = l->buffer + used, *stop = memchr(from, '\n', w->have - used);
        size_t whole = stop ? (size_t)(stop - from) : w->have - used,
               n = without_return(from, whole);
        if (!stop && !w->end) break;
        l->n++;
        note_mark(l, w->at + used);
        if (whole > l->longest) l->longest = whole;
        if (!is_blank(from, n)) more = line(ctx, from, n, w->at + used, l->n);
        used += whole + (stop != NULL);
    }
    move_on(w, used);
    return more;
}

/* In one pass, with the sum of all bytes; a byte order mark before the first line is none of it. */
bool lines_each(struct lines *l,
                bool (*line)(void *ctx, const char *text, size_t n, uint64_t at, int number),
                void *ctx, struct problems *p)
{
    struct walk w = {.l = l, .sum = checksum_new(), .said = clock_now()};
    bool ok = true;
    for (bool more = true; more && !w.end && ok;) {
        ok = fill(&w, p);
        if (ok && w.at == 0 && w.have >= 3 && memcmp(l->buffer, "\xef\xbb\xbf", 3) == 0)
            move_on(&w, 3);
        if (ok) more = hand_on(&w, line, ctx);
    }
    l->sum = checksum_value(w.sum);
    checksum_free(w.sum);
    give_back(l);
    return ok;
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
