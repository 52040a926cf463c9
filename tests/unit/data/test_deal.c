/* Dealing: nothing is lost, no micro-batch overflows, never more of them than the plain way makes
 * and never less even, the same for lengths in any order; by hand; and what it brings on batches of
 * uneven answers, printed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "comm/base/rng.h"
#include "trainer/data/deal.h"
#include "tests/support/check_unit.h"
#include "tests/support/dims_row.h"

enum { MOST = 1024, MOST_BINS = 4096 };

struct batch {
    int rows[MOST], n;
    struct deal_shape shape;
};

static struct arena arena;
static struct deal dealt, plain;

static void setup(void)
{
    for (int placing = 0; placing < 2; placing++) {
        deal_place(&dealt, MOST, MOST_BINS, &arena);
        deal_place(&plain, MOST, MOST_BINS, &arena);
        if (!placing) arena_back(&arena, &device_host, arena.used);
    }
}

static void teardown(void)
{
    arena_free(&arena);
}

static int draw(struct rng_stream *r, int low, int high)
{
    return low + (int)rng_next_below(r, (uint32_t)(high - low + 1));
}

/* Lengths of several kinds: even, mostly full, mostly short, all the same. */
static void batch_make(struct batch *b, struct rng_stream *r)
{
    b->n = draw(r, 0, 300);
    b->shape = (struct deal_shape){.T_max = draw(r, 16, 128),
                                   .pipelines = draw(r, 1, 4),
                                   .directions = draw(r, 1, 2),
                                   .least = draw(r, 1, 20),
                                   .linear = draw(r, 0, 500)};
    int T = b->shape.T_max, kind = draw(r, 0, 3), same = draw(r, 1, T);
    for (int i = 0; i < b->n; i++)
        b->rows[i] = kind == 0   ? draw(r, 1, T)
                     : kind == 1 ? draw(r, T * 3 / 4, T)
                     : kind == 2 ? draw(r, 1, T / 4)
                                 : same;
}

static size_t total_of(const struct batch *b)
{
    size_t total = 0;
    for (int i = 0; i < b->n; i++) total += (size_t)b->rows[i];
    return total;
}

/* --- what must hold --- */

static void check_partition(const struct batch *b)
{
    static int64_t cost[MOST_BINS];
    static int rows[MOST_BINS];
    memset(cost, 0, sizeof cost);
    memset(rows, 0, sizeof rows);
    for (int i = 0; i < b->n; i++) {
        ck_assert(dealt.bin_of[i] >= 0 && dealt.bin_of[i] < dealt.bins);
        rows[dealt.bin_of[i]] += b->rows[i];
        cost[dealt.bin_of[i]] += deal_cost(&b->shape, b->rows[i]);
    }
    for (int k = 0; k < dealt.bins; k++) {
        ck_assert_int_le(rows[k], b->shape.T_max);
        ck_assert_int_eq(rows[k], dealt.bin[k].rows);
        ck_assert_int_eq(cost[k], dealt.bin[k].cost);
    }
}

static void check_count(const struct batch *b)
{
    const struct deal_shape *s = &b->shape;
    int multiple = s->pipelines * s->directions, over_half = 0;
    size_t total = total_of(b);
    for (int i = 0; i < b->n; i++) over_half += 2 * b->rows[i] > s->T_max;
    ck_assert_int_eq(dealt.bins % multiple, 0);
    ck_assert_int_ge(dealt.bins, s->least * s->pipelines);
    ck_assert_int_ge(dealt.bins, over_half); /* no two of them share one */
    ck_assert_uint_ge((size_t)dealt.bins * (size_t)s->T_max, total);
    ck_assert_int_le(dealt.bins, plain.bins);
    ck_assert_int_le(plain.bins, deal_bound(s, total));
    /* memory is planned for a longer step than this one: the bound must not shrink with the rows */
    ck_assert_int_le(deal_bound(s, total), deal_bound(s, total + 1000));
}

static int64_t most_of(const struct deal *d, int groups)
{
    static int64_t sum[MOST_BINS];
    int64_t most = 0;
    memset(sum, 0, sizeof sum);
    for (int k = 0; k < d->bins; k++) sum[k % groups] += d->bin[k].cost;
    for (int g = 0; g < groups; g++)
        if (sum[g] > most) most = sum[g];
    return most;
}

