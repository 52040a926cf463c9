/* 1 for a right answer, else 0 (the accuracy reward of DeepSeek-R1, section 2.2.2). Of programs
 * the judge says it later. */
#include "trainer/reward/by_tests.h"

static float grade(const struct completion *c, const struct phase_settings *k)
{
    (void)k;
    return c->verdict.why == REASON_RIGHT ? 1 : 0;
}

static double weight(const struct phase_settings *k)
{
    return k->reward_accuracy;
}

static void start(struct rewards *r, const struct grading *g, int i, const struct completion *c,
                  const struct phase_settings *k)
{
    by_tests_start(r, g, GRADER_ACCURACY, i, c, k);
}

const struct grader grader_accuracy = {.name = "accuracy",
                                       .help = "1 for a right answer, else 0",
                                       .needs = NEEDS_VERDICT,
                                       .always = true,
                                       .weight = weight,
                                       .grade = grade,
                                       .start = start,
                                       .collect = by_tests_collect};
