/* What duet plan RECIPE prints. */
#ifndef DUET_TRAINER_PLAN_REPORT_H
#define DUET_TRAINER_PLAN_REPORT_H

#include "trainer/planner/recipe.h"

/* Memory, the step's times and, when asked, the meshes, or a picture of the step; to stdout. */
void report(const struct recipe *r);

#endif
