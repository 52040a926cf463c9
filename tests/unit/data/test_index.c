/* The index of files of problems, its pieces read by pretended ranks: what comes out is the same
 * whoever read which piece, and what a rank reads and has found is its share. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "comm/base/log.h"
#include "comm/base/rng.h"
#include "trainer/data/index.h"
#include "trainer/data/problem.h"
#include "tests/support/check_unit.h"

enum { FILES = 3, RANKS_MOST = 16 };
static char path[FILES][64];
static struct fields fields;

/* Lines of all lengths; some prompts come again, here and in other files; every bad-th line is no
 * record. */
static void write_file(int file, int lines, int bad)
{
    snprintf(path[file], 64, "/tmp/duet-index-XXXXXX");
    FILE *f = fdopen(mkstemp(path[file]), "w");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < lines; i++) {
        uint64_t x = rng_bits(6, (struct rng_at){RNG_TEST, (uint32_t)file, (uint32_t)i, 0, 0});
        int length = i % 997 == 5 ? 300000 : (int)(x % 700);
        if (bad > 0 && i % bad == bad - 1)
            fputs("{\"prompt\":\n", f);
        else if (i % 31 == 7)
            fputs("\n", f);
        else
            fprintf(f, "{\"prompt\":\"%d %0*d\",\"answer\":\"1\"}\n", (int)(x % 5000), length, 0);
    }
    fclose(f);
}

static void open_index(struct data_index *x, int files, int training)
{
    struct problems p = {0};
    *x = (struct data_index){.training = training};
    x->file = calloc(FILES, sizeof *x->file);
    x->lines = calloc(FILES + 1, sizeof *x->lines);
    for (; x->files < files; x->files++)
        ck_assert(
            lines_open(&x->file[x->files], &(struct input){path[x->files], "data.file", NULL}, &p));
}

static void make_index(struct data_index *x, const struct index_job *job, int ranks,
                       struct problems *p)
{
    unsigned char *all = NULL;
    size_t offset[RANKS_MOST], n, bytes = 0;
    for (int r = 0; r < ranks; r++) {
        unsigned char *part = index_part(x, job, r, ranks, &n);
        ck_assert_uint_eq(n % 8, 0);
        all = realloc(all, bytes + n + 1);
        if (n > 0) memcpy(all + bytes, part, n);
        offset[r] = bytes;
        bytes += n;
        free(part);
    }
    index_join(x, job, &(struct index_parts){all, offset, ranks}, p);
    free(all);
}

static void same_index(const struct data_index *a, const struct data_index *b)
{
    ck_assert_int_eq(a->records, b->records);
    for (int f = 0; f < a->files; f++) {
        ck_assert_uint_eq(a->lines[f + 1], b->lines[f + 1]);
        ck_assert_uint_eq(a->file[f].sum, b->file[f].sum);
        ck_assert_uint_eq(a->file[f].marks, b->file[f].marks);
        for (size_t i = 0; i < a->file[f].marks; i++) {
            ck_assert_uint_eq(a->file[f].mark[i].at, b->file[f].mark[i].at);
            ck_assert_int_eq(a->file[f].mark[i].number, b->file[f].mark[i].number);
        }
    }
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(a->split[k].n, b->split[k].n);
        for (int i = 0; i < a->split[k].n; i++)
            ck_assert_uint_eq(number_set_at(&a->split[k], i), number_set_at(&b->split[k], i));
    }
}

static void same_problems(const struct problems *a, const struct problems *b)
{
    ck_assert_int_eq(a->n, b->n);
    for (int i = 0; i < a->n; i++) ck_assert_str_eq(a->text[i], b->text[i]);
}

/* By one and by several; returns the records. */
static int check_ranks(const struct index_job *job, int files, int training, int problems)
{
    struct data_index one, x;
    struct problems p = {0}, q = {0};
    log_set(LOG_QUIET, 0); /* it says much */
    open_index(&one, files, training);
    make_index(&one, job, 1, &p);
    ck_assert_int_eq(p.n, problems);
    for (int ranks = 2; ranks <= RANKS_MOST; ranks += ranks == 2 ? 1 : ranks == 3 ? 5 : 8) {
        open_index(&x, files, training);
        make_index(&x, job, ranks, &q);
        same_problems(&p, &q);
        if (problems == 0) same_index(&one, &x);
        problems_free(&q);
        index_free(&x);
    }
    int records = one.records;
    problems_free(&p);
    index_free(&one);
    return records;
}

static void remove_files(int files)
{
    for (int f = 0; f < files; f++) unlink(path[f]);
    fields_free(&fields);
}

START_TEST(the_same_by_any_ranks)
{
    struct problems p = {0};
    ck_assert(fields_parse(&fields, "", &p));
    write_file(0, 30000, 0);
    write_file(1, 10, 0);
    write_file(2, 20000, 0);
    struct index_job job = {.fields = &fields};
    int all = check_ranks(&job, 3, 3, 0);
    ck_assert_int_eq(all, 50010 - 50010 / 31 - 1);
    job.large = true;
    ck_assert_int_eq(check_ranks(&job, 3, 3, 0), all);
    job.apart = true;
    ck_assert_int_eq(check_ranks(&job, 3, 2, 0), all);
    remove_files(3);
}
END_TEST

