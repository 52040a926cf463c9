/* Ranks that share a stage (tensor parallelism): one decides which batch runs when, the others
 * follow. Collective over the ranks of the stage. */
#ifndef DUET_TRAINER_ROLLOUT_TP_FOLLOW_H
#define DUET_TRAINER_ROLLOUT_TP_FOLLOW_H

#include "trainer/rollout/inside.h"

void tp_follow_place(struct rollout *r, struct arena *a);
/* What is told before a batch of this decoder. */
size_t tp_follow_bytes(const struct decoder *d);
/* The rank that decides: this batch runs now, here and on the others. `in` as of
 * decode_batch_run. */
void tp_follow_lead(struct rollout *r, struct decoder *d, struct decode_batch *b, const void *in);
/* The rank that decides: that was the last. */
void tp_follow_end(struct rollout *r);
/* The other ranks, for the whole job. */
void tp_follow_run(struct rollout *r);

#endif
