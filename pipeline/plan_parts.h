/* A plan over the ranks that run it, each with its own rows; and back. */
#ifndef DUET_PIPELINE_PLAN_PARTS_H
#define DUET_PIPELINE_PLAN_PARTS_H

#include <mpi.h>
#include "pipeline/plan.h"

/* Collective over comm, a rank a stage. Each gets, into a part of plan_part_place, its rows of the
 * plan that rank `root` has made; of the others' `plan` nothing is read. */
void plan_scatter(struct plan_part *mine, const struct plan *plan, int root, MPI_Comm comm);
/* The plan is made on rank `root` (plan_free) from the parts of all; elsewhere it is empty. */
void plan_gather(struct plan *plan, const struct plan_part *mine, int root, MPI_Comm comm);

#endif
