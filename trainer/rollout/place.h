/* Where a rollout's decoders stand among the chunks, and how large everything is. */
#ifndef DUET_TRAINER_ROLLOUT_PLACE_H
#define DUET_TRAINER_ROLLOUT_PLACE_H

#include "trainer/rollout/inside.h"

/* r->decoder of the chunks that this rank holds: neighbours and sizes. Local. */
void place_decoders(struct rollout *r);
/* All buffers, in r->arena; while that is empty it only measures. Local. */
void place_buffers(struct rollout *r);

#endif
