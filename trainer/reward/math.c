/* 1 for an answer of the value that the problem's file gives, else 0, whatever data.verifier says
 * (docs/REWARDS.md, mathematics). */
#include "trainer/reward/math/math.h"
#include <string.h>
#include "trainer/reward/grader.h"

static float grade(const struct completion *c, const struct phase_settings *k)
{
    char why[MATH_WHY];
    struct span text = {c->text, c->bytes};
    struct span expected = {c->problem->answer, strlen(c->problem->answer)};
    (void)k;
    return math_grade(text, expected, why, sizeof why) == MATH_CORRECT ? 1 : 0;
}

static double weight(const struct phase_settings *k)
{
    return k->reward_math;
}

const struct grader grader_math = {.name = "math",
                                   .help = "1 for an answer of the expected value",
                                   .needs = NEEDS_TEXT,
                                   .weight = weight,
                                   .grade = grade};
