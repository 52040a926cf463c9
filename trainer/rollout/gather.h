/* The end of a rollout: all ranks get all answers. On the way an answer is words: index, n,
 * truncated, tokens, log-probabilities. */
#ifndef DUET_TRAINER_ROLLOUT_GATHER_H
#define DUET_TRAINER_ROLLOUT_GATHER_H

#include "trainer/rollout/inside.h"

/* r->answer of ranks that sampled it (r->mine) becomes that of all ranks; returns the tokens of
 * all. Collective over the world. */
long gather_answers(struct rollout *r, int answers);

#endif
