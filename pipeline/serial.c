/* serial: no pipeline at all, the plan that every other one is measured against.
 *
 *   for each micro-batch m:   F m all the way up the model;   B m all the way back
 *
 * A rank's rows are F m, BW m in turn; that the next micro-batch enters only after this one has
 * come back follows from the first rank's order. On one rank chunk 0 is the whole model. */
#include "pipeline/simulate.h"

void plan_make_serial(struct plan_part *part)
{
    const struct plan_cell none = {0};
    for (int m = 0; m < part->of.micro_batches; m++) {
        struct plan_cell cell = {0, part->rank, m};
        plan_part_add(part, PLAN_F, cell, none);
        plan_part_add(part, PLAN_BW, none, cell);
    }
}

/* While a micro-batch is anywhere else. */
double plan_idle_serial(int chunks, int micro_batches, const struct plan_costs *c)
{
    return micro_batches * (chunks - 1) * (c->f + c->b + c->w);
}
