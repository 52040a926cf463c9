/* Two walks over a plan that plan_check needs: how long it takes, and whether unbuffered sends hang it. */
#ifndef DUET_PIPELINE_MEASURE_H
#define DUET_PIPELINE_MEASURE_H

#include "pipeline/check.h"

/* Where each pass stands: its row on the rank that holds its chunk, -1 while none is known. */
struct plan_index {
    const struct plan *plan;
    int *row[3]; /* F, B (also of BW, FB), W (also of BW, FB); each [dir][chunk][mb] */
};
void plan_index_new(struct plan_index *x, const struct plan *plan); /* all -1 */
/* Fills an index from a plan that is known to be complete. */
void plan_index_fill(struct plan_index *x);
void plan_index_free(struct plan_index *x);
int *plan_index_at(const struct plan_index *x, enum plan_op op, struct plan_cell c); /* F, B or W */

/* What the walks write. In unit times or seconds, as the costs are. */
struct plan_timeline {
    double **start; /* [rank][row] when the row starts */
    double *finish; /* [rank] when its last row ends */
    int *at;        /* [rank] the row that the rank has come to: n_rows if it got through */
};
void plan_timeline_new(struct plan_timeline *t, const struct plan *plan);
void plan_timeline_free(struct plan_timeline *t);

/* Both walks need a complete index and return false when some rank cannot go on (t->at says where they stand). */

/* Messages are free, a row starts as soon as its rank and its inputs are ready. */
bool plan_times(const struct plan_index *x, const struct plan_costs *costs,
                struct plan_timeline *t);
double plan_row_cost(const struct plan_row *row, const struct plan_costs *costs);

/* Can it run when every send blocks until it is received, and a rank offers each stream (activations or
 * gradients for one of its chunks) one receive buffer, free again when the pass that reads it is done (with two for each, as the engine has, where some row of the plan
 * makes two messages of one stream)? Here a row
 * does not even start before its sends could leave. The engine waits for less (it has more buffers, and
 * sends when a pass is done), so what runs here runs there. Receives must be posted per stream: posted in
 * the order of the rows, four at a time, and with three buffers for sends, DualPipe hangs from P = 10
 * on, because an early message of one stream stands behind a late one of another (found by this walk). */
bool plan_unbuffered(const struct plan_index *x, struct plan_timeline *t);

#endif
