/* on each instruction set */
/* A token from a large vocabulary is the one that weighing and sorting all of it gives
 * (tests/support/plain_sampling.h), whatever the distribution; and it is nearly always found
 * without that. */
#include "comm/base/rng.h"
#include "model/sampling_large.h"
#include "tests/support/plain_sampling.h"
#include "tests/support/check_unit.h"

enum { MOST_V = 151936 };
static float z[MOST_V];
static const struct ops *ops;
static void *scratch;

static void setup(void)
{
    ops = ops_find(PRECISION_FP32, NULL);
    scratch = malloc(sampling_scratch(MOST_V));
}
static void teardown(void)
{
    free(scratch);
}

/* --- rows of logits --- */

static double normal(struct rng_stream *r)
{
    double a = rng_next_uniform(r), b = rng_next_uniform(r);
    return sqrt(-2 * log(1 - a)) * cos(6.283185307179586 * b);
}

enum { FLAT, TRAINED, STEEP, TIES, BF16, HOLES, EQUAL, SHAPES };

/* FLAT: an untrained model. TRAINED: a few likely tokens, a long tail. TIES: few different values.
 * BF16: logits rounded. HOLES: NaN and -infinity in between. */
static void fill(int shape, int V, uint32_t seed)
{
    struct rng_stream r = {.seed = 5, .at = {.purpose = RNG_TEST, .sample = seed}};
    for (int v = 0; v < V; v++) {
        double x = normal(&r);
        z[v] = (float)(0.6 * x);
        if (shape == TRAINED) z[v] = (float)(2.5 * x - 8);
        if (shape == STEEP) z[v] = (float)(20 * x);
        if (shape == TIES) z[v] = (float)floor(2 * x);
        if (shape == BF16) z[v] = (float)floor(32 * x) / 8;
        if (shape == HOLES && v % 3) z[v] = v % 3 == 1 ? NAN : -INFINITY;
        if (shape == EQUAL) z[v] = 1;
    }
    for (int i = 0; shape == TRAINED && i < 20; i++)
        z[rng_next_below(&r, (uint32_t)V)] = (float)(9 - 0.5 * i);
}

static int large(const struct sampling *s, int V, double u)
{
    struct sampling_row r;
    sampling_row_place(&r, V, scratch);
    ops->sample_largest(r.group, z, V, SAMPLING_GROUP);
    r.ops = ops, r.sampling = s, r.z = z, r.u = u, r.most = r.group[0];
    for (int g = 0; g < r.groups; g++) r.most = fmaxf(r.most, r.group[g]);
    return sampling_large(&r);
}

static int unsure, draws;

static void check_draw(int shape, int V, const struct sampling *s, double u)
{
    int want = plain_sample_token(z, V, s, u), is = sample_token(ops, z, V, s, u, scratch);
    ck_assert_msg(is == want, "shape %d, V %d, temperature %g, k %d, p %g, u %.17g: %d, not %d",
                  shape, V, (double)s->temperature, s->top_k, (double)s->top_p, u, is, want);
    draws++;
    if (s->temperature > 0) unsure += large(s, V, u) == SAMPLING_UNSURE;
}

/* --- */

static const int SIZES[] = {4096, 4097, 5000, 20011};

START_TEST(the_token_of_the_definition)
{
    static const float temperature[] = {1, 0.6f, 3, 0.05f, 0, 1e-20f, 1e6f};
    static const int k[] = {0, 1, 5, 50, 1000, 4000};
    static const float p[] = {1, 0.9f, 0.5f, 0.999f, 0, 1e-6f};
    struct rng_stream r = {.seed = 6, .at = {.purpose = RNG_TEST, .sample = (uint32_t)_i}};
    setup();
    for (int i = 0; i < 4 * SHAPES; i++) {
        int V = SIZES[i % 4], shape = i / 4;
        fill(shape, V, (uint32_t)(i + 100 * _i));
        for (int n = 0; n < 30; n++) {
            struct sampling s = {temperature[rng_next_below(&r, n % 2 ? 7 : 2)],
                                 k[rng_next_below(&r, 6)], p[rng_next_below(&r, 6)]};
            check_draw(shape, V, &s, rng_next_uniform(&r));
        }
    }
    teardown();
}
END_TEST

/* u at, just below and just above the sum at which one token ends: who takes a sum that is not the
 * one in token order draws the other. */
START_TEST(at_the_ends_of_tokens)
{
    struct rng_stream r = {.seed = 7, .at = {.purpose = RNG_TEST}};
    const struct sampling s = {1, 0, 1};
    const int V = 20011;
    setup();
    for (int shape = 0; shape < 3; shape++) {
        double most = -INFINITY, total = 0;
        fill(shape, V, 9);
        for (int v = 0; v < V; v++) most = fmax(most, (double)z[v]);
        for (int v = 0; v < V; v++) total += exp((double)z[v] - most);
        for (int n = 0; n < 40; n++) {
            int end = (int)rng_next_below(&r, (uint32_t)V);
            double reached = 0;
            for (int v = 0; v <= end; v++) reached += exp((double)z[v] - most);
            double u = reached / total;
            for (int step = -3; step <= 3 && u < 1; step++)
                check_draw(shape, V, &s, u + step * 0x1p-52);
            check_draw(shape, V, &s, 0);
        }
    }
    teardown();
}
END_TEST

/* Equality of a sum with top_p of the whole: 1/8192 each, exact in every order. */
START_TEST(top_p_is_reached_by_equality)
{
    setup();
    fill(EQUAL, 8192, 0);
    for (int n = 1; n <= 8192; n = n * 3 + 1) {
        const struct sampling s = {1, 0, (float)n / 8192};
        ck_assert_int_eq(sample_token(ops, z, 8192, &s, 1 - 0x1p-53, scratch), n - 1);
    }
    teardown();
}
END_TEST

/* Seldom is a row done exactly after all: of no truncation and of the top k about never, whatever
 * the distribution. */
START_TEST(seldom_unsure)
{
    static const struct sampling how[] = {{1, 0, 1}, {1, 50, 1}, {1, 50, 0.9f}, {1, 0, 0.9f}};
    static const int shapes[] = {FLAT, TRAINED, BF16};
    struct rng_stream r = {.seed = 8, .at = {.purpose = RNG_TEST}};
    setup();
    for (int i = 0; i < 3; i++) {
        fill(shapes[i], MOST_V, 3);
        for (int h = 0; h < 4; h++) {
            if (h == 3 && shapes[i] == BF16) continue; /* where it ends hundreds are equal */
            unsure = draws = 0;
            for (int n = 0; n < 25; n++)
                check_draw(shapes[i], MOST_V, &how[h], rng_next_uniform(&r));
            ck_assert_msg(unsure == 0, "shape %d, way %d: %d of %d", shapes[i], h, unsure, draws);
        }
    }
    teardown();
}
END_TEST

#define TESTS(X)                            \
    X(the_token_of_the_definition, .to = 4) \
    X(at_the_ends_of_tokens)                \
    X(top_p_is_reached_by_equality)         \
    X(seldom_unsure)

UNIT_MAIN("sampling_large", .timeout_s = 120)
