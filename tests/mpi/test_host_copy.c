/* ranks: 1 2 4 8 */
/* Bytes that all ranks of a host share: what a host keeps does not grow with its ranks. Memory is
 * measured: the part of each page that is a rank's (Pss), once every rank has read them all. */
#include "tests/support/check_mpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "comm/base/checksum.h"
#include "comm/host_copy.h"

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

/* Of all ranks of comm together; each reads the whole copy first. */
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

#define TESTS(X)       \
    X(one_copy_a_host) \
    X(a_copy_each)     \
    X(where_it_cannot_be_shared)

MPI_MAIN("host_copy")
