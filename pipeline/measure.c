/* Both walks are the same loop: let every rank go on while it can, until none moves. A rank waits only
 * for events that, once true, stay true; so the order in which the ranks are tried does not matter. */
#include "pipeline/measure.h"

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

/* The row, on the sender's (step -1 for F, +1 for B) or the receiver's rank, of the other end of a message. */
static int row_of_peer(const struct plan_index *x, const struct plan_pass *pass, bool sender)
{
    struct plan_cell c = pass->cell;
    c.chunk += (pass->op == PLAN_F) == sender ? -1 : 1;
    return *plan_index_at(x, pass->op == PLAN_F ? PLAN_F : PLAN_B, c);
}

/* ---- the loop ---- */

void plan_timeline_new(struct plan_timeline *t, const struct plan *plan)
{
    size_t stages = (size_t)plan->stages, rows = 0;
    for (int r = 0; r < plan->stages; r++) rows += (size_t)plan->n_rows[r];
    t->at = memory_take(stages, sizeof *t->at, "the check of a plan");
    t->finish = memory_take(stages, sizeof *t->finish, "the check of a plan");
    t->start = memory_take(stages, sizeof *t->start, "the check of a plan");
    t->start[0] = memory_take(rows, sizeof *t->start[0], "the check of a plan");
    for (int r = 1; r < plan->stages; r++) t->start[r] = t->start[r - 1] + plan->n_rows[r - 1];
}

void plan_timeline_free(struct plan_timeline *t)
{
    free(t->start[0]);
    free(t->start);
    free(t->finish);
    free(t->at);
}

struct walk {
    const struct plan_index *x;
    const struct plan_costs *costs;
    struct plan_timeline *t;
    bool (*go)(struct walk *w, int rank); /* can the rank do row t->at[rank]? */
    int buffers;                          /* that a receiver has for a stream */
};

static bool walk_all(struct walk *w)
{
    const struct plan *p = w->x->plan;
    memset(w->t->at, 0, (size_t)p->stages * sizeof *w->t->at);
    for (bool moved = true; moved;) {
        moved = false;
        for (int r = 0; r < p->stages; r++)
            while (w->t->at[r] < p->n_rows[r] && w->go(w, r)) w->t->at[r]++, moved = true;
    }
    bool through = true;
    for (int r = 0; r < p->stages; r++) through &= w->t->at[r] == p->n_rows[r];
    return through;
}

/* ---- time ---- */

static double part_cost(enum plan_op op, const struct plan_costs *c)
{
    return op == PLAN_F ? c->f : op == PLAN_B ? c->b : c->w;
}

double plan_row_cost(const struct plan_row *row, const struct plan_costs *c)
{
    switch (row->op) {
    case PLAN_F: return c->f;
    case PLAN_B: return c->b;
    case PLAN_W: return c->w;
    case PLAN_BW: return c->b + c->w;
    case PLAN_FB: return c->fb;
    case PLAN_TWO: return part_cost(row->two[0], c) + part_cost(row->two[1], c);
    case PLAN_OPS: break;
    }
    return 0;
}

static bool go_timed(struct walk *w, int r)
{
    const struct plan *p = w->x->plan;
    int i = w->t->at[r];
    struct plan_pass pass[2];
    int n = plan_passes(&p->rows[r][i], pass);
    double t = w->t->finish[r];
    for (int k = 0; k < n; k++) {
        int s = plan_sender(p, &pass[k]);
        if (s < 0) continue;
        int j = row_of_peer(w->x, &pass[k], true);
        if (w->t->at[s] <= j) return false;
        double ready = w->t->start[s][j] + plan_row_cost(&p->rows[s][j], w->costs);
        if (ready > t) t = ready;
    }
    w->t->start[r][i] = t;
    w->t->finish[r] = t + plan_row_cost(&p->rows[r][i], w->costs);
    return true;
}

bool plan_times(const struct plan_index *x, const struct plan_costs *costs, struct plan_timeline *t)
{
    for (int r = 0; r < x->plan->stages; r++) t->finish[r] = 0;
    return walk_all(&(struct walk){.x = x, .costs = costs, .t = t, .go = go_timed});
}

/* ---- sends that block ---- */

/* Has the receiver used the message before this one, so that its one buffer is posted again (of two, the one before that)? */
static bool awaited(const struct walk *w, const struct plan_pass *pass, int to)
{
    struct plan_pass before = *pass;
    before.cell.mb -= w->buffers;
    if (before.cell.mb < 0) return true;
    return w->t->at[to] > row_of_peer(w->x, &before, false);
}

static bool go_unbuffered(struct walk *w, int r)
{
    const struct plan *p = w->x->plan;
    struct plan_pass pass[2];
    int n = plan_passes(&p->rows[r][w->t->at[r]], pass);
    for (int k = 0; k < n; k++) {
        int from = plan_sender(p, &pass[k]), to = plan_receiver(p, &pass[k]);
        if (from >= 0 && w->t->at[from] <= row_of_peer(w->x, &pass[k], true)) return false;
        if (to >= 0 && !awaited(w, &pass[k], to)) return false;
    }
    return true;
}

/* Does a row make two messages of one stream? */
static bool doubles(const struct plan_row *row)
{
    return row->op == PLAN_TWO && row->two[0] == row->two[1] && row->f.dir == row->b.dir &&
           row->f.chunk == row->b.chunk;
}

bool plan_unbuffered(const struct plan_index *x, struct plan_timeline *t)
{
    const struct plan *p = x->plan;
    struct walk w = {.x = x, .t = t, .go = go_unbuffered, .buffers = 1};
    for (int r = 0; r < p->stages; r++)
        for (int i = 0; i < p->n_rows[r]; i++)
            if (doubles(&p->rows[r][i])) w.buffers = 2;
    return walk_all(&w);
}
