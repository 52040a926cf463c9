/* Where each pass of a plan stands, and whether the plan hangs when every send blocks until it is
 * received. */
#ifndef DUET_PIPELINE_BLOCKED_H
#define DUET_PIPELINE_BLOCKED_H

#include "pipeline/plan.h"

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

/* Can it run when every send blocks until it is received, and a rank offers each stream
 * (activations or gradients for one of its chunks) one receive buffer, free again when the pass
 * that reads it is done (two for each, as the engine has, where some row of the plan makes two
 * messages of one stream)? Here a row does not even start before its sends could leave. The engine
 * waits for less (it has more buffers, and sends when a pass is done), so what runs here runs
 * there. Receives must be posted per stream: posted in the order of the rows, four at a time, and
 * with three buffers for sends, DualPipe hangs from P = 10 on, because an early message of one
 * stream stands behind a late one of another (found by this walk).
 *
 *   x    a complete index
 *   at   out [stages]   the row that each rank has come to: n_rows if it got through
 *
 * false: some rank cannot go on. Local, allocates nothing. */
bool plan_unbuffered(const struct plan_index *x, int *at);

#endif
