/* Verdicts that the judge of programs gives, for the rewards that want them: code, and accuracy
 * where a problem's answers are programs. */
#ifndef DUET_TRAINER_REWARD_BY_TESTS_H
#define DUET_TRAINER_REWARD_BY_TESTS_H

#include "trainer/reward/rewards.h"

/* Answer i goes to the judge; what comes back is the reward of `row`. An answer whose verdict is
 * REASON_BY_TESTS is judged once, for both rows, where both are graded. Local, as below; waits only
 * where the judge has as many as it takes. */
void by_tests_start(struct rewards *r, const struct grading *g, int row, int i,
                    const struct completion *c, const struct phase_settings *k);
/* Waits for all that were started. */
void by_tests_collect(struct rewards *r, const struct grading *g, const struct phase_settings *k);

#endif
