/* What is kept of the user's files of problems, as they have more lines and longer ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "trainer/data/collection.h"
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
    struct collection *c = collection_open(&s, 3, &p);
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

#define TESTS(X)    \
    X(bytes_a_line) \
    X(bytes_by_length)

UNIT_MAIN("growth of data", .timeout_s = 120)
