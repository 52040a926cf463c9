/* ranks: 1 2 3 4 7 */
/* Collectives against a serial loop in the documented order (P4), bit for bit, on values for which
 * the order matters. */
#include "tests/support/check_mpi.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/exact.h"
#include "comm/base/rng.h"
#include "comm/coll.h"

enum { RANKS_MAX = 16 };

/* Element j of rank r: magnitudes over 2^24, so that sums in another order differ. */
static float value(int r, size_t j)
{
    struct rng_at at = {RNG_TEST, 0, 0, (uint32_t)r, (uint32_t)j};
    return (float)ldexp(rng_uniform(1, at) - 0.5, (int)(rng_bits(2, at) % 24));
}

static float sum_in_order(size_t j, int ranks, int inner)
{
    volatile float acc = 0;
    for (int i = 0; i < ranks; i += inner) {
        volatile float run = value(i, j);
        for (int k = 1; k < inner; k++) run = run + value(i + k, j);
        acc = i == 0 ? run : acc + run;
    }
    return acc;
}

/* Slices of unequal size, the second one empty. */
static size_t slices_make(size_t *count, size_t *offset, size_t base)
{
    size_t n = 0;
    for (int i = 0; i < ck_world.size; i++) {
        count[i] = i == 1 ? 0 : base + 37 * (size_t)i;
        offset[i] = n;
        n += count[i];
    }
    return n;
}

static void check_reduce_scatter(size_t base, int inner, bool in_place)
{
    size_t count[RANKS_MAX] = {0}, offset[RANKS_MAX] = {0}, n = slices_make(count, offset, base);
    size_t mine = count[ck_world.rank], at = offset[ck_world.rank];
    float *in = calloc(n + 1, sizeof *in), *out = malloc((mine + 1) * sizeof *out);
    float *scratch = malloc(((size_t)ck_world.size * mine + 1) * sizeof *scratch);
    for (size_t j = 0; j < n; j++) in[j] = value(ck_world.rank, j);
    float *to = in_place ? in + at : out;
    coll_reduce_scatter(to, in, count, offset, inner, scratch, ck_world.comm);
    size_t wrong = 0;
    for (size_t j = 0; j < mine; j++) {
        float expect = sum_in_order(at + j, ck_world.size, inner);
        wrong += memcmp(&expect, &to[j], sizeof expect) != 0;
    }
    ck_all(wrong == 0, "%zu of %zu differ (inner %d)", wrong, mine, inner);
    free(in);
    free(out);
    free(scratch);
}

START_TEST(reduce_scatter_in_rank_order)
{
    for (int inner = 1; inner <= 2; inner++) {
        if (ck_world.size % inner) continue;
        check_reduce_scatter(0, inner, false);
        check_reduce_scatter(1500, inner, false);
        check_reduce_scatter(1500, inner, true);
    }
}
END_TEST

START_TEST(reduce_scatter_in_pieces)
{
    check_reduce_scatter(600000, 1, false);
}
END_TEST

/* The values above are worth their name: some other order gives other bits. */
START_TEST(order_matters)
{
    int differ = 0;
    for (size_t j = 0; j < 1000; j++) {
        float a = sum_in_order(j, 4, 1), b = sum_in_order(j, 4, 2);
        differ += memcmp(&a, &b, sizeof a) != 0;
    }
    ck_all(differ > 100, "only %d of 1000 differ", differ);
}
END_TEST

START_TEST(all_reduce_in_rank_order)
{
    static const size_t sizes[] = {0, 1, 3, 4097, 1000003};
    for (int inner = 1; inner <= 2; inner++)
        for (int k = 0; k < 5 && ck_world.size % inner == 0; k++) {
            size_t n = sizes[k], wrong = 0, ranks = (size_t)ck_world.size;
            float *buf = malloc((n + 1) * sizeof *buf);
            float *scratch = malloc((ranks * ((n + ranks - 1) / ranks) + 1) * sizeof *scratch);
            for (size_t j = 0; j < n; j++) buf[j] = value(ck_world.rank, j);
            coll_all_reduce(buf, n, inner, scratch, ck_world.comm);
            for (size_t j = 0; j<n; j += n> 10000 ? 7 : 1) {
                float expect = sum_in_order(j, ck_world.size, inner);
                wrong += memcmp(&expect, &buf[j], sizeof expect) != 0;
            }
            ck_all(wrong == 0, "%zu of %zu differ (inner %d)", wrong, n, inner);
            free(buf);
            free(scratch);
        }
}
END_TEST

START_TEST(all_gather)
{
    size_t count[RANKS_MAX] = {0}, offset[RANKS_MAX] = {0}, n = slices_make(count, offset, 500001),
           wrong = 0;
    unsigned char *buf = calloc(n + 1, 6);
    for (size_t j = 0; j < 6 * count[ck_world.rank]; j++)
        buf[6 * offset[ck_world.rank] + j] = (unsigned char)(j * 31 + (size_t)ck_world.rank);
    coll_all_gather(buf, count, offset, 6, ck_world.comm);
    for (int i = 0; i < ck_world.size; i++)
        for (size_t j = 0; j < 6 * count[i]; j++)
            wrong += buf[6 * offset[i] + j] != (unsigned char)(j * 31 + (size_t)i);
    ck_all(wrong == 0, "%zu bytes differ", wrong);
    free(buf);
}
END_TEST

