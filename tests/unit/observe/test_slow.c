/* When a rank calls itself slow. Four ranks; the others work 0.5 s a step each. */

#include "trainer/observe/slow.h"
#include "tests/support/check_unit.h"

static bool look(struct slow *s, double mine, double now, double *times)
{
    return slow_look(s, mine, mine + 3 * 0.5, 4, now, times);
}

START_TEST(only_after_so_many_steps)
{
    struct slow s = {0};
    double times = 0;
    for (int i = 1; i < SLOW_STEPS; i++) ck_assert(!look(&s, 1.5, i, &times));
    ck_assert(look(&s, 2.5, SLOW_STEPS, &times));
    /* seven steps of 1.5 s and one of 2.5 s against eight of 0.5 s */
    ck_assert_double_eq_tol(times, 13.0 / 4, 1e-12);
}
END_TEST

START_TEST(one_that_stalls_now_and_then_is_not_slow)
{
    struct slow s = {0};
    double times = 0;
    for (int i = 0; i < 10 * SLOW_STEPS; i++)
        ck_assert(!look(&s, i % SLOW_STEPS == 3 ? 50 : 0.6, i, &times));
    for (int i = 0; i < 10 * SLOW_STEPS; i++) ck_assert(!look(&s, 0.95, i, &times));
}
END_TEST

START_TEST(every_other_step_is_enough)
{
    struct slow s = {0};
    double times = 0;
    for (int i = 1; i < SLOW_STEPS; i++) ck_assert(!look(&s, i % 2 ? 0.5 : 50, i, &times));
    ck_assert(look(&s, 50, SLOW_STEPS, &times)); /* (1 + 4) / 2 on average */
    ck_assert_double_eq_tol(times, 50.5, 1e-12);
}
END_TEST

START_TEST(said_now_and_then)
{
    struct slow s = {0};
    double times = 0;
    int said = 0;
    for (int now = 1; now <= 2 * SLOW_SAID_SECONDS + 3 * SLOW_STEPS; now++)
        said += look(&s, 2, now, &times);
    ck_assert_int_eq(said, 3);
    ck_assert_double_eq_tol(times, 4, 1e-12);
}
END_TEST

START_TEST(alone_or_idle_nobody_is_slow)
{
    struct slow s = {0};
    double times = 0;
    for (int i = 0; i < 20; i++) ck_assert(!slow_look(&s, 5, 5, 1, i, &times));
    for (int i = 0; i < 20; i++) ck_assert(!slow_look(&s, 0, 0, 4, i, &times));
}
END_TEST

#define TESTS(X)                                \
    X(only_after_so_many_steps)                 \
    X(one_that_stalls_now_and_then_is_not_slow) \
    X(every_other_step_is_enough)               \
    X(said_now_and_then)                        \
    X(alone_or_idle_nobody_is_slow)

UNIT_MAIN("slow")
