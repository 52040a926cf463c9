/* Reinforcement learning: rows of struct phase_kind. */
#ifndef DUET_TRAINER_PHASES_RL_H
#define DUET_TRAINER_PHASES_RL_H

#include "trainer/phase.h"

struct phase_size rl_size(const struct phase_settings *k);
bool rl_step(struct run *r, const struct phase_settings *k);

#endif
