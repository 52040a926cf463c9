/* One rank's plan for all: a search takes a while and has one result. */
#ifndef DUET_PIPELINE_PLAN_BROADCAST_H
#define DUET_PIPELINE_PLAN_BROADCAST_H

#include <mpi.h>
#include "pipeline/plan.h"

/* Collective over comm: the plan that rank `root` has made; on the others it is made here
 * (plan_free). */
void plan_broadcast(struct plan *plan, int root, MPI_Comm comm);

#endif
