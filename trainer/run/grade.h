/* Grading in a run: each answer is graded on the rank that sampled it, as soon as it is finished,
 * and all ranks get all rewards at the end of the rollout. */
#ifndef DUET_TRAINER_RUN_GRADE_H
#define DUET_TRAINER_RUN_GRADE_H

#include "trainer/run/run.h"

/* For a job over the questions in scratch: what listens to it and fills scratch->rewards, for
 * phase k. parts: an evaluation, of which only what all phases have is graded, and the parts of
 * completions are counted. Local; until the next call. */
struct rollout_listener grade_listener(struct run *r, const struct phase_settings *k, int questions,
                                       int samples, bool parts);
/* Behind that rollout: scratch->rewards of the first `questions` become those of all ranks; t !=
 * NULL gets their parts. Collective over the world. */
void grade_gather(struct run *r, int questions, struct tally *t);
/* The verdict on one answer, at any time. Local. */
struct verdict grade_one(struct run *r, const struct problem *p, const struct answer *a);

#endif
