/* Decoding of pipelines that share experts: all of them run the same calls, in rounds. */
#ifndef DUET_TRAINER_ROLLOUT_ROUNDS_H
#define DUET_TRAINER_ROLLOUT_ROUNDS_H

#include "trainer/rollout/inside.h"

/* A job, in place of turns_run. Collective over r->group. */
void rounds_run(struct rollout *r);

#endif