/* With as many micro-batches as the plain way: the costliest costs no more. And what is reported is
 * so. */
static void check_even(const struct batch *b)
{
    int64_t total = 0, most = most_of(&dealt, dealt.bins);
    for (int i = 0; i < b->n; i++) total += deal_cost(&b->shape, b->rows[i]);
    if (dealt.bins == plain.bins) ck_assert_int_le(most, most_of(&plain, plain.bins));
    double imbalance = total > 0 ? (double)most * dealt.bins / (double)total : 1;
    ck_assert(fabs(dealt.imbalance - imbalance) < 1e-12);
    int64_t pipeline = most_of(&dealt, b->shape.pipelines);
    imbalance = total > 0 ? (double)pipeline * b->shape.pipelines / (double)total : 1;
    ck_assert(fabs(dealt.pipelines_imbalance - imbalance) < 1e-12);
}

/* The same lengths the other way round: the same micro-batches, if one looks at lengths only. */
static void check_order(const struct batch *b)
{
    static int64_t cost[MOST_BINS];
    for (int k = 0; k < dealt.bins; k++) cost[k] = dealt.bin[k].cost;
    struct batch turned = *b;
    for (int i = 0; i < b->n; i++) turned.rows[i] = b->rows[b->n - 1 - i];
    int bins = dealt.bins;
    deal_run(&dealt, &turned.shape, turned.rows, turned.n);
    ck_assert_int_eq(dealt.bins, bins);
    for (int k = 0; k < bins; k++) ck_assert_int_eq(dealt.bin[k].cost, cost[k]);
}

START_TEST(random_lengths)
{
    struct rng_stream r = {.seed = 5, .at = {.purpose = RNG_TEST}};
    int better[3] = {0};
    for (int round = 0; round < 300; round++) {
        struct batch b;
        batch_make(&b, &r);
        deal_plainly(&plain, &b.shape, b.rows, b.n);
        deal_run(&dealt, &b.shape, b.rows, b.n);
        check_partition(&b);
        check_count(&b);
        check_even(&b);
        better[0] += dealt.bins < plain.bins;
        better[1] += dealt.bins == plain.bins && dealt.imbalance < plain.imbalance;
        better[2] += dealt.pipelines_imbalance > plain.pipelines_imbalance;
        check_order(&b);
    }
    printf("of 300 random batches: fewer micro-batches in %d, as many but more even in %d; "
           "pipelines less even in %d\n",
           better[0], better[1], better[2]);
    fflush(stdout);
    ck_assert_int_ge(better[0], 20);
    ck_assert_int_ge(better[1], 50);
}
END_TEST

/* Nothing but sequences of more than half a micro-batch: one each, the worst case of the bound. */
START_TEST(worst_case)
{
    struct batch b = {.n = 100, .shape = {32, 2, 2, 1, 100}};
    for (int i = 0; i < b.n; i++) b.rows[i] = 17;
    deal_plainly(&plain, &b.shape, b.rows, b.n);
    deal_run(&dealt, &b.shape, b.rows, b.n);
    check_partition(&b);
    check_count(&b);
    ck_assert_int_eq(dealt.bins, 100);
    ck_assert(dealt.imbalance == 1 && dealt.pipelines_imbalance == 1);
}
END_TEST

START_TEST(by_hand)
{
    /* 30 rows in 3 micro-batches of 10: 8+2, 7+3, 5+5 and nothing else will do */
    struct batch b = {.n = 6, .rows = {3, 8, 5, 5, 7, 2}, .shape = {10, 1, 1, 1, 1000000}};
    deal_run(&dealt, &b.shape, b.rows, b.n);
    ck_assert_int_eq(dealt.bins, 3);
    ck_assert_int_eq(dealt.bin_of[1], dealt.bin_of[5]);
    ck_assert_int_eq(dealt.bin_of[4], dealt.bin_of[0]);
    ck_assert_int_eq(dealt.bin_of[2], dealt.bin_of[3]);
    /* all attention: 8 costs 36, 7 costs 28, 5 costs 15, 3 costs 6, 2 costs 3; of two micro-batches
     * of 20 rows 8+5+2 = 54 and 7+5+3 = 49 are the nearest, 36+15 = 51 and 28+15+6+3 = 52 nearer
     * still */
    b.shape = (struct deal_shape){20, 1, 1, 1, 0};
    deal_run(&dealt, &b.shape, b.rows, b.n);
    ck_assert_int_eq(dealt.bins, 2);
    ck_assert_int_eq(dealt.bin[0].cost, 52); /* the costliest first */
    ck_assert_int_eq(dealt.bin[1].cost, 51);
    /* more micro-batches than sequences: eight for two pipelines of two directions */
    b.shape = (struct deal_shape){10, 2, 2, 4, 1000};
    deal_run(&dealt, &b.shape, b.rows, b.n);
    ck_assert_int_eq(dealt.bins, 8);
    check_partition(&b);
}
END_TEST

