/* The first stage of a direction: which slot samples what, when a prompt is read, which rows the
 * next wave has. */
#ifndef DUET_TRAINER_ROLLOUT_LANE_H
#define DUET_TRAINER_ROLLOUT_LANE_H

#include "trainer/rollout/inside.h"

/* Nothing is under way. */
void decoder_clear(struct decoder *d);
/* Sampled tokens of the oldest wave under way are in d->back: they are booked; returns which
 * wave it was. */
int decoder_book(struct rollout *r, struct decoder *d);
/* A wave is filled with rows and counted as under way; false: there are none. */
bool decoder_fill(struct rollout *r, struct decoder *d, struct wave *w);

#endif
