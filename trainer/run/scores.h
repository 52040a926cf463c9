/* Scores of answers, by the scalar head of the weights that learn, or by the reward model. */
#ifndef DUET_TRAINER_RUN_SCORES_H
#define DUET_TRAINER_RUN_SCORES_H

#include "trainer/run/run.h"

/* score (job->n): of each sequence the score of its last row, the same on every rank; job->scalar
 * is set. Forward only. Collective over the world. */
void scores_of(struct run *r, const struct step_job *job, float *score);

#endif
