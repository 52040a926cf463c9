#include "pipeline/plan_broadcast.h"

#include "comm/coll.h"
#include "comm/world.h"

/* The shape goes first: the others need it to make room for the rows. */
void plan_broadcast(struct plan *plan, int root, MPI_Comm comm)
{
    struct plan shape = *plan;
    int me;
    MPI_OK(MPI_Comm_rank(comm, &me));
    coll_bcast(&shape, sizeof shape, root, comm); /* of its pointers nothing is used */
    if (me != root) {
        plan_begin(plan, shape.kind, shape.place, shape.stages, shape.micro_batches);
        plan->forward_only = shape.forward_only;
    }
    coll_bcast(plan->n_rows, (size_t)plan->stages * sizeof *plan->n_rows, root, comm);
    for (int r = 0; r < plan->stages; r++)
        coll_bcast(plan->rows[r], (size_t)plan->n_rows[r] * sizeof *plan->rows[r], root, comm);
}
