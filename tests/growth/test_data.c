/* What is kept of the user's files of problems, as they have more lines and longer ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "trainer/data/collection.h"
#include "trainer/data/index.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"

static char nothing[] = "";

/* n lines of at least `length` bytes; returns the bytes of the file. */
static double write_lines(char path[64], int n, int length)
{
    snprintf(path, 64, "/tmp/duet-growth-XXXXXX");
    FILE *f = fdopen(mkstemp(path), "w");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < n; i++)
        fprintf(f, "{\"prompt\":\"%d %0*d\",\"answer\":\"%d\"}\n", i, length, 0, i);
    double bytes = (double)ftell(f);
    fclose(f);
    return bytes;
}

static struct collection *open_file(char *path)
{
    struct settings s = {.run = {.seed = 4}};
    struct problems p = {0};
    s.data = (struct data_settings){.task = TASK_FILE, .file = path, .heldout_file = nothing};
    struct collection *c = collection_open(&s, 3, NULL, &p);
    ck_assert_msg(c != NULL, "%s", p.n ? p.text[0] : "no problem");
    return c;
}

/* As many bits a line as before, and hardly any: a list of places would take 64. */
START_TEST(bytes_a_line)
{
    struct growth g = {0};
    for (int n = 1 << 15; n <= 1 << 20; n *= 2) {
        char path[64];
        write_lines(path, n, 8);
        struct collection *c = open_file(path);
        double bits = 8 * (double)collection_bytes(c) / n;
        printf("%d lines: %.2f bits each\n", n, bits);
        ck_assert_double_lt(bits, 4);
        growth_add(&g, n, bits);
        collection_free(c);
        unlink(path);
    }
    growth_at_most(&g, "bits kept a line", 0.1);
}
END_TEST

/* Long lines have a place each: beside the size of the file next to nothing. */
START_TEST(bytes_by_length)
{
    for (int length = 100; length <= 100000; length *= 10) {
        char path[64];
        double bytes = write_lines(path, (32 << 20) / length, length);
        struct collection *c = open_file(path);
        double kept = (double)collection_bytes(c) / bytes;
        printf("lines of %d bytes: %.5f of the file\n", length, kept);
        ck_assert_double_lt(kept, 0.006);
        collection_free(c);
        unlink(path);
    }
}
END_TEST

/* What the last of `ranks` ranks reads of a file, and hands to the one that joins. */
static void read_part(char *path, int ranks, double *read, double *handed)
{
    struct problems p = {0};
    struct fields fields;
    struct lines file;
    size_t n;
    ck_assert(fields_parse(&fields, "", &p));
    ck_assert(lines_open(&file, &(struct input){path, "data.file", NULL}, &p));
    struct data_index x = {.file = &file, .files = 1, .training = 1};
    free(index_part(&x, &(struct index_job){.fields = &fields}, ranks - 1, ranks, &n));
    *read = (double)file.read;
    *handed = (double)n;
    lines_close(&file);
    fields_free(&fields);
}

/* Twice as many ranks, half as much for each. */
START_TEST(part_of_a_rank)
{
    char path[64];
    struct growth reads = {0}, hands = {0};
    double read, handed, bytes = write_lines(path, 128 << 10, 1000);
    for (int ranks = 1; ranks <= 64; ranks *= 2) {
        read_part(path, ranks, &read, &handed);
        printf("%d ranks: the last reads %.0f KiB, hands on %.0f\n", ranks, read / 1024,
               handed / 1024);
        growth_add(&reads, ranks, read);
        growth_add(&hands, ranks, handed);
    }
    ck_assert_double_lt(reads.count[0], 1.1 * bytes);
    growth_at_most(&reads, "bytes a rank reads", -0.95);
    growth_at_most(&hands, "bytes a rank hands on", -0.95);
    unlink(path);
}
END_TEST

/* Twice as many lines, twice as much, and no more. */
START_TEST(part_by_lines)
{
    struct growth reads = {0}, hands = {0};
    for (int n = 16 << 10; n <= 256 << 10; n *= 2) {
        char path[64];
        double read, handed;
        write_lines(path, n, 1000);
        read_part(path, 4, &read, &handed);
        growth_add(&reads, n, read);
        growth_add(&hands, n, handed);
        unlink(path);
    }
    growth_at_most(&reads, "bytes read", 1.05);
    growth_at_most(&hands, "bytes handed on", 1.05);
}
END_TEST

#define TESTS(X)       \
    X(bytes_a_line)    \
    X(bytes_by_length) \
    X(part_of_a_rank)  \
    X(part_by_lines)

UNIT_MAIN("growth of data", .timeout_s = 120)
