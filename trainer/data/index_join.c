/* See index.h and index_row.h: the rows of all ranks, piece after piece. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "trainer/data/heldout.h"
#include "trainer/data/index.h"
#include "trainer/data/index_row.h"
#include "trainer/data/problem.h"

struct join {
    const struct index_job *job;
    struct data_index *x;
    struct problems *problems;
    struct hashes met; /* held-out records */
    size_t *at;        /* (size) where each rank's next row begins */

    /* of the file */
    int file, bad;
    bool failed;
};

/* Held-out problems are told apart in the order of the files. */
static void add_heldout(struct join *j, const struct index_heldout *h, int n, uint64_t before)
{
    struct number_set *s = &j->x->split[SPLIT_HELDOUT];
    for (int i = 0; i < n; i++) {
        if (j->job->large && j->met.n >= LARGE_HELDOUT) return;
        if (hashes_add(&j->met, h[i].hash)) number_set_add(s, before + (uint64_t)h[i].line - 1);
    }
}

/* Only the first of a file's bad lines are named. */
static void add_complaints(struct join *j, const struct index_complaint *c, int n, int before)
{
    const char *file = j->x->file[j->file].path;
    for (int i = 0; i < n; i++) {
        int line = before + (int)c[i].line, nth = j->bad + i;
        if (c[i].line == 0) {
            problems_add(j->problems, file, 0, "%s", c[i].why);
            j->failed = true;
        } else if (nth >= COMPLAINTS) {
            return;
        } else if (j->job->skip) {
            log_info("%s:%d: left out: %s", file, line, c[i].why);
        } else {
            problems_add(j->problems, file, line, "%s", c[i].why);
        }
    }
}

/* Returns the bytes of the row and what follows it. */
static size_t add_row(struct join *j, const struct index_row *row)
{
    const uint64_t *train = (const uint64_t *)(row + 1);
    const struct index_heldout *heldout = (const void *)(train + index_words(row->lines.n));
    const struct index_complaint *complaint = (const void *)(heldout + row->heldout);
    struct lines *l = &j->x->file[j->file];
    const int lines = l->n;
    const uint64_t before = j->x->lines[j->file] + (uint64_t)lines;
    if (row->lines.n > INT_MAX - lines) {
        if (!j->failed)
            problems_add(j->problems, l->path, 0, "the file has more than %d lines", INT_MAX);
        j->failed = true;
    }
    if (!j->failed) {
        number_set_add_bits(&j->x->split[SPLIT_TRAIN], before, train, (size_t)row->lines.n);
        add_heldout(j, heldout, row->heldout, before);
        lines_join(l, &row->lines);
        j->x->records += row->records;
    }
    add_complaints(j, complaint, row->complaints, lines);
    j->bad += row->bad;
    const char *end = (const char *)(complaint + row->complaints);
    return (size_t)(end - (const char *)row);
}

/* What is wrong with a file is said when all of it is known. */
static void say_file(const struct join *j, int problems, int records)
{
    const struct lines *l = &j->x->file[j->file];
    struct problems *p = j->problems;
    if (j->failed) return;
    if (j->bad >= COMPLAINTS && !j->job->skip)
        problems_add(p, l->path, 0, "%d bad lines; the rest was not read", COMPLAINTS);
    else if (j->x->records == records && p->n == problems)
        problems_add(p, l->path, 0, "the file has no problems");
    else if (j->bad > 0 && j->job->skip)
        log_info("%s: warning: %d of %d lines are bad and left out (data.bad_lines is skip)",
                 l->path, j->bad, l->n);
    if (j->job->large) log_info("%s: %d records", l->path, j->x->records - records);
}

/* Pieces of all files are dealt to the ranks in turn, so the next row is that of rank number %
 * size. The sum of a file is of its pieces' sums: it does not depend on who has read them. */
static void join_file(struct join *j, const struct index_parts *parts, uint64_t *number)
{
    struct lines *l = &j->x->file[j->file];
    const int problems = j->problems->n, records = j->x->records;
    struct checksum *sum = checksum_new();
    j->bad = 0;
    j->failed = false;
    for (uint64_t i = lines_pieces(l); i > 0; i--) {
        int rank = (int)((*number)++ % (uint64_t)parts->size);
        const struct index_row *row =
            (const void *)(parts->bytes + parts->offset[rank] + j->at[rank]);
        checksum_add(sum, &row->sum, sizeof row->sum);
        j->at[rank] += add_row(j, row);
    }
    l->sum = checksum_value(sum);
    checksum_free(sum);
    lines_settle(l);
    j->x->lines[j->file + 1] = j->x->lines[j->file] + (uint64_t)l->n;
    say_file(j, problems, records);
}

/* All files are joined even after one is bad: its mistakes come with those of the others. */
bool index_join(struct data_index *x, const struct index_job *job, const struct index_parts *parts,
                struct problems *p)
{
    struct join j = {.job = job, .x = x, .problems = p};
    const int before = p->n;
    uint64_t number = 0;
    j.at = memory_take((size_t)parts->size, sizeof *j.at, "an index of lines");
    for (j.file = 0; j.file < x->files; j.file++) join_file(&j, parts, &number);
    for (int k = 0; k < 2; k++) number_set_count(&x->split[k]);
    hashes_free(&j.met);
    free(j.at);
    return p->n == before;
}

void index_free(struct data_index *x)
{
    for (int i = 0; i < x->files; i++) lines_close(&x->file[i]);
    for (int k = 0; k < 2; k++) number_set_free(&x->split[k]);
    host_copy_free(&x->copy);
    free(x->file);
    free(x->lines);
    *x = (struct data_index){.files = 0};
}
