/* What duet plan RECIPE prints: the memory of every rank and the time of a step, before anything
 * runs; when asked, which mesh would be best, or a picture of the step. */
#ifndef DUET_TRAINER_PLANNER_REPORT_H
#define DUET_TRAINER_PLANNER_REPORT_H

#include "trainer/planner/recipe.h"

/* Local, no MPI. Prints to stdout; every mistake goes to p and no report is printed then. */
void report_recipe(const struct recipe_job *job, struct problems *p);

#endif
