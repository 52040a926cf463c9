/* The walk: every rank advances while it can, until none moves. A rank waits only for events that,
 * once true, stay true; so the order in which the ranks are tried does not matter. */
#include "pipeline/blocked.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

/* ---- the index ---- */

static size_t cells(const struct plan *p)
{
    return (size_t)p->chunks * (size_t)p->micro_batches; /* directions x chunks x per direction */
}

void plan_index_new(struct plan_index *x, const struct plan *plan)
{
    x->plan = plan;
    for (int k = 0; k < 3; k++) {
        x->row[k] = memory_take(cells(plan), sizeof *x->row[k], "the check of a plan");
        memset(x->row[k], 0xff, cells(plan) * sizeof *x->row[k]); /* -1 */
    }
}

void plan_index_free(struct plan_index *x)
{
    for (int k = 0; k < 3; k++) free(x->row[k]);
}

int *plan_index_at(const struct plan_index *x, enum plan_op op, struct plan_cell c)
{
    int k = op == PLAN_F ? 0 : op == PLAN_W ? 2 : 1;
    return &x->row[k][(c.dir * x->plan->chunks + c.chunk) * plan_per_direction(x->plan) + c.mb];
}

/* A whole backward (BW) counts as B and as W of its cell, so that later lookups need no case for
 * it. */
void plan_index_fill(struct plan_index *x)
{
    const struct plan *p = x->plan;
    for (int r = 0; r < p->stages; r++)
        for (int i = 0; i < p->n_rows[r]; i++) {
            struct plan_pass pass[2];
            int n = plan_passes(&p->rows[r][i], pass);
            for (int k = 0; k < n; k++) {
                *plan_index_at(x, pass[k].op, pass[k].cell) = i;
                if (pass[k].op == PLAN_BW) *plan_index_at(x, PLAN_W, pass[k].cell) = i;
            }
        }
}

/* The row, on the sender's (step -1 for F, +1 for B) or the receiver's rank, of the other end of a
 * message. */
static int row_of_peer(const struct plan_index *x, const struct plan_pass *pass, bool sender)
{
    struct plan_cell c = pass->cell;
    c.chunk += (pass->op == PLAN_F) == sender ? -1 : 1;
    return *plan_index_at(x, pass->op == PLAN_F ? PLAN_F : PLAN_B, c);
}

/* ---- sends that block ---- */

struct blocked_walk {
    const struct plan_index *x;
    int *at;     /* [stages] */
    int buffers; /* that a receiver has for a stream */
};

/* Has the receiver used the message before this one, so that its one buffer is posted again (of
 * two, the one before that)? */
static bool awaited(const struct blocked_walk *w, const struct plan_pass *pass, int to)
{
    struct plan_pass before = *pass;
    before.cell.mb -= w->buffers;
    if (before.cell.mb < 0) return true;
    return w->at[to] > row_of_peer(w->x, &before, false);
}

/* Can the rank do its next row? */
static bool can_go(const struct blocked_walk *w, int r)
{
    const struct plan *p = w->x->plan;
    struct plan_pass pass[2];
    int n = plan_passes(&p->rows[r][w->at[r]], pass);
    for (int k = 0; k < n; k++) {
        int from = plan_sender(p, &pass[k]), to = plan_receiver(p, &pass[k]);
        if (from >= 0 && w->at[from] <= row_of_peer(w->x, &pass[k], true)) return false;
        if (to >= 0 && !awaited(w, &pass[k], to)) return false;
    }
    return true;
}

/* Does a row make two messages of one stream? */
static bool doubles(const struct plan_row *row)
{
    return row->op == PLAN_INTERLEAVED && row->interleaved[0] == row->interleaved[1] &&
           row->f.dir == row->b.dir && row->f.chunk == row->b.chunk;
}

static int buffers_of(const struct plan *p)
{
    for (int r = 0; r < p->stages; r++)
        for (int i = 0; i < p->n_rows[r]; i++)
            if (doubles(&p->rows[r][i])) return 2;
    return 1;
}

/* Advances all ranks until none can move; a plan that needs buffers it does not have stops before
 * its end. */
bool plan_unbuffered(const struct plan_index *x, int *at)
{
    const struct plan *p = x->plan;
    struct blocked_walk w = {x, at, buffers_of(p)};
    for (int r = 0; r < p->stages; r++) at[r] = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int r = 0; r < p->stages; r++)
            while (at[r] < p->n_rows[r] && can_go(&w, r)) at[r]++, moved = true;
    }
    for (int r = 0; r < p->stages; r++)
        if (at[r] < p->n_rows[r]) return false;
    return true;
}
