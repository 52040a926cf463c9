/* Exact sums: the same bits for every order and grouping; close to the true sum; broken for good by
 * a NaN. */
#include <math.h>
#include <string.h>

#include "comm/base/exact.h"
#include "comm/base/rng.h"
#include "tests/support/check_unit.h"

enum { N = 5000 };

__extension__ typedef __int128 i128;

static void terms_make(double *x)
{
    for (uint32_t i = 0; i < N; i++) {
        struct rng_at at = {.purpose = RNG_TEST, .position = i};
        x[i] = ldexp(rng_normal(1, at), (int)rng_below(2, at, 90) - 60);
    }
}

static double sum_of(const double *x, int n)
{
    struct exact_sum s = {0};
    for (int i = 0; i < n; i++) exact_add(&s, x[i]);
    return exact_value(&s);
}

START_TEST(order_does_not_matter)
{
    double x[N];
    terms_make(x);
    double sum = sum_of(x, N);
    struct rng_stream r = {.seed = 3, .at = {.purpose = RNG_SHUFFLE}};
    for (int round = 0; round < 10; round++) {
        for (uint32_t i = N - 1; i > 0; i--) {
            uint32_t j = rng_next_below(&r, i + 1);
            double swap = x[i];
            x[i] = x[j];
            x[j] = swap;
        }
        double again = sum_of(x, N);
        ck_assert(memcmp(&sum, &again, sizeof sum) == 0);
    }
}
END_TEST

START_TEST(grouping_does_not_matter)
{
    double x[N];
    terms_make(x);
    double sum = sum_of(x, N);
    for (int groups = 1; groups <= 64; groups *= 4) {
        struct exact_sum part[64] = {0}, all = {0};
        for (int i = 0; i < N; i++) exact_add(&part[i % groups], x[i]);
        for (int g = groups - 1; g >= 0; g--) exact_merge(&all, &part[g]);
        double again = exact_value(&all);
        ck_assert(memcmp(&sum, &again, sizeof sum) == 0);
    }
}
END_TEST

START_TEST(true_values)
{
    static const double small[] = {0x1p40, 1, -0x1p40, 0x1p-60, -1};
    ck_assert_double_eq(sum_of(small, 5), 0x1p-60); /* doubles lose 2^-60 beside 2^40 */
    static const double negative[] = {-0.5, -0.25, 0x1p-64, 0x1p-64};
    ck_assert_double_eq(sum_of(negative, 4), -0.75 + 0x1p-63);
    static const double tiny[] = {0x1p-66, 0x1p-66, 0x1p-66}; /* each rounds to 0 */
    ck_assert_double_eq(sum_of(tiny, 3), 0);
    struct exact_sum s = {0};
    for (int i = 0; i < 4096; i++) exact_add(&s, -0x1.fffffffffffffp49);
    ck_assert_double_eq(exact_value(&s), -0x1.fffffffffffffp61);
    ck_assert_double_eq(sum_of(NULL, 0), 0);
}
END_TEST

/* What stands in the sum is the term rounded once, ties to even: also for the terms that exact_add
 * converts in halves. */
START_TEST(rounded_once)
{
    for (uint32_t i = 0; i < 20000; i++) {
        struct rng_at at = {.purpose = RNG_TEST, .position = i};
        double x = ldexp(rng_normal(3, at), (int)rng_below(4, at, 140) - 95);
        if (i % 4 == 0) x = ldexp((double)(2 * (int64_t)rng_below(5, at, 1000000) + 1), -65);
        if (i % 2) x = -x;
        struct exact_sum s = {0};
        exact_add(&s, x);
        i128 whole = (i128)nearbyint(ldexp(x, 64));
        ck_assert_msg(s.hi == (int64_t)(whole >> 64) && s.lo == (uint64_t)whole, "%a", x);
    }
}
END_TEST

START_TEST(broken_for_good)
{
    const double bad[] = {NAN, INFINITY, -INFINITY, 0x1p50, -0x1p60};
    for (int i = 0; i < 5; i++) {
        struct exact_sum s = {0}, all = {0};
        exact_add(&s, 1);
        exact_add(&s, bad[i]);
        exact_add(&s, 2);
        ck_assert(isnan(exact_value(&s)));
        exact_add(&all, 5);
        exact_merge(&all, &s);
        ck_assert(isnan(exact_value(&all)));
        ck_assert_uint_eq(all.broken, 1);
    }
}
END_TEST

#define TESTS(X)                \
    X(order_does_not_matter)    \
    X(grouping_does_not_matter) \
    X(true_values)              \
    X(rounded_once)             \
    X(broken_for_good)

UNIT_MAIN("exact")
