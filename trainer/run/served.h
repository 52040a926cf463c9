/* Rewards that the grader server gives. */
#ifndef DUET_TRAINER_RUN_SERVED_H
#define DUET_TRAINER_RUN_SERVED_H

#include "trainer/run/run.h"

/* Before anything is graded: where its recipe has programs judged, every rank opens its sandbox,
 * and says what it is. Less than the recipe wants ends the job. Collective over the world. */
void served_check(const struct run *r);

#endif
