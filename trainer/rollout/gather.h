/* The end of a rollout: all ranks hear of all answers, in 8 bytes each, twice
 * where they have turns; the tokens stay. */
#ifndef DUET_TRAINER_ROLLOUT_GATHER_H
#define DUET_TRAINER_ROLLOUT_GATHER_H

#include "trainer/rollout/inside.h"

/* What the ranks that sampled the answers know of them all get to know; returns the tokens of all.
 * Collective over the world. */
long gather_answers(struct rollout *r, int answers);

#endif
