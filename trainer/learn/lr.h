/* The learning rate of every update of a phase: warm-up, then constant, or down along a line or
 * half a cosine. */
#ifndef DUET_TRAINER_LEARN_LR_H
#define DUET_TRAINER_LEARN_LR_H

#include "trainer/learn/optimizer.h"

struct lr {
    double peak, final; /* final: as a part of peak */
    int shape;          /* LR_CONSTANT, LR_LINEAR, LR_COSINE */
    long warmup, updates;
};
/* The rate of update number `update` (from 0): linear warm-up, then the shape. Local. */
double lr_at(const struct lr *s, long update);
/* The optimizer's settings for update number `update` (from 0) of a phase whose steps have
 * `per_step` updates each: a recipe counts in steps, the rate moves with every update. Local. */
struct adamw lr_adamw(const struct phase_settings *k, long per_step, long update);

#endif
