/* Decoding in batches that come as they may: a rank works on whatever has arrived. */
#ifndef DUET_TRAINER_ROLLOUT_TURNS_H
#define DUET_TRAINER_ROLLOUT_TURNS_H

#include "trainer/rollout/inside.h"

/* A job, on the ranks that lead their stages; between queue_start and queue_close. */
void turns_run(struct rollout *r);

#endif
