/* See index.h and index_row.h: a rank goes through its pieces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/watch.h"
#include "trainer/data/heldout.h"
#include "trainer/data/index.h"
#include "trainer/data/index_row.h"
#include "trainer/data/problem.h"

/* Bytes that grow. */
struct bytes {
    unsigned char *at;
    size_t n, room;
};

static void bytes_reserve(struct bytes *b, size_t room)
{
    if (room <= b->room) return;
    b->room = room;
    b->at = realloc(b->at, room);
    SYS_OK(b->at, "give the job more memory", "no memory for %zu bytes of an index", room);
}

static void bytes_add(struct bytes *b, const void *from, size_t n)
{
    if (b->n + n > b->room) bytes_reserve(b, b->n + n + b->n / 4 + 4096);
    if (n > 0) memcpy(b->at + b->n, from, n);
    b->n += n;
}

struct part {
    const struct index_job *job;
    const struct data_index *x;
    struct example read;
    struct hashes met; /* held-out records of this rank */
    struct bytes out;
    int file, bad; /* bad lines of the file that this rank has met */
    bool stopped;  /* the rest of the file is not read: enough is wrong with it */

    /* of the piece */
    struct index_row row;
    struct number_set train;
    struct bytes heldout;
    struct index_complaint complaint[COMPLAINTS];
};

/* Records that differ neither in prompt nor in answer are one problem. */
static uint64_t record_hash(const struct example *r)
{
    const char *answer = r->answer ? r->answer : r->chosen;
    return problem_hash(r->prompt) * 31 + problem_hash(answer ? answer : "");
}

static enum split split_of(const struct part *p)
{
    if (p->job->apart) return p->file < p->x->training ? SPLIT_TRAIN : SPLIT_HELDOUT;
    return problem_split(p->read.prompt);
}

/* The first of a file that any rank meets are among the first that each meets. */
static void complain(struct part *p, int line, const char *why)
{
    struct index_complaint *c = &p->complaint[p->row.complaints];
    p->row.bad += line > 0;
    if (line > 0 && ++p->bad > COMPLAINTS) return;
    *c = (struct index_complaint){.line = line};
    snprintf(c->why, sizeof c->why, "%s", why);
    p->row.complaints++;
    p->stopped = line == 0 || (!p->job->skip && p->bad == COMPLAINTS);
}

/* A record that this rank has met before, or that comes behind as many as there may be, is not held
 * out whatever other ranks meet: those were before it in the files, too. */
static void add_heldout(struct part *p, int line)
{
    if (p->job->large && p->met.n >= LARGE_HELDOUT) return;
    struct index_heldout h = {record_hash(&p->read), line};
    if (!hashes_add(&p->met, h.hash)) return;
    bytes_add(&p->heldout, &h, sizeof h);
    p->row.heldout++;
}

/* Called for every line of the piece; false ends it: enough is wrong with the file. */
static bool index_line(void *ctx, const struct line *line)
{
    struct part *p = ctx;
    char why[EXAMPLE_WHY];
    if (!example_read(&p->read, line->text, line->n, p->job->fields, why)) {
        complain(p, line->number, why);
        return !p->stopped;
    }
    p->row.records++;
    if (split_of(p) == SPLIT_HELDOUT)
        add_heldout(p, line->number);
    else
        number_set_add(&p->train, (uint64_t)line->number - 1);
    return true;
}

static void put_row(struct part *p)
{
    static const uint64_t none[64];
    size_t words = index_words(p->row.lines.n), some = p->train.words;
    bytes_add(&p->out, &p->row, sizeof p->row);
    bytes_add(&p->out, p->train.word, (some < words ? some : words) * sizeof *none);
    for (size_t n; some < words; some += n) {
        n = words - some < 64 ? words - some : 64;
        bytes_add(&p->out, none, n * sizeof *none);
    }
    bytes_add(&p->out, p->heldout.at, p->heldout.n);
    bytes_add(&p->out, p->complaint, (size_t)p->row.complaints * sizeof *p->complaint);
}

/* A row of each piece, also of those that are not read. */
static void read_piece(struct part *p, struct lines *l, uint64_t from)
{
    char why[LINES_WHY];
    memset(&p->row, 0, sizeof p->row);
    p->row.lines.from = from;
    p->row.lines.to = from + LINES_PIECE < l->bytes ? from + LINES_PIECE : l->bytes;
    p->heldout.n = 0;
    if (p->train.words > 0) memset(p->train.word, 0, p->train.words * sizeof *p->train.word);
    if (!p->stopped) {
        if (lines_piece(l, &p->row.lines, index_line, p, why))
            p->row.sum =
                checksum(lines_piece_bytes(l, &p->row.lines), (size_t)(p->row.lines.to - from), 0);
        else
            complain(p, 0, why);
    }
    put_row(p);
}

/* Rows are about as long as the first one: room for all of them, so that they need not move. */
static void expect_rows(struct part *p, int size)
{
    uint64_t pieces = 0;
    for (int i = 0; i < p->x->files; i++) pieces += lines_pieces(&p->x->file[i]);
    bytes_reserve(&p->out, (size_t)(pieces / (uint64_t)size + 1) * (p->out.n + p->out.n / 8));
}

/* Pieces are numbered over all files, so that many small files are shared out, too. */
unsigned char *index_part(struct data_index *x, const struct index_job *job, int rank, int size,
                          size_t *n)
{
    struct part *p = memory_take(1, sizeof *p, "an index of lines");
    p->job = job;
    p->x = x;
    double said = clock_now();
    uint64_t number = 0;
    for (p->file = 0; p->file < x->files; p->file++) {
        struct lines *l = &x->file[p->file];
        p->stopped = false;
        p->bad = 0;
        for (uint64_t i = 0; i < lines_pieces(l); i++) {
            if (number++ % (uint64_t)size != (uint64_t)rank) continue;
            read_piece(p, l, i * LINES_PIECE);
            if (number <= (uint64_t)size) expect_rows(p, size);
            if (watchdog_long(&said))
                log_info("%s: %.1f of %.1f MiB read", l->path, (double)p->row.lines.to / 0x1p20,
                         (double)l->bytes / 0x1p20);
        }
        lines_settle(l);
    }
    unsigned char *bytes = p->out.at;
    *n = p->out.n;
    number_set_free(&p->train);
    hashes_free(&p->met);
    example_free(&p->read);
    free(p->heldout.at);
    free(p);
    return bytes;
}