/* Four bins of given cost: halves 5+2 and 4+3, whichever way they are dealt in turn. */
START_TEST(pipelines_by_hand)
{
    struct batch b = {.n = 4, .rows = {50, 40, 30, 20}, .shape = {50, 2, 1, 2, 1000000}};
    deal_run(&dealt, &b.shape, b.rows, b.n);
    ck_assert_int_eq(dealt.bins, 4);
    ck_assert_int_eq(dealt.bin[0].rows + dealt.bin[2].rows, 70);
    ck_assert_int_eq(dealt.bin[1].rows + dealt.bin[3].rows, 70);
    b.shape.pipelines = 1;
    b.shape.directions = 2;
    b.shape.least = 4;
    deal_run(&dealt, &b.shape, b.rows, b.n);
    ck_assert_int_eq(dealt.bins, 4);
    ck_assert_int_eq(dealt.bin[0].rows + dealt.bin[2].rows, 70);
    ck_assert(dealt.directions_imbalance < 1.0001 && dealt.pipelines_imbalance == 1);
}
END_TEST

/* A rank a slot of a large cluster, as `duet plan` deals for it: time grows with the number, not
 * with its square. (A second would be many times what it takes; before, it was more than ten.) */
START_TEST(many_pipelines)
{
    enum { PIPELINES = 65536 };
    static const int rows[8] = {20, 21, 22, 23, 19, 18, 17, 25};
    const struct deal_shape shape = {512, PIPELINES, 1, 2, 1000};
    struct arena a = {0};
    struct deal d;
    for (int placing = 0; placing < 2; placing++) {
        deal_place(&d, 8, deal_bound(&shape, 165), &a);
        if (!placing) arena_back(&a, &device_host, a.used);
    }
    clock_t since = clock();
    deal_run(&d, &shape, rows, 8);
    ck_assert_double_lt((double)(clock() - since) / CLOCKS_PER_SEC, 2);
    ck_assert_int_eq(d.bins, 2 * PIPELINES);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < i; j++) ck_assert_int_ne(d.bin_of[i], d.bin_of[j]);
    arena_free(&a);
}
END_TEST

/* --- what it brings --- */

struct kind {
    const char *name;
    int n, prompt;
    double mean, spread; /* of the answers' logarithm: exp(mean) is the median length */
    struct deal_shape shape;
};

static const struct kind kinds[] = {
    {"128 short answers, 2 pipelines", 128, 12, 4.0, 0.5, {1024, 2, 2, 2, 1400}},
    {"256 answers, 2 pipelines", 256, 20, 4.5, 0.8, {1024, 2, 2, 4, 1400}},
    {"512 long answers, 4 pipelines", 512, 100, 6.5, 1.0, {8192, 4, 2, 8, 12000}},
    {"1024 long answers, attention counts", 1024, 200, 7.0, 1.0, {16384, 8, 2, 8, 2000}},
};

static double normal(struct rng_stream *r)
{
    double u = 1 - rng_next_uniform(r), v = rng_next_uniform(r);
    return sqrt(-2 * log(u)) * cos(2 * acos(-1) * v);
}

static void uneven(struct batch *b, const struct kind *k, struct rng_stream *r)
{
    b->n = k->n;
    b->shape = k->shape;
    for (int i = 0; i < b->n; i++) {
        double rows = k->prompt + exp(k->mean + k->spread * normal(r));
        b->rows[i] = rows < b->shape.T_max ? (int)rows : b->shape.T_max;
    }
}

