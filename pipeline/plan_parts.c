#include "pipeline/plan_parts.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/coll.h"
#include "comm/world.h"

/* The rows of all ranks behind one another, as they are sent and received. */
struct rows {
    MPI_Datatype type;     /* of one row */
    int *n, *offset;       /* [stages] */
    struct plan_row *rows; /* of a root only, as n and offset */
};

/* What MPI_Scatterv and MPI_Gatherv want to know; only the root has all rows. */
static void rows_new(struct rows *x, const int *n, int stages, bool root)
{
    *x = (struct rows){0};
    MPI_OK(MPI_Type_contiguous((int)sizeof *x->rows, MPI_BYTE, &x->type));
    MPI_OK(MPI_Type_commit(&x->type));
    if (!root) return;
    int total = 0;
    x->n = memory_take((size_t)stages, sizeof *x->n, "a plan");
    x->offset = memory_take((size_t)stages, sizeof *x->offset, "a plan");
    for (int r = 0; r < stages; r++) {
        x->n[r] = n[r];
        x->offset[r] = total;
        total += n[r];
    }
    x->rows = memory_take((size_t)total, sizeof *x->rows, "a plan");
}

static void rows_free(struct rows *x)
{
    MPI_OK(MPI_Type_free(&x->type));
    free(x->n);
    free(x->offset);
    free(x->rows);
}

static bool is_root(int root, MPI_Comm comm)
{
    int me;
    MPI_OK(MPI_Comm_rank(comm, &me));
    return me == root;
}

/* The shape goes first: a rank makes room for its rows by the kind of the plan. */
void plan_scatter(struct plan_part *mine, const struct plan *plan, int root, MPI_Comm comm)
{
    struct plan shape = *plan; /* of its pointers nothing is used */
    struct rows all;
    bool here = is_root(root, comm);
    rows_new(&all, plan->n_rows, mine->of.stages, here);
    for (int r = 0; here && r < plan->stages; r++)
        memcpy(all.rows + all.offset[r], plan->rows[r], (size_t)all.n[r] * sizeof *all.rows);
    coll_bcast(&shape, sizeof shape, root, comm);
    plan_part_again(mine, shape.kind, shape.micro_batches);
    mine->of.forward_only = shape.forward_only;
    MPI_OK(MPI_Scatter(all.n, 1, MPI_INT, &mine->n_rows, 1, MPI_INT, root, comm));
    MPI_OK(MPI_Scatterv(all.rows, all.n, all.offset, all.type, mine->rows, mine->n_rows, all.type,
                        root, comm));
    rows_free(&all);
}

/* Row counts differ between ranks, hence first those, then the rows. */
void plan_gather(struct plan *plan, const struct plan_part *mine, int root, MPI_Comm comm)
{
    const struct plan *of = &mine->of;
    struct rows all;
    bool here = is_root(root, comm);
    *plan = (struct plan){0};
    if (here) plan_begin(plan, of->kind, of->place, of->stages, of->micro_batches);
    plan->forward_only = of->forward_only;
    MPI_OK(MPI_Gather(&mine->n_rows, 1, MPI_INT, plan->n_rows, 1, MPI_INT, root, comm));
    rows_new(&all, plan->n_rows, of->stages, here);
    MPI_OK(MPI_Gatherv(mine->rows, mine->n_rows, all.type, all.rows, all.n, all.offset, all.type,
                       root, comm));
    for (int r = 0; here && r < of->stages; r++)
        memcpy(plan->rows[r], all.rows + all.offset[r], (size_t)all.n[r] * sizeof *all.rows);
    rows_free(&all);
}
