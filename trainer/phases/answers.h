/* Answers of a rollout as sequences of an update: each is where it was sampled, and comes to where
 * it is wanted. */
#ifndef DUET_TRAINER_PHASES_ANSWERS_H
#define DUET_TRAINER_PHASES_ANSWERS_H

#include "trainer/run/run.h"

struct answers {
    struct run *run;
    int samples; /* of a question */
    const struct step_job *job;
    struct sequence at; /* fetched last */
};
/* For struct step_job: a sequence with its prompt, and all answers brought. `answers` is theirs. */
const struct sequence *answers_fetch(void *answers, int i);
void answers_bring(void *answers, const struct step_job *job);

/* The first question of mini-batch `part` of the phase's; of part mini_batches: behind the last. */
int answers_first(const struct phase_settings *k, int part);

#endif
