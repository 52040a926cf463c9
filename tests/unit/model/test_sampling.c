/* Choosing a token. An even grid of N values of u must give every token its exact share, to 1/N. */
#include <math.h>

#include "comm/base/rng.h"
#include "model/ops.h"
#include "model/sampling.h"
#include "tests/support/check_unit.h"

enum { V = 12, GRID = 20000 };
static const double ALMOST_ONE = 1 - 0x1p-53;
static const float LOGITS[V] = {0.3f, -1, 2, 2, -30, 0.5f, 1.5f, -2, 0, -INFINITY, 1.9f, -0.5f};

static double scratch[8 * V];

static int draw(const float *logits, struct sampling s, double u)
{
    static const struct ops *ops;
    if (!ops) ops = ops_find(PRECISION_FP32, NULL);
    return sample_token(ops, logits, V, &s, u, scratch);
}

/* p[v] = the probability of v when only the `kept` are allowed */
static void probabilities(double *p, double temperature, const int *kept, int n)
{
    double sum = 0;
    for (int v = 0; v < V; v++) p[v] = 0;
    for (int i = 0; i < n; i++) sum += p[kept[i]] = exp((double)LOGITS[kept[i]] / temperature);
    for (int v = 0; v < V; v++) p[v] /= sum;
}

static void check_shares(struct sampling s, const double *p)
{
    int count[V] = {0};
    for (int i = 0; i < GRID; i++) count[draw(LOGITS, s, (i + 0.5) / GRID)]++;
    for (int v = 0; v < V; v++) {
        ck_assert_double_eq_tol((double)count[v] / GRID, p[v], 1.0 / GRID);
        if (p[v] == 0) ck_assert_int_eq(count[v], 0);
    }
}

