/* How a counted quantity grows with a size. */
#ifndef DUET_TESTS_GROWTH_H
#define DUET_TESTS_GROWTH_H

#include <check.h>
#include <math.h>
#include <stdio.h>

enum { GROWTH_MOST = 16 };
struct growth {
    double size[GROWTH_MOST], count[GROWTH_MOST];
    int n;
};

static inline void growth_add(struct growth *g, double size, double count)
{
    ck_assert_int_lt(g->n, GROWTH_MOST);
    g->size[g->n] = size;
    g->count[g->n++] = count;
}

/* e of count ~ size^e: the slope of the logarithms by least squares. Counts of 0 count as 1. */
static inline double growth_exponent(const struct growth *g)
{
    double x = 0, y = 0, xx = 0, xy = 0, n = g->n;
    for (int i = 0; i < g->n; i++) {
        double a = log(g->size[i]), b = log(fmax(g->count[i], 1));
        x += a, y += b, xx += a * a, xy += a * b;
    }
    return (n * xy - x * y) / (n * xx - x * x);
}

/* The size to count the work of a sort against: it then grows with the power 1, and work of n^1.25
 * with one beyond 1.1 (growth/test_exponent). Against n itself a sort has 1.08 to 1.15, which
 * leaves no room for a limit. */
static inline double growth_n_log_n(double n)
{
    return n * log2(n);
}

/* Fails with all figures when it grows faster. */
static inline void growth_at_most(const struct growth *g, const char *what, double exponent)
{
    char text[1024];
    int at = snprintf(text, sizeof text, "%s grows with the power %.2f, not %.2f:", what,
                      growth_exponent(g), exponent);
    for (int i = 0; i < g->n && at < (int)sizeof text; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, " %g at %g,", g->count[i], g->size[i]);
    ck_assert_msg(growth_exponent(g) <= exponent, "%s", text);
}

#endif
