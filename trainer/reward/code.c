/* Programs: an answer's code is judged by the tests of its problem, in the grader server's sandbox,
 * while others are still decoded. */
#include "trainer/reward/by_tests.h"
#include "trainer/reward/code/code.h"

/* What is counted beside the reward: how answers ended, in the order of enum code_end. */
static const char *const counts[] = {"right",   "no_code",    "wrong",     "crash", "not_compiled",
                                     "timeout", "over_limit", "bad_tests", NULL};
_Static_assert(sizeof counts / sizeof *counts == CODE_ENDS + 1, "a name for each end");
_Static_assert((int)CODE_ENDS <= (int)REWARD_COUNTS, "room for each");

static double weight(const struct phase_settings *k)
{
    return k->reward_code;
}

static void start(struct rewards *r, const struct grading *g, int i, const struct completion *c,
                  const struct phase_settings *k)
{
    by_tests_start(r, g, GRADER_CODE, i, c, k);
}

const struct grader grader_code = {.name = "code",
                                   .help = "1 for a program that passes all tests of its problem, "
                                           "else 0; code_partial: the fraction that it passes",
                                   .needs = NEEDS_TEXT | NEEDS_TESTS,
                                   .weight = weight,
                                   .counts = counts,
                                   .start = start,
                                   .collect = by_tests_collect};
