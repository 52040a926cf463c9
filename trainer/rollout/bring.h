/* Answers on their way from the ranks that sampled them to the pipelines where they are wanted
 * (rollout_bring). */
#ifndef DUET_TRAINER_ROLLOUT_BRING_H
#define DUET_TRAINER_ROLLOUT_BRING_H

#include "trainer/rollout/inside.h"

enum {
    BRING_WINDOW = 16,             /* answers of a round that pass a rank */
    BRING_OPEN = 4 * BRING_WINDOW, /* messages open at once */
    BRING_PEERS = 2 * 31
};
void bring_place(struct rollout *r, struct arena *a);
/* World ranks that this one hands answers to, or gets them from, beside the first ranks of its own
 * pipeline's directions; returns how many. */
int bring_peers(const struct stage *s, int out[BRING_PEERS]);

#endif
