/* A plan made better row by row: what is on its longest chain is moved, paired or taken apart while
 * that does no harm; and passes that run alone and wait for exchanges of their own are stepped in
 * turn with others near them. */
#ifndef DUET_PIPELINE_IMPROVE_H
#define DUET_PIPELINE_IMPROVE_H

#include "pipeline/auto.h"

/* Stays a right plan (plan_check) within the limits, never slower; at most this many steps are
 * simulated. Returns the time it takes. The plan must have room for its rows (plan_room).
 * Deterministic. */
double plan_improve(struct plan *plan, const struct sim_costs *costs,
                    const struct plan_limits *limits, int steps);

/* Makes PLAN_INTERLEAVED of unpaired passes, the nearest first, wherever ranks then wait less
 * inside rows and the plan is not slower. What costs->interleaved says decides; without it nothing
 * changes. Stays right, within the limits, otherwise like plan_improve. */
double plan_interleave(struct plan *plan, const struct sim_costs *costs,
                       const struct plan_limits *limits);

#endif
