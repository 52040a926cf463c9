/* Answers of several turns in a run: the environment of a phase (trainer/reward/environment)
 * between the rollout, which knows tokens, and what is said, which is text. A turn's tokens are
 * never made again from its text; an observation's are made of it once, where the answer is
 * sampled. */
#ifndef DUET_TRAINER_RUN_EPISODES_H
#define DUET_TRAINER_RUN_EPISODES_H

#include "trainer/run/run.h"

/* The answers that wait, and room for what is observed. */
struct episodes;
/* NULL: no phase has an environment. Dies without memory. Local. */
struct episodes *episodes_new(const struct run *r);
void episodes_free(struct episodes *e);

/* What a rollout of the phase hands its turns to; nothing (turn_ended NULL) without an environment.
 * Until the next call. Local. */
struct rollout_environment episodes_begin(struct run *r, const struct phase_settings *k);

/* What is learned of a demonstration (n tokens, the first n_prompt its prompt's): learn[i] becomes
 * 0 where the phase's environment would have said token i, as it stands there, and 1 at the others
 * behind the prompt. false: the phase has none. Local. */
bool episodes_mask(struct run *r, const struct phase_settings *k, const int *token, int n_prompt,
                   int n, unsigned char *learn);

#endif
