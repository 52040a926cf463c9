/* Training of a reward model: rows of struct phase_kind. */
#ifndef DUET_TRAINER_PHASES_REWARD_MODEL_H
#define DUET_TRAINER_PHASES_REWARD_MODEL_H

#include "trainer/phase.h"

struct phase_size reward_model_size(const struct phase_settings *k);
void reward_model_begin(struct run *r);
bool reward_model_step(struct run *r, const struct phase_settings *k);
void reward_model_end(struct run *r);

#endif
