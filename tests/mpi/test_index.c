/* ranks: 1 2 3 4 */
/* Files of problems opened by ranks together: each reads its part, all have what one alone finds,
 * or the same problems; a rank with a copy of its own reads that. */
#include "tests/support/check_mpi.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/coll.h"
#include "trainer/data/collection.h"

static char nothing[] = "";

static struct settings settings_of(char *file)
{
    struct settings s = {.run = {.seed = 4}};
    s.data = (struct data_settings){.task = TASK_FILE, .file = file, .heldout_file = nothing};
    return s;
}

/* n lines of some 1000 bytes, of which line `bad`, from 1, is none. */
static void write_file(const char *path, int n, int bad)
{
    FILE *f = fopen(path, "w");
    for (int i = 0; i < n; i++)
        if (i + 1 == bad)
            fputs("{\"prompt\"}\n", f);
        else
            fprintf(f, "{\"prompt\":\"%d %0*d\",\"answer\":\"%d\"}\n", i % 9000, 500 + i % 997, 0,
                    i);
    fclose(f);
}

/* A file of rank 0 that all ranks know; with own, one of each rank. */
static void make_file(char path[64], bool own, int n, int bad)
{
    if (own || ck_world.rank == 0) {
        snprintf(path, 64, "/tmp/duet-together-XXXXXX");
        close(mkstemp(path));
        write_file(path, n, bad);
    }
    if (!own) coll_bcast(path, 64, 0, ck_world.comm);
}

static void same_collections(struct collection *a, struct collection *b)
{
    bool same = true;
    for (int k = 0; k < 2; k++) {
        enum split split = (enum split)k;
        int n = collection_count(a, split);
        same = same && collection_count(b, split) == n;
        for (int i = 0; same && i < n; i += 7) {
            struct problem p, q;
            collection_take(a, split, i, &p);
            collection_take(b, split, i, &q);
            same = p.record == q.record && strcmp(p.answer, q.answer) == 0;
        }
        same = same && collection_sum(a, split) == collection_sum(b, split);
    }
    ck_all(same, "together is not what one alone finds");
}

/* `readers` read the file together. */
static void check_together(bool own, int readers)
{
    char path[64];
    struct problems p = {0};
    const struct together together = {&ck_world, NULL};
    make_file(path, own, 12000, 0);
    struct settings s = settings_of(path);
    struct collection *c = collection_open(&s, 3, &together, &p);
    double mib = (double)(c ? collection_read(c) : 0) / 0x1p20, all = 11.5;
    ck_all(c && p.n == 0, "%s", p.n ? p.text[0] : "no problem");
    ck_all(mib > all / readers - 2.5 && mib < all / readers + 2.5, "%.1f MiB read", mib);
    struct collection *alone = collection_open(&s, 3, NULL, &p);
    same_collections(c, alone);
    collection_free(c);
    collection_free(alone);
    ck_all(true, "all have read");
    if (own || ck_world.rank == 0) unlink(path);
}

START_TEST(each_reads_its_part)
{
    check_together(false, ck_world.size);
}
END_TEST

START_TEST(copies_of_each_own)
{
    check_together(true, 1);
}
END_TEST

/* With its line, and on all ranks, whoever has read it. */
START_TEST(mistakes_are_known_to_all)
{
    char path[64], line[100];
    const struct together together = {&ck_world, NULL};
    for (int bad = 1; bad <= 9001; bad += 3000) {
        struct problems p = {0};
        make_file(path, false, 12000, bad);
        struct settings s = settings_of(path);
        struct collection *c = collection_open(&s, 3, &together, &p);
        snprintf(line, sizeof line, "%s:%d: not JSON", path, bad);
        ck_all(!c && p.n == 1 && strstr(p.text[0], line), "%s", p.n ? p.text[0] : "no problem");
        problems_free(&p);
        if (ck_world.rank == 0) unlink(path);
    }
}
END_TEST

/* Nobody waits for a rank that has no file. */
START_TEST(a_file_that_one_rank_lacks)
{
    char path[64];
    struct problems p = {0};
    const struct together together = {&ck_world, NULL};
    make_file(path, false, 100, 0);
    static char missing[] = "/nowhere/problems.jsonl";
    bool lacks = ck_world.rank == ck_world.size - 1;
    struct settings s = settings_of(lacks ? missing : path);
    struct collection *c = collection_open(&s, 3, &together, &p);
    ck_all(!c && (p.n > 0) == lacks, "%d problems", p.n);
    problems_free(&p);
    if (ck_world.rank == 0) unlink(path);
}
END_TEST

#define TESTS(X)                 \
    X(each_reads_its_part)       \
    X(copies_of_each_own)        \
    X(mistakes_are_known_to_all) \
    X(a_file_that_one_rank_lacks)

MPI_MAIN("index")