static size_t to_send(int from, int to)
{
    return (size_t)((from * 7 + to * 3) % 5) * 700001;
}

START_TEST(all_to_all_v)
{
    size_t sc[RANKS_MAX], so[RANKS_MAX], rc[RANKS_MAX], ro[RANKS_MAX], ns = 0, nr = 0, wrong = 0;
    int me = ck_world.rank;
    for (int i = 0; i < ck_world.size; i++) {
        sc[i] = to_send(me, i);
        rc[i] = to_send(i, me);
        so[i] = ns;
        ro[i] = nr;
        ns += sc[i];
        nr += rc[i];
    }
    unsigned char *s = malloc(ns + 1), *r = malloc(nr + 1);
    for (int i = 0; i < ck_world.size; i++)
        for (size_t j = 0; j < sc[i]; j++)
            s[so[i] + j] = (unsigned char)(j * 13 + (size_t)(me * 5 + i));
    coll_all_to_all_v(r, rc, ro, s, sc, so, ck_world.comm);
    for (int i = 0; i < ck_world.size; i++)
        for (size_t j = 0; j < rc[i]; j++)
            wrong += r[ro[i] + j] != (unsigned char)(j * 13 + (size_t)(i * 5 + me));
    ck_all(wrong == 0, "%zu bytes differ", wrong);
    free(s);
    free(r);
}
END_TEST

START_TEST(bcast_from_each)
{
    size_t n = ((size_t)5 << 20) + 3, wrong = 0;
    unsigned char *buf = malloc(n);
    for (int root = 0; root < ck_world.size; root++) {
        for (size_t j = 0; j < n; j++)
            buf[j] = ck_world.rank == root ? (unsigned char)(j * 7 + (size_t)root) : 0;
        coll_bcast(buf, n, root, ck_world.comm);
        for (size_t j = 0; j < n; j++) wrong += buf[j] != (unsigned char)(j * 7 + (size_t)root);
    }
    coll_bcast(buf, 0, 0, ck_world.comm);
    ck_all(wrong == 0, "%zu bytes differ", wrong);
    free(buf);
}
END_TEST

/* The second has none, the others several pieces; to any root. */
START_TEST(gather_of_unequal_bytes)
{
    size_t offset[RANKS_MAX + 1],
        n = ck_world.rank == 1 ? 0 : 3000001 * ((size_t)ck_world.rank + 1);
    unsigned char *mine = malloc(n + 1);
    for (size_t i = 0; i < n; i++) mine[i] = (unsigned char)(i * 7 + (size_t)ck_world.rank);
    for (int root = 0; root < ck_world.size; root++) {
        unsigned char *all = coll_gather_bytes(mine, n, offset, root, ck_world.comm);
        bool right = (all != NULL) == (ck_world.rank == root);
        for (int r = 0; right && all && r < ck_world.size; r++) {
            size_t theirs = offset[r + 1] - offset[r];
            right = theirs == (r == 1 ? 0 : 3000001 * ((size_t)r + 1));
            for (size_t i = 0; right && i < theirs; i++)
                right = all[offset[r] + i] == (unsigned char)(i * 7 + (size_t)r);
        }
        ck_all(right, "other bytes at root %d", root);
        free(all);
    }
    free(mine);
}
END_TEST

/* The same bits as one rank adding everything. */
START_TEST(exact_sums)
{
    struct exact_sum s[3] = {0}, alone[3] = {0};
    for (int r = 0; r < ck_world.size; r++)
        for (uint32_t j = 0; j < 3000; j++) {
            double x = -1e9 * rng_normal(3, (struct rng_at){RNG_TEST, 0, 0, (uint32_t)r, j});
            exact_add(&alone[j % 2], x);
            if (r == ck_world.rank) exact_add(&s[j % 2], x);
        }
    if (ck_world.rank == 0) exact_add(&s[2], (double)NAN);
    exact_add(&s[2], 1);
    coll_exact_sum(s, 3, ck_world.comm);
    for (int i = 0; i < 2; i++)
        ck_all(s[i].lo == alone[i].lo && s[i].hi == alone[i].hi && s[i].broken == 0,
               "sum %d: %g, not %g", i, exact_value(&s[i]), exact_value(&alone[i]));
    ck_all(isnan(exact_value(&s[2])), "%g", exact_value(&s[2]));
}
END_TEST

#define TESTS(X)                    \
    X(order_matters)                \
    X(reduce_scatter_in_rank_order) \
    X(reduce_scatter_in_pieces)     \
    X(all_reduce_in_rank_order)     \
    X(all_gather)                   \
    X(all_to_all_v)                 \
    X(bcast_from_each)              \
    X(gather_of_unequal_bytes)      \
    X(exact_sums)

MPI_MAIN("coll")
