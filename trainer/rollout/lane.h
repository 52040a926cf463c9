/* The first stage of a direction: which slot samples what, when a prompt is read, which rows the
 * next wave has. */
#ifndef DUET_TRAINER_ROLLOUT_LANE_H
#define DUET_TRAINER_ROLLOUT_LANE_H

#include "trainer/rollout/inside.h"

/* Nothing is under way. */
void lane_clear(struct lane *l);
/* Sampled tokens of the oldest wave under way are in l->back: they are booked; returns which
 * wave it was. */
int lane_book(struct rollout *r, struct lane *l);
/* A wave is filled with rows and counted as under way; false: there are none. */
bool lane_fill(struct rollout *r, struct lane *l, struct wave *w);

#endif
