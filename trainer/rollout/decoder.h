/* The first stage of a direction: which slot samples what, when a prompt is read, which rows the
 * next batch has. */
#ifndef DUET_TRAINER_ROLLOUT_DECODER_H
#define DUET_TRAINER_ROLLOUT_DECODER_H

#include "trainer/rollout/inside.h"

/* Nothing is under way. */
void decoder_clear(struct decoder *d);
/* Sampled tokens of the oldest batch under way are in d->back: they are recorded; returns which
 * batch it was. */
int decoder_record(struct rollout *r, struct decoder *d);
/* Does an answer of this rank wait for an observation? */
bool decoder_asks(const struct rollout *r);
/* Those that have come, waiting at most so long for the first; false: none. Their answers go on, or
 * have ended. */
bool decoder_observe(struct rollout *r, int wait_ms);
/* A batch is filled with rows and counted as under way; false: there are none, and room_tell has
 * not been called. */
bool decoder_fill(struct rollout *r, struct decoder *d, struct decode_batch *b);

#endif
