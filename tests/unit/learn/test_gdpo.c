/* GDPO by hand: two rewards whose sum is the same for both answers still tell them apart. */
#include <math.h>
#include "trainer/config/settings.h"
#include "trainer/learn/advantage.h"
#include "tests/support/check_unit.h"

enum { GROUPS = 3, SAMPLES = 2, ANSWERS = GROUPS * SAMPLES };

START_TEST(two_rewards)
{
    /* in the first group they trade off, in the second one has no spread, in the third neither */
    const float one[ANSWERS] = {1, 0, 1, 0, 1, 1}, two[ANSWERS] = {0, 1, 1, 1, 0, 0},
                total[ANSWERS] = {1, 1, 2, 1, 1, 1};
    const float *const term[] = {one, two};
    const double weight[] = {3, 1};
    float advantage[ANSWERS];
    bool equal[GROUPS];
    const struct phase_settings k = {.advantage = ADVANTAGE_GDPO};
    struct groups g = {.n = GROUPS,
                       .samples = SAMPLES,
                       .reward = total,
                       .terms = 2,
                       .term = term,
                       .term_weight = weight,
                       .equal = equal,
                       .advantage = advantage};
    ck_assert_int_eq(groups_compare(&g), 1);
    ck_assert(!equal[0] && !equal[1] && equal[2]);
    advantage_take(&g, &k);
    /* sums 3 - 1, 1 - 3; 3, -3; 0, 0: mean 0, variance (4 + 4 + 9 + 9) / 6 */
    const double std = sqrt(26.0 / 6), sum[ANSWERS] = {2, -2, 3, -3, 0, 0};
    for (int i = 0; i < ANSWERS; i++)
        ck_assert_double_eq_tol((double)advantage[i], sum[i] / std, 1e-6);
    /* by their sum alone the first group would teach nothing */
    g.terms = 0;
    ck_assert_int_eq(groups_compare(&g), 2);
    ck_assert(equal[0]);
}
END_TEST

START_TEST(nothing_to_tell_apart)
{
    const float one[ANSWERS] = {1, 1, 0, 0, 1, 1};
    const float *const term[] = {one};
    const double weight[] = {1};
    float advantage[ANSWERS];
    bool equal[GROUPS];
    const struct phase_settings k = {.advantage = ADVANTAGE_GDPO};
    const struct groups g = {.n = GROUPS,
                             .samples = SAMPLES,
                             .reward = one,
                             .terms = 1,
                             .term = term,
                             .term_weight = weight,
                             .equal = equal,
                             .advantage = advantage};
    ck_assert_int_eq(groups_compare(&g), GROUPS);
    advantage_take(&g, &k);
    for (int i = 0; i < ANSWERS; i++) ck_assert(advantage[i] == 0);
}
END_TEST

#define TESTS(X)   \
    X(two_rewards) \
    X(nothing_to_tell_apart)

UNIT_MAIN("gdpo")
