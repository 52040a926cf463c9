/* Group reward-decoupled normalization (GDPO, arXiv 2601.05242): rewards that trade off against
 * each other keep their differences, which a sum of them would lose. */
#ifndef DUET_TRAINER_LEARN_GDPO_H
#define DUET_TRAINER_LEARN_GDPO_H

#include "trainer/learn/advantage.h"

/* g->advantage from g's terms, all groups of the step at once. std is that of the population, with
 * nothing added; without terms the reward is the one; a term without spread in a group adds nothing
 * there, and a group without any (g->equal) gets 0. Local, allocates nothing. */
void gdpo_advantages(const struct groups *g);

#endif
