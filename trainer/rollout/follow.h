/* Ranks that share a stage (tensor parallelism): one decides which batch runs when, the others
 * follow. Collective over the ranks of the stage. */
#ifndef DUET_TRAINER_ROLLOUT_FOLLOW_H
#define DUET_TRAINER_ROLLOUT_FOLLOW_H

#include "trainer/rollout/inside.h"

void follow_place(struct rollout *r, struct arena *a);
/* What is told before a batch of this decoder. */
size_t follow_bytes(const struct decoder *d);
/* The rank that decides: this batch runs now, here and on the others. `in` as of
 * decode_batch_run. */
void follow_lead(struct rollout *r, struct decoder *d, struct decode_batch *b, const void *in);
/* The rank that decides: that was the last. */
void follow_end(struct rollout *r);
/* The other ranks, for the whole job. */
void follow_run(struct rollout *r);

#endif
