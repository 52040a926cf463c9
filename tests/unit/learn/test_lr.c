/* Learning rates: warm-up in equal steps to lr, then constant, or down to lr * final at the last
 * update, along a line or half a cosine; what comes after the last update stays there. */
#include <math.h>

#include "trainer/learn/lr.h"
#include "trainer/phases/phases.h"
#include "tests/support/check_unit.h"

static struct lr schedule_of(int shape, long warmup, long steps)
{
    return (struct lr){
        .peak = 0.02, .final = 0.1, .shape = shape, .warmup = warmup, .updates = steps};
}

static void expect(const struct lr *s, long update, double lr)
{
    double got = lr_at(s, update);
    ck_assert_msg(fabs(got - lr) < 1e-15, "update %ld: %.17g, expected %.17g", update, got, lr);
}

START_TEST(warm_up)
{
    for (int shape = LR_CONSTANT; shape <= LR_COSINE; shape++) {
        struct lr s = schedule_of(shape, 4, 20);
        expect(&s, 0, 0.005);
        expect(&s, 1, 0.010);
        expect(&s, 2, 0.015);
        expect(&s, 3, 0.020);
        expect(&s, 4, 0.020);
    }
}
END_TEST

START_TEST(constant)
{
    struct lr s = schedule_of(LR_CONSTANT, 0, 10);
    for (long u = 0; u < 15; u++) expect(&s, u, 0.02);
}
END_TEST

START_TEST(linear)
{
    struct lr s = schedule_of(LR_LINEAR, 2, 13); /* 11 updates down: ten steps of 0.0018 */
    for (long u = 2; u < 13; u++) expect(&s, u, 0.02 - 0.0018 * (double)(u - 2));
    expect(&s, 12, 0.002);
    expect(&s, 13, 0.002);
    expect(&s, 1000, 0.002);
}
END_TEST

START_TEST(cosine)
{
    struct lr s = schedule_of(LR_COSINE, 0, 13); /* 12 steps down: 15 degrees each */
    double half_root3 = sqrt(3) / 2, middle = (0.02 + 0.002) / 2, half = (0.02 - 0.002) / 2;
    expect(&s, 0, 0.02);
    expect(&s, 2, middle + half * half_root3); /* 30 degrees */
    expect(&s, 4, middle + half * 0.5);        /* 60 */
    expect(&s, 6, middle);                     /* 90 */
    expect(&s, 8, middle - half * 0.5);
    expect(&s, 12, 0.002);
    expect(&s, 14, 0.002);
}
END_TEST

START_TEST(all_warm_up)
{
    struct lr s = schedule_of(LR_COSINE, 5, 5);
    for (long u = 0; u < 5; u++) expect(&s, u, 0.004 * (double)(u + 1));
    ck_assert(isfinite(lr_at(&s, 5)));
    s = schedule_of(LR_LINEAR, 4, 5); /* one update after it: there is no line through one point */
    ck_assert(isfinite(lr_at(&s, 4)));
}
END_TEST

static float rate(const struct phase_settings *k, long update)
{
    return lr_adamw(k, phase_kind_of(phase_kinds, k)->size(k).updates, update).lr;
}

/* A recipe's steps of warm-up and of decay have several updates each: mini_batches * epochs. */
START_TEST(steps_of_several_updates)
{
    struct phase_settings k = {.kind = PHASE_GRPO,
                               .steps = 12,
                               .warmup = 4,
                               .mini_batches = 4,
                               .epochs = 2,
                               .lr = 0.02,
                               .lr_final = 0.1,
                               .lr_decay = LR_LINEAR};
    for (long u = 0; u < 32; u++)
        ck_assert_float_eq_tol(rate(&k, u), 0.02f * (float)(u + 1) / 32, 1e-8f);
    ck_assert_float_eq_tol(rate(&k, 32), 0.02f, 1e-8f);
    ck_assert_float_eq_tol(rate(&k, 12 * 8 - 1), 0.002f, 1e-8f);
    k.kind = PHASE_SFT; /* has one a step, whatever those say */
    ck_assert_float_eq_tol(rate(&k, 0), 0.005f, 1e-8f);
    ck_assert_float_eq_tol(rate(&k, 3), 0.02f, 1e-8f);
    ck_assert_float_eq_tol(rate(&k, 11), 0.002f, 1e-8f);
}
END_TEST

#define TESTS(X)   \
    X(warm_up)     \
    X(constant)    \
    X(linear)      \
    X(cosine)      \
    X(all_warm_up) \
    X(steps_of_several_updates)

UNIT_MAIN("lr")
