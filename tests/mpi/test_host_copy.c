/* ranks: 1 2 4 8 */
/* Bytes that all ranks of a host share, and the index of data files that lies in such: what a host
 * keeps does not grow with its ranks. Memory is measured: the part of each page that is a rank's
 * (Pss), once every rank has read them all. */
#include "tests/support/check_mpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "comm/base/checksum.h"
#include "comm/host_copy.h"
#include "trainer/data/index.h"
#include "trainer/data/problem.h"

enum { BYTES = 3 << 20 };

/* This rank's part of the mapping that holds an address, in bytes, and whether it may write there.
 */
static double part_of(const void *at, bool *may_write)
{
    char line[512], rights[8] = "";
    unsigned long long from, to, where = (unsigned long long)(uintptr_t)at;
    double kib = 0;
    bool here = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%llx-%llx %7s", &from, &to, rights) == 3) {
            here = from <= where && where < to;
            if (here) *may_write = rights[1] == 'w';
        }
        if (here && sscanf(line, "Pss: %lf", &kib) == 1) break;
    }
    fclose(f);
    return 1024 * kib;
}

/* What all ranks of comm have together; each reads the whole copy first. */
static double part_of_all(const struct host_copy *c, MPI_Comm comm, bool *may_write)
{
    volatile uint64_t sum = checksum(c->at, c->n, 0);
    (void)sum;
    MPI_OK(MPI_Barrier(comm));
    double mine = part_of(c->at, may_write), all;
    MPI_OK(MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, comm));
    MPI_OK(MPI_Barrier(comm)); /* nobody gives it back before all have looked */
    return all;
}

static void fill(const void *ctx, void *to)
{
    const unsigned *seed = ctx;
    unsigned char *at = to;
    ck_assert_int_eq(ck_world.rank, 0);
    for (size_t i = 0; i < BYTES; i++) at[i] = (unsigned char)(i * 2654435761u >> 13 ^ *seed);
}

static bool is_filled(const struct host_copy *c, unsigned seed)
{
    const unsigned char *at = c->at;
    bool same = c->n == BYTES;
    for (size_t i = 0; same && i < BYTES; i++)
        same = at[i] == (unsigned char)(i * 2654435761u >> 13 ^ seed);
    return same;
}

static struct host_copy make(unsigned seed, int node)
{
    struct host_copy c;
    host_copy_make(&c, ck_world.rank == 0 ? BYTES : 0, fill, &seed, ck_world.comm, node);
    ck_all(is_filled(&c, seed), "seed %u: other bytes", seed);
    return c;
}

/* Hosts of one, two, ... ranks, by what the ranks say: one copy each, which nobody may write to. */
START_TEST(one_copy_a_host)
{
    for (int ranks = 1; ranks <= ck_world.size; ranks *= 2) {
        const int hosts = ck_world.size / ranks;
        struct host_copy c = make((unsigned)ranks, ck_world.rank / ranks);
        bool may_write = false;
        const double all = part_of_all(&c, ck_world.comm, &may_write);
        ck_all(c.shared && !may_write, "shared %d, may be written to %d", c.shared, may_write);
        ck_all(all > 0.99 * hosts * BYTES && all < 1.05 * hosts * BYTES,
               "%d hosts of %d ranks keep %.0f bytes", hosts, ranks, all);
        host_copy_free(&c);
    }
}
END_TEST

START_TEST(a_copy_each)
{
    struct host_copy c = make(5, HOST_COPY_EACH);
    ck_all(!c.shared, "shared");
    host_copy_free(&c);
}
END_TEST