/* Named are the first of each file, by their lines. */
START_TEST(bad_lines_by_any_ranks)
{
    struct problems p = {0};
    ck_assert(fields_parse(&fields, "", &p));
    write_file(0, 30000, 3001); /* nine */
    write_file(1, 30000, 700);  /* 42: the rest is not read */
    write_file(2, 3, 1);        /* all: nothing is left */
    struct index_job job = {.fields = &fields};
    check_ranks(&job, 3, 3, 9 + 20 + 1 + 3);
    job.skip = true;
    check_ranks(&job, 2, 2, 0);
    check_ranks(&job, 3, 3, 1);
    remove_files(3);
}
END_TEST

/* A file that was cut since it was opened: who reads there says so. */
START_TEST(a_file_cut_short)
{
    struct problems p = {0}, q = {0};
    struct data_index x;
    ck_assert(fields_parse(&fields, "", &p));
    write_file(0, 30000, 0);
    open_index(&x, 1, 1);
    ck_assert_int_eq(truncate(path[0], 3 << 20), 0);
    struct index_job job = {.fields = &fields};
    make_index(&x, &job, 4, &q);
    ck_assert_int_ge(q.n, 1);
    ck_assert_ptr_nonnull(strstr(q.text[0], "it has become shorter"));
    problems_free(&q);
    index_free(&x);
    remove_files(1);
}
END_TEST

/* The held-out tenth of large files ends at LARGE_HELDOUT, whoever meets what comes behind. */
START_TEST(held_out_of_large_files)
{
    struct problems p = {0};
    ck_assert(fields_parse(&fields, "", &p));
    snprintf(path[0], 64, "/tmp/duet-index-XXXXXX");
    FILE *f = fdopen(mkstemp(path[0]), "w");
    for (int i = 0; i < 200000; i++)
        fprintf(f, "{\"prompt\":\"%d\",\"answer\":\"%d\"}\n", i % 99991, i / 99991);
    fclose(f);
    struct data_index x;
    struct index_job job = {.fields = &fields, .apart = true, .large = true};
    check_ranks(&job, 1, 0, 0);
    open_index(&x, 1, 0);
    make_index(&x, &job, 3, &p);
    ck_assert_int_eq(x.split[SPLIT_HELDOUT].n, LARGE_HELDOUT);
    ck_assert_uint_eq(number_set_at(&x.split[SPLIT_HELDOUT], LARGE_HELDOUT - 1), LARGE_HELDOUT - 1);
    index_free(&x);
    remove_files(1);
}
END_TEST

/* As bytes and back; bytes of which one is another, or some are missing, are none. */
START_TEST(as_bytes)
{
    struct problems p = {0};
    struct data_index x, y;
    size_t n;
    ck_assert(fields_parse(&fields, "", &p));
    write_file(0, 300, 0);
    write_file(1, 2, 0);
    struct index_job job = {.fields = &fields, .named = ""};
    open_index(&x, 2, 2);
    open_index(&y, 2, 2);
    make_index(&x, &job, 1, &p);
    uint64_t is = index_identity(&x, &job);
    ck_assert_uint_eq(index_identity(&y, &job), is);
    unsigned char *bytes = index_bytes(&x, is, &n);
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= 1;
        ck_assert(!index_take(&y, is, bytes, n));
        bytes[i] ^= 1;
        ck_assert(!index_take(&y, is, bytes, i));
    }
    ck_assert(!index_take(&y, is + 1, bytes, n));
    ck_assert(index_take(&y, is, bytes, n));
    same_index(&x, &y);
    ck_assert_int_eq(x.records, 300 - 10 + 2);
    free(bytes);
    index_free(&x);
    index_free(&y);
    remove_files(2);
}
END_TEST

/* The same bytes, written again, are another file; so are files that are read otherwise. */
START_TEST(what_an_index_is_of)
{
    struct problems p = {0};
    struct data_index x;
    ck_assert(fields_parse(&fields, "", &p));
    write_file(0, 10, 0);
    open_index(&x, 1, 1);
    struct index_job job = {.fields = &fields, .named = ""}, other = job;
    uint64_t is = index_identity(&x, &job);
    ck_assert_uint_eq(index_identity(&x, &job), is);
    other.named = "prompt=q";
    ck_assert_uint_ne(index_identity(&x, &other), is);
    other = job, other.skip = true;
    ck_assert_uint_ne(index_identity(&x, &other), is);
    other = job, other.apart = true;
    ck_assert_uint_ne(index_identity(&x, &other), is);
    int fd = open(path[0], O_WRONLY);
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL); /* times of files have some ms */
    ck_assert_int_eq(pwrite(fd, "{", 1, 0), 1);
    ck_assert_uint_ne(index_identity(&x, &job), is);
    close(fd);
    index_free(&x);
    remove_files(1);
}
END_TEST

#define TESTS(X)              \
    X(the_same_by_any_ranks)  \
    X(bad_lines_by_any_ranks) \
    X(a_file_cut_short)       \
    X(as_bytes)               \
    X(what_an_index_is_of)    \
    X(held_out_of_large_files)

UNIT_MAIN("index", .timeout_s = 60)
