/* Grading the answers of a step, shared over ranks. */
#ifndef DUET_TRAINER_RUN_GRADE_H
#define DUET_TRAINER_RUN_GRADE_H

#include "trainer/run/run.h"

/* The verdict on one answer. Local. */
struct verdict grade_one(struct run *r, const struct problem *p, const struct answer *a);
/* Grades answers to the questions in scratch into ->rewards, the work shared over ranks; adds the parts to t when it is not NULL.
 * Collective. */
void grade_answers(struct run *r, const struct answer *answer, int questions, int samples,
                   struct tally *t);

#endif
