/* The phases of a recipe, run in order: a table of their kinds, and the loop over them. */
#ifndef DUET_TRAINER_PHASES_PHASES_H
#define DUET_TRAINER_PHASES_PHASES_H

#include "trainer/phase.h"

/* By number, as settings count them: sft, grpo, eval, export, reward_model. What is below hands it
 * in: the planner, resuming, an extent. */
extern const struct phase_kind phase_kinds[];

/* Runs all phases from where the run stands. Collective. Exit code: EXIT_DONE or EXIT_STOPPED. */
int phases_run(struct run *r);

#endif
