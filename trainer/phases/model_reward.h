/* Rewards that take the model's own passes: asked behind a rollout. */
#ifndef DUET_TRAINER_PHASES_MODEL_REWARD_H
#define DUET_TRAINER_PHASES_MODEL_REWARD_H

#include "trainer/run/run.h"

/* Fills the rows of scratch->rewards that are on and by_model, for all answers of the step: between
 * grade_gather and rewards_sum. Collective over the world. */
void model_reward(struct run *r, const struct phase_settings *k, const struct answer *a);

#endif
