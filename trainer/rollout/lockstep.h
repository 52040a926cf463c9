/* Decoding of pipelines that share experts: all of them run the same calls, in lockstep. */
#ifndef DUET_TRAINER_ROLLOUT_LOCKSTEP_H
#define DUET_TRAINER_ROLLOUT_LOCKSTEP_H

#include "trainer/rollout/inside.h"

/* A job, in place of turns_run. Collective over r->group. */
void lockstep_run(struct rollout *r);

#endif
