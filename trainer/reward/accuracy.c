/* 1 for a right answer, else 0 (the accuracy reward of DeepSeek-R1, section 2.2.2). Every other
 * weight is relative to its. */
#include "trainer/reward/grader.h"

static float grade(const struct completion *c)
{
    return c->verdict.why == REASON_RIGHT ? 1 : 0;
}

static double weight(const struct phase_settings *k)
{
    (void)k;
    return 1;
}

const struct grader grader_accuracy = {.name = "accuracy",
                                       .needs = NEEDS_VERDICT,
                                       .grade = grade,
                                       .weight = weight};
