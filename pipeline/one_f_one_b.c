/* 1f1b: one forward, one backward, in turn (PipeDream-flush; Narayanan et al., SC'21, section 2.2).
 *
 *   step 1   x w       F           w = min(P-1-r, M): what the ranks below need to get going
 *   step 2   x M-w     F ; B       steady state
 *   step 3   x w       B
 *
 * B is the full backward. At most w+1 <= P micro-batches are live; every rank idles (P-1)(F+B). */
#include "pipeline/simulate.h"

/* Rank r runs P-1-r forwards ahead (PipeDream-Flush; Narayanan et al. 2021), then alternates. */
void plan_make_1f1b(struct plan_part *part)
{
    const struct plan_cell none = {0};
    int P = part->of.stages, M = part->of.micro_batches, r = part->rank;
    int w = P - 1 - r < M ? P - 1 - r : M;
    for (int i = 0; i < M + w; i++) {
        if (i < M) plan_part_add(part, PLAN_F, (struct plan_cell){0, r, i}, none);
        if (i >= w) plan_part_add(part, PLAN_BW, none, (struct plan_cell){0, r, i - w});
    }
}

double plan_idle_1f1b(int chunks, int micro_batches, const struct plan_costs *c)
{
    (void)micro_batches;
    return (chunks - 1) * (c->f + c->b + c->w);
}
