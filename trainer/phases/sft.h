/* Supervised fine-tuning: rows of struct phase_kind. */
#ifndef DUET_TRAINER_PHASES_SFT_H
#define DUET_TRAINER_PHASES_SFT_H

#include "trainer/phase.h"

struct phase_size sft_size(const struct phase_settings *k);
bool sft_step(struct run *r, const struct phase_settings *k);

#endif