static const int ALL[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const int BEST[] = {2, 3, 10, 6, 5, 0, 8, 11, 1, 7, 4, 9}; /* 2 and 3 are equal */

START_TEST(shares_are_exact)
{
    static const float temperature[] = {0.25f, 0.8f, 1, 3};
    double p[V];
    for (int i = 0; i < 4; i++) {
        probabilities(p, (double)temperature[i], ALL, V);
        check_shares((struct sampling){temperature[i], 0, 1}, p);
    }
}
END_TEST

START_TEST(random_draws_pass_chi_square)
{
    int count[V] = {0};
    double p[V], chi = 0;
    probabilities(p, 1, ALL, V);
    for (uint32_t i = 0; i < 100000; i++) {
        struct rng_at at = {.purpose = RNG_TEST, .position = i};
        count[draw(LOGITS, (struct sampling){1, 0, 1}, rng_uniform(1, at))]++;
    }
    for (int v = 0; v < V; v++)
        if (p[v] > 1e-6) chi += pow(count[v] - 1e5 * p[v], 2) / (1e5 * p[v]);
    ck_assert_double_lt(chi, 29.6); /* 9 degrees of freedom, 1 in 2000 */
}
END_TEST

START_TEST(top_k_keeps_k)
{
    double p[V];
    for (int k = 1; k <= V + 1; k++) {
        probabilities(p, 1, BEST, k < V ? k : V);
        check_shares((struct sampling){1, k, 1}, p);
    }
}
END_TEST

/* The fewest most likely tokens that reach top_p, renormalised. */
START_TEST(top_p_keeps_the_fewest_that_reach_it)
{
    double full[V], p[V], reached = 0;
    probabilities(full, 1, ALL, V);
    for (int n = 1; n < V - 1; n++) {
        double previous = reached;
        reached += full[BEST[n - 1]];
        if (reached - previous < 1e-6) break; /* float's top_p cannot fall between */
        probabilities(p, 1, BEST, n);
        check_shares((struct sampling){1, 0, (float)((reached + previous) / 2)}, p);
    }
    ck_assert_int_eq(draw(LOGITS, (struct sampling){1, 0, 0}, ALMOST_ONE), 2);
    ck_assert_int_eq(draw(LOGITS, (struct sampling){1, 0, 1e-6f}, ALMOST_ONE), 2);
}
END_TEST

START_TEST(top_p_is_reached_by_equality)
{
    float logits[V];
    for (int v = 0; v < V; v++) logits[v] = v < 8 ? 0 : -INFINITY; /* eight of 1/8 each */
    for (int n = 1; n <= 8; n++) {
        struct sampling s = {1, 0, (float)n / 8};
        for (int i = 0; i < n; i++) ck_assert_int_eq(draw(logits, s, (i + 0.5) / n), i);
        ck_assert_int_eq(draw(logits, s, ALMOST_ONE), n - 1);
    }
}
END_TEST

/* top_p counts within what top_k left: of {2, 3, 10}, 2 and 3 weigh 0.688. */
START_TEST(top_k_then_top_p)
{
    double p[V];
    probabilities(p, 1, BEST, 2);
    check_shares((struct sampling){1, 3, 0.65f}, p);
    probabilities(p, 1, BEST, 3);
    check_shares((struct sampling){1, 3, 0.7f}, p);
}
END_TEST

START_TEST(greedy_takes_the_first_of_the_largest)
{
    ck_assert_int_eq(draw(LOGITS, (struct sampling){0, 0, 1}, ALMOST_ONE), 2);
    ck_assert_int_eq(draw(LOGITS, (struct sampling){0, 3, 0.1f}, 0), 2);
    ck_assert_int_eq(draw(LOGITS, (struct sampling){1, 1, 1}, ALMOST_ONE), 2);
    ck_assert_int_eq(draw(LOGITS, (struct sampling){1e-20f, 0, 1}, 0.4), 2);
}
END_TEST

START_TEST(the_ends_of_u_pick_possible_tokens)
{
    float logits[V];
    for (int v = 0; v < V; v++) logits[v] = -INFINITY;
    logits[4] = -3;
    logits[7] = -3;
    struct sampling plain = {1, 0, 1}, narrow = {1, 5, 0.9f};
    ck_assert_int_eq(draw(logits, plain, 0), 4);
    ck_assert_int_eq(draw(logits, plain, ALMOST_ONE), 7);
    ck_assert_int_eq(draw(logits, plain, 0.5), 7);
    ck_assert_int_eq(draw(logits, narrow, 0), 4);
    ck_assert_int_eq(draw(logits, narrow, ALMOST_ONE), 7);
    /* a weight that underflows to 0 is never drawn, first or last in token order */
    float steep[V] = {-2000, 5, 5, -2000, 5, 5, 5, 5, 5, 5, 5, -2000};
    ck_assert_int_eq(draw(steep, plain, 0), 1);
    ck_assert_int_eq(draw(steep, plain, ALMOST_ONE), 10);
}
END_TEST

START_TEST(a_nan_is_never_drawn)
{
    float logits[V];
    struct sampling plain = {1, 0, 1}, narrow = {1, 4, 0.9f};
    for (int v = 0; v < V; v++) logits[v] = v % 2 ? NAN : (float)v;
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(draw(logits, plain, i / 100.0) % 2, 0);
        ck_assert_int_eq(draw(logits, narrow, i / 100.0) % 2, 0);
    }
    logits[2] = INFINITY;
    ck_assert_int_eq(draw(logits, plain, ALMOST_ONE), 2);
}
END_TEST

#define TESTS(X)                             \
    X(shares_are_exact)                      \
    X(random_draws_pass_chi_square)          \
    X(top_k_keeps_k)                         \
    X(top_p_keeps_the_fewest_that_reach_it)  \
    X(top_p_is_reached_by_equality)          \
    X(top_k_then_top_p)                      \
    X(greedy_takes_the_first_of_the_largest) \
    X(the_ends_of_u_pick_possible_tokens)    \
    X(a_nan_is_never_drawn)

UNIT_MAIN("sampling")