/* Where the first rank of a host may make no file as large, all ranks have copies of their own. */
START_TEST(where_it_cannot_be_shared)
{
    struct rlimit before, low;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = (struct rlimit){BYTES - 1, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
    struct host_copy c = make(6, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_all(!c.shared, "shared");
    host_copy_free(&c);
}
END_TEST

/* --- the index of data files --- */

enum { MARKS = 100000, LINES = 40 * MARKS };

static void open_empty(struct data_index *x)
{
    *x = (struct data_index){.files = 1, .training = 1};
    x->file = calloc(1, sizeof *x->file);
    x->lines = calloc(2, sizeof *x->lines);
    x->file[0].fd = -1;
    x->file[0].path = "a file";
}

/* As of a file whose every tenth line is held out. */
static void make_large(struct data_index *x)
{
    x->file[0].mark = malloc(MARKS * sizeof *x->file[0].mark);
    for (int i = 0; i < MARKS; i++)
        x->file[0].mark[i] = (struct line_mark){.at = (uint64_t)i << 14, .number = 1 + 40 * i};
    x->file[0].marks = MARKS;
    x->file[0].n = LINES;
    x->file[0].sum = 77;
    x->records = LINES;
    x->lines[1] = LINES;
    for (int i = 0; i < LINES; i++) number_set_add(&x->split[i % 10 == 0], (uint64_t)i);
    for (int k = 0; k < 2; k++) number_set_count(&x->split[k]);
}

static bool is_large(const struct data_index *x)
{
    const struct lines *l = &x->file[0];
    const struct number_set *held = &x->split[SPLIT_HELDOUT];
    bool same = l->marks == MARKS && l->n == LINES && l->sum == 77 && x->lines[1] == LINES;
    for (int i = 0; same && i < MARKS; i++)
        same = l->mark[i].at == (uint64_t)i << 14 && l->mark[i].number == 1 + 40 * i;
    same = same && held->n == LINES / 10 && x->split[0].n == LINES - LINES / 10;
    for (int i = 0; same && i < held->n; i += 3) same = number_set_at(held, i) == 10 * (uint64_t)i;
    return same && number_set_below(held, LINES / 2) == LINES / 20;
}

/* Bytes that `ranks` ranks of one host keep of an index, of all of them. */
static double index_of(int ranks)
{
    double bytes = 0;
    const bool takes_part = ck_world.rank < ranks;
    MPI_Comm comm = mpi_split(ck_world.comm, takes_part ? 0 : MPI_UNDEFINED, ck_world.rank);
    bool same = true, may_write = false;
    if (takes_part) {
        struct data_index x;
        open_empty(&x);
        if (ck_world.rank == 0) make_large(&x);
        index_share(&x, true, comm, 0);
        same = is_large(&x);
        bytes = part_of_all(&x.copy, comm, &may_write);
        if (!x.file[0].lent || !x.split[0].lent || !x.split[1].lent) same = false;
        index_free(&x);
        MPI_OK(MPI_Comm_free(&comm));
    }
    ck_all(same && !may_write, "the index is another, or a rank's own");
    MPI_OK(MPI_Bcast(&bytes, 1, MPI_DOUBLE, 0, ck_world.comm));
    return bytes;
}

START_TEST(index_bytes_do_not_grow_with_ranks)
{
    const double one = index_of(1);
    ck_all(one > 16.0 * MARKS && one < 17.0 * MARKS + 2.3 / 8 * LINES, "%.0f bytes", one);
    for (int ranks = 2; ranks <= ck_world.size; ranks *= 2) {
        const double bytes = index_of(ranks);
        ck_all(bytes < 1.02 * one, "%d ranks keep %.0f bytes, one rank %.0f", ranks, bytes, one);
    }
}
END_TEST

/* What a rank leaves out is left out by it alone. */
START_TEST(a_lent_set_is_copied_before_it_changes)
{
    struct data_index x;
    open_empty(&x);
    if (ck_world.rank == 0) make_large(&x);
    index_share(&x, true, ck_world.comm, 0);
    struct number_set *held = &x.split[SPLIT_HELDOUT];
    bool *keep = calloc((size_t)held->n, sizeof *keep);
    for (int i = 0; i < held->n; i++) keep[i] = i % 2;
    if (ck_world.rank % 2 == 0) number_set_keep(held, keep);
    MPI_OK(MPI_Barrier(ck_world.comm));
    bool right = ck_world.rank % 2 ? is_large(&x)
                                   : held->n == LINES / 20 && number_set_at(held, 0) == 10 &&
                                         !held->lent && x.split[0].lent;
    ck_all(right, "%d held out", held->n);
    free(keep);
    index_free(&x);
}
END_TEST

#define TESTS(X)                          \
    X(one_copy_a_host)                    \
    X(a_copy_each)                        \
    X(where_it_cannot_be_shared)          \
    X(index_bytes_do_not_grow_with_ranks) \
    X(a_lent_set_is_copied_before_it_changes)

MPI_MAIN("host_copy")
