/* A plan made better row by row: what is on its longest chain is moved, paired or taken apart while that does no harm. */
#ifndef DUET_PIPELINE_IMPROVE_H
#define DUET_PIPELINE_IMPROVE_H

#include "pipeline/auto.h"

/* Stays a right plan (plan_check) within the limits, never slower; at most so many steps are simulated.
 * Returns the time it takes. The plan must have room for its rows (plan_room). Deterministic. */
double plan_improve(struct plan *plan, const struct sim_costs *costs,
                    const struct plan_limits *limits, int steps);

#endif
