/* What several updates of a step found together, by hand: means over updates, tokens, rows and
 * seconds; that what was not measured is NaN and never 0, and that a NaN or an infinity shows. */
#include <math.h>
#include <string.h>

#include "trainer/learn/learned.h"
#include "tests/support/check_unit.h"

static struct step_stats update(double x, long tokens)
{
    return (struct step_stats){.loss = x,
                               .entropy = 2 * x,
                               .clip_fraction = x / 8,
                               .k3 = 3 * x,
                               .max_deviation = x / 100,
                               .grad_norm = 5 * x,
                               .lr = x / 1000,
                               .tokens = tokens,
                               .rows = 2 * tokens,
                               .imbalance = 1 + x,
                               .load_max = 3 - x,
                               .rounds = x + 2,
                               .balance = 1 + x,
                               .bubble_fraction = x / 4,
                               .exposed_fraction = x / 2,
                               .seconds = x,
                               .reduce_seconds = x / 10,
                               .reduce_exposed = x / 20};
}

static void is(double got, double expected, const char *name)
{
    ck_assert_msg(fabs(got - expected) < 1e-12, "%s: %g, expected %g", name, got, expected);
}

START_TEST(nothing_is_nan)
{
    struct learned l = learned_nothing();
    ck_assert_int_eq(l.updates + l.skipped, 0);
    double v[] = {l.loss,
                  l.entropy,
                  l.clip_fraction,
                  l.kl,
                  l.balance,
                  l.bubble_fraction,
                  l.exposed_fraction,
                  l.grad_norm,
                  l.lr,
                  l.imbalance,
                  l.load_max,
                  l.rounds,
                  l.first_deviation,
                  l.later_deviation};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        ck_assert_msg(isnan(v[i]), "%zu: %g", i, v[i]);
}
END_TEST

/* The same bits: metrics of steps with one update are the update's. */
START_TEST(one_is_itself)
{
    struct learned l = learned_nothing();
    struct step_stats u = update(1.0 / 3, 7);
    learned_add(&l, &u);
    double got[] = {l.loss,    l.entropy,         l.clip_fraction,    l.kl,
                    l.balance, l.bubble_fraction, l.exposed_fraction, l.grad_norm,
                    l.lr,      l.imbalance,       l.load_max,         l.first_deviation,
                    l.seconds, l.rounds};
    double due[] = {u.loss,    u.entropy,         u.clip_fraction,    u.k3,
                    u.balance, u.bubble_fraction, u.exposed_fraction, u.grad_norm,
                    u.lr,      u.imbalance,       u.load_max,         u.max_deviation,
                    u.seconds, u.rounds};
    ck_assert(memcmp(got, due, sizeof got) == 0);
    ck_assert(isnan(l.later_deviation));
    ck_assert_int_eq(l.updates, 1);
    ck_assert_int_eq(l.tokens, 7);
}
END_TEST

/* 1 with 10 tokens and 10 rows' worth, 4 with 30: means over updates 2.5, over tokens and
 * rows 3.25, over seconds 3.4. */
START_TEST(two_by_hand)
{
    struct learned l = learned_nothing();
    struct step_stats a = update(1, 10), b = update(4, 30);
    learned_add(&l, &a);
    learned_add(&l, &b);
    is(l.loss, 2.5, "loss");
    is(l.grad_norm, 12.5, "grad_norm");
    is(l.lr, 0.004, "lr");
    is(l.entropy, 6.5, "entropy");
    is(l.clip_fraction, 3.25 / 8, "clip_fraction");
    is(l.kl, 9.75, "kl");
    is(l.balance, 4.25, "balance");
    is(l.bubble_fraction, 3.4 / 4, "bubble_fraction");
    is(l.exposed_fraction, 3.4 / 2, "exposed_fraction");
    is(l.imbalance, 5, "imbalance");
    is(l.load_max, 2, "load_max");
    is(l.rounds, 6, "rounds");
    is(l.first_deviation, 0.01, "first_deviation");
    is(l.later_deviation, 0.04, "later_deviation");
    is(l.seconds, 5, "seconds");
    is(l.reduce_seconds, 0.5, "reduce_seconds");
    is(l.reduce_exposed, 0.25, "reduce_exposed");
    ck_assert_int_eq(l.tokens, 40);
    ck_assert_int_eq(l.rows, 80);
    ck_assert_int_eq(l.updates, 2);
}
END_TEST

/* A skipped update was computed, not made: its norm and rate are not the step's. */
START_TEST(skipped)
{
    struct learned l = learned_nothing();
    struct step_stats a = update(1, 10), b = update(4, 30), broken = update(2, 20);
    broken.skipped = true;
    broken.grad_norm = INFINITY;
    learned_add(&l, &broken);
    ck_assert(isnan(l.grad_norm) && isnan(l.lr));
    is(l.loss, 2, "loss");
    learned_add(&l, &a);
    learned_add(&l, &broken);
    learned_add(&l, &b);
    is(l.grad_norm, 12.5, "grad_norm");
    is(l.lr, 0.004, "lr");
    ck_assert_int_eq(l.updates, 4);
    ck_assert_int_eq(l.skipped, 2);
}
END_TEST

START_TEST(what_is_not_finite_shows)
{
    struct learned l = learned_nothing();
    struct step_stats a = update(1, 10), broken = update(2, 20);
    broken.loss = NAN;
    broken.max_deviation = INFINITY;
    broken.imbalance = NAN;
    learned_add(&l, &a);
    learned_add(&l, &broken);
    ck_assert(l.imbalance == a.imbalance); /* not measured: it gives way */
    learned_add(&l, &a);
    ck_assert(isnan(l.loss));
    ck_assert(l.later_deviation == INFINITY && l.first_deviation == 0.01);
}
END_TEST

#define TESTS(X)      \
    X(nothing_is_nan) \
    X(one_is_itself)  \
    X(two_by_hand)    \
    X(skipped)        \
    X(what_is_not_finite_shows)

UNIT_MAIN("learned")
