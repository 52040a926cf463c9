#include "trainer/data/lines.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/checksum.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/watch.h"

enum { STRIDE = 1 << 20, PIECE = 1 << 20, FIRST = 4096 };

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

/* Up to n bytes from byte `at` on, fewer only at the file's end; -1: errno says why not. */
static ssize_t read_at(const struct lines *l, char *out, size_t n, uint64_t at)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(l->fd, out + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (ssize_t)done;
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

/* --- once through --- */

struct walk {
    struct lines *l;
    uint64_t at; /* byte of the file at which the buffer begins: a line's first */
    size_t have; /* bytes in the buffer */
    bool end;    /* of the file: no more can be read */
    struct checksum *sum;
    double said;
};

/* One line in STRIDE bytes is noted, so that any line's number is found by reading that many. */
static void note_mark(struct lines *l, uint64_t at)
{
    if (l->marks > 0 && at < l->mark[l->marks - 1].at + STRIDE) return;
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
    ssize_t got = read_at(l, l->buffer + w->have, l->room - w->have, w->at + w->have);
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
    return ok;
}

/* --- one by one --- */

/* A line has no known length: twice as much is read until its end is found. */
const char *lines_at(struct lines *l, uint64_t at, size_t *n)
{
    ssize_t have = 0;
    const char *stop = NULL;
    for (size_t want = FIRST; !stop; want *= 2) {
        grow(l, want);
        ssize_t got = read_at(l, l->buffer + have, want - (size_t)have, at + (size_t)have);
        SYS_OK(got >= 0 && have + got > 0, "give the job the file that it began with",
               "cannot read the line at byte %llu of %s", (unsigned long long)at, l->path);
        stop = memchr(l->buffer + have, '\n', (size_t)got);
        have += got;
        if ((size_t)have < want) break;
    }
    *n = without_return(l->buffer, stop ? (size_t)(stop - l->buffer) : (size_t)have);
    return l->buffer;
}

/* From the nearest mark before it, lines are counted: numbers are only needed for messages. */
int lines_number(struct lines *l, uint64_t at)
{
    size_t low = 0, high = l->marks;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(l->mark[middle].at <= at ? &low : &high) = middle;
    }
    if (l->marks == 0) return 0;
    int number = l->mark[low].number;
    for (uint64_t from = l->mark[low].at; from < at;) {
        size_t want = at - from < PIECE ? (size_t)(at - from) : PIECE;
        grow(l, PIECE);
        ssize_t got = read_at(l, l->buffer, want, from);
        if (got <= 0) break;
        for (ssize_t i = 0; i < got; i++) number += l->buffer[i] == '\n';
        from += (uint64_t)got;
    }
    return number;
}
