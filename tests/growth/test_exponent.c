/* The measure itself: exponents of counts whose growth is known. */
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"

static struct growth counted(double (*count)(double size))
{
    struct growth g = {.n = 0};
    for (int size = 8; size <= 4096; size *= 2) growth_add(&g, size, count(size));
    return g;
}

static double flat(double size)
{
    return size > 0 ? 7 : 0;
}

static double linear(double size)
{
    return 3 * size + 20;
}

static double square(double size)
{
    return size * size / 8;
}

START_TEST(powers)
{
    struct growth a = counted(flat), b = counted(linear), c = counted(square);
    ck_assert_double_eq_tol(growth_exponent(&a), 0, 1e-9);
    ck_assert_double_eq_tol(growth_exponent(&b), 1, 0.1);
    ck_assert_double_eq_tol(growth_exponent(&c), 2, 1e-9);
    growth_at_most(&b, "a line", 1.1);
}
END_TEST

/* At the sizes of growth/test_deal. */
START_TEST(sorts)
{
    struct growth sort = {.n = 0}, more = {.n = 0};
    for (int size = 2048; size <= 131072; size *= 4) {
        double n = size;
        growth_add(&sort, growth_n_log_n(n), 2 * n * log2(n) + 5 * n);
        growth_add(&more, growth_n_log_n(n), pow(n, 1.25));
    }
    ck_assert_double_eq_tol(growth_exponent(&sort), 1, 0.03);
    growth_at_most(&sort, "a sort", 1.1);
    ck_assert_double_gt(growth_exponent(&more), 1.1);
}
END_TEST

#define TESTS(X) X(powers) X(sorts)

UNIT_MAIN("exponent")