START_TEST(uneven_answers)
{
    struct rng_stream r = {.seed = 7, .at = {.purpose = RNG_TEST}};
    printf("lognormal answers: plain way -> dealt (largest cost over mean)\n");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct batch b;
        uneven(&b, &kinds[k], &r);
        deal_plainly(&plain, &b.shape, b.rows, b.n);
        deal_run(&dealt, &b.shape, b.rows, b.n);
        check_partition(&b);
        check_count(&b);
        printf("  %-36s micro-batches %3d -> %3d (least possible %3zu), uneven by %5.2f %% -> "
               "%5.2f %%, pipelines %5.2f %% -> %5.2f %%, directions %5.2f %% -> %5.2f %%\n",
               kinds[k].name, plain.bins, dealt.bins,
               (total_of(&b) + (size_t)b.shape.T_max - 1) / (size_t)b.shape.T_max,
               100 * plain.imbalance - 100, 100 * dealt.imbalance - 100,
               100 * plain.pipelines_imbalance - 100, 100 * dealt.pipelines_imbalance - 100,
               100 * plain.directions_imbalance - 100, 100 * dealt.directions_imbalance - 100);
        fflush(stdout);
        /* time of a step that waits for its costliest micro-batch, and for its costliest pipeline
         */
        ck_assert(dealt.bins * dealt.imbalance <= plain.bins * plain.imbalance);
        ck_assert(dealt.pipelines_imbalance < 1.01);
    }
}
END_TEST

/* --- the same deals in every version: a resumed run learns from the same micro-batches --- */

static uint64_t hashed(uint64_t h, const struct deal *d, int n)
{
    h = (h ^ (uint64_t)d->bins) * 0x100000001b3u;
    for (int i = 0; i < n; i++) h = (h ^ (uint64_t)d->bin_of[i]) * 0x100000001b3u;
    return h;
}

/* The sums are of the first version, which looked for each bin, swap and trade among all. */
START_TEST(deals_stay_what_they_were)
{
    struct rng_stream r = {.seed = 21, .at = {.purpose = RNG_TEST}};
    uint64_t even = 0xcbf29ce484222325u, uneven_ones = even;
    struct batch b;
    for (int trial = 0; trial < 1000; trial++) {
        batch_make(&b, &r);
        b.shape.pipelines = draw(&r, 1, 12);
        deal_run(&dealt, &b.shape, b.rows, b.n);
        even = hashed(even, &dealt, b.n);
        deal_plainly(&dealt, &b.shape, b.rows, b.n);
        even = hashed(even, &dealt, b.n);
    }
    for (int trial = 0; trial < 20; trial++) {
        b = (struct batch){.n = MOST, .shape = {512, draw(&r, 1, 128), 2, draw(&r, 1, 16), 3000}};
        for (int i = 0; i < b.n; i++) b.rows[i] = 1 + 500 / draw(&r, 1, 60);
        deal_run(&dealt, &b.shape, b.rows, b.n);
        uneven_ones = hashed(uneven_ones, &dealt, b.n);
    }
    ck_assert_msg(even == 0xc8ef10426d384e70u && uneven_ones == 0x2ba7153733780cd1u, "%#llx, %#llx",
                  (unsigned long long)even, (unsigned long long)uneven_ones);
}
END_TEST

START_TEST(price_of_a_row)
{
    /* a layer: qkv 3*64*64, out 64*64, ffn 3*64*172 weights; two layers; head 100*64; a key: 2*64
     * weights a layer */
    struct dims d = DIMS(100, 2, 64, 172, 4, 4, 16);
    double weights = 2 * (4 * 64 * 64 + 3 * 64 * 172) + 100 * 64;
    ck_assert_int_eq(deal_linear(&d), (long)(weights / (2 * 2 * 64) + 0.5));
}
END_TEST

#define TESTS(X)                 \
    X(random_lengths)            \
    X(worst_case)                \
    X(by_hand)                   \
    X(pipelines_by_hand)         \
    X(many_pipelines)            \
    X(uneven_answers)            \
    X(deals_stay_what_they_were) \
    X(price_of_a_row)

UNIT_MAIN("deal", .timeout_s = 60, .setup = setup, .teardown = teardown)
