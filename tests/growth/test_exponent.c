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

#define TESTS(X) X(powers)

UNIT_MAIN("exponent")
