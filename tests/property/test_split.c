/* Layers over chunks by cost, against trying every split. */
#include <math.h>
#include <stdbool.h>

#include "comm/base/rng.h"
#include "pipeline/split.h"
#include "tests/support/check_unit.h"

enum { MOST = 9 };

struct task {
    double cost[MOST], first_extra, last_extra;
    int layers, chunks;
};

static double run_of(const struct task *t, int chunk, int from, int to)
{
    double cost = 0;
    for (int i = from; i < to; i++) cost += t->cost[i];
    if (chunk == 0) cost += t->first_extra;
    if (chunk == t->chunks - 1) cost += t->last_extra;
    return cost;
}

struct score {
    double largest, squares;
};

static struct score score_of(const struct task *t, const int *first)
{
    struct score s = {0};
    for (int c = 0; c < t->chunks; c++) {
        double run = run_of(t, c, first[c], first[c + 1]);
        s.largest = fmax(s.largest, run), s.squares += run * run;
    }
    return s;
}

/* Every way to choose first[chunk+1 ..]; keeps the best score. */
static void try_all(const struct task *t, int *first, int chunk, struct score *best)
{
    if (chunk == t->chunks - 1) {
        struct score s = score_of(t, first);
        bool better = s.largest < best->largest - 1e-9 ||
                      (s.largest < best->largest + 1e-9 && s.squares < best->squares);
        if (better) *best = s;
        return;
    }
    int last = t->layers - (t->chunks - 1 - chunk);
    for (int to = first[chunk] + 1; to <= last; to++) {
        first[chunk + 1] = to;
        try_all(t, first, chunk + 1, best);
    }
}

static void compare(const struct task *t)
{
    int first[MOST + 1], tried[MOST + 1] = {0};
    struct score best = {INFINITY, INFINITY};
    split_by_cost(first, t->cost, t->layers, t->first_extra, t->last_extra, t->chunks);
    ck_assert_int_eq(first[0], 0);
    ck_assert_int_eq(first[t->chunks], t->layers);
    for (int c = 0; c < t->chunks; c++) ck_assert_int_lt(first[c], first[c + 1]);
    tried[t->chunks] = t->layers;
    try_all(t, tried, 0, &best);
    struct score got = score_of(t, first);
    ck_assert_double_eq_tol(got.largest, best.largest, 1e-9);
    ck_assert_double_eq_tol(got.squares, best.squares, 1e-6);
}

START_TEST(against_every_split)
{
    struct rng_stream rng = {7, {.purpose = RNG_TEST}};
    for (int layers = 1; layers <= MOST; layers++)
        for (int chunks = 1; chunks <= layers; chunks++)
            for (int i = 0; i < 20; i++) {
                struct task t = {.layers = layers, .chunks = chunks};
                for (int l = 0; l < layers; l++)
                    t.cost[l] = rng_next_below(&rng, 2 + 3 * (uint32_t)i);
                t.first_extra = i % 2 ? 10 * rng_next_uniform(&rng) : 0;
                t.last_extra = i % 3 ? 30 * rng_next_uniform(&rng) : 0;
                compare(&t);
            }
}
END_TEST

/* Equal layers: by count, the first chunks getting what is left over; so for costs that do not add
 * up exactly. */
START_TEST(equal_layers)
{
    enum { LAYERS = 61 };
    double cost[LAYERS];
    int first[LAYERS + 1];
    for (int i = 0; i < LAYERS; i++) cost[i] = 0.1;
    for (int chunks = 1; chunks <= LAYERS; chunks++) {
        split_by_cost(first, cost, LAYERS, 0, 0, chunks);
        for (int c = 0; c < chunks; c++)
            ck_assert_int_eq(first[c + 1] - first[c], LAYERS / chunks + (c < LAYERS % chunks));
    }
}
END_TEST

/* A head as heavy as three layers: by count the last chunk would take 4 + 3. */
START_TEST(heavy_head)
{
    double cost[16];
    int first[5];
    for (int i = 0; i < 16; i++) cost[i] = 1;
    split_by_cost(first, cost, 16, 1, 3, 4);
    static const int right[] = {0, 4, 9, 14, 16};
    for (int c = 0; c <= 4; c++) ck_assert_int_eq(first[c], right[c]);
}
END_TEST

#define TESTS(X)           \
    X(against_every_split) \
    X(equal_layers)        \
    X(heavy_head)

UNIT_MAIN("split")
