/* What one rank sends to, and gets from, each other member of its replica groups in a step's sums
 * and gathers, found from its own place alone: the picture of a rank (picture.h). reduction.h adds
 * the same up over all ranks, host by host. */
#ifndef DUET_TRAINER_PLANNER_REDUCTION_RANK_H
#define DUET_TRAINER_PLANNER_REDUCTION_RANK_H

#include "trainer/planner/flow.h"
#include "trainer/planner/reduction.h"

typedef void reduction_visit(void *ctx, enum traffic_kind k, int peer, struct flow out,
                             struct flow in);
/* Calls visit for every bucket and peer. host: of each rank of the mesh. Local. */
void reduction_of_rank(const struct memory_job *j, const int *host, struct mesh_at at,
                       reduction_visit *visit, void *ctx);

#endif
