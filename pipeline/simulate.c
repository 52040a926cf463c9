/* Every rank advances while it can, until none moves; times follow from the inputs, so the order in
 * which ranks are tried does not matter (as in pipeline/blocked.c). */
#include "pipeline/simulate.h"

#include <math.h>
#include <stdlib.h>
#include "comm/base/memory.h"

/* ---- costs ---- */

/* One place that lays out the costs, so that the planner, auto and tests agree on it. */
void sim_table_new(struct sim_table *t, int chunks, unsigned with)
{
    const char *what = "the costs of a plan";
    size_t n = (size_t)chunks;
    *t = (struct sim_table){.f = memory_take(n, sizeof *t->f, what),
                            .b = memory_take(n, sizeof *t->b, what),
                            .w = memory_take(n, sizeof *t->w, what)};
    if (with & SIM_WHOLE) t->bw = memory_take(n, sizeof *t->bw, what);
    if (with & SIM_PAIRS) t->pairs = memory_take(n * n, sizeof *t->pairs, what);
    if (with & SIM_TURNS) t->interleaved = memory_take(9 * n * n, sizeof *t->interleaved, what);
    t->sim = (struct sim_costs){.chunks = chunks,
                                .f = t->f,
                                .b = t->b,
                                .w = t->w,
                                .bw = t->bw,
                                .pair = 1,
                                .pairs = t->pairs,
                                .interleaved = t->interleaved};
}

void sim_table_even(struct sim_table *t, int chunks, const struct plan_costs *each)
{
    sim_table_new(t, chunks, 0);
    for (int i = 0; i < chunks; i++) t->f[i] = each->f, t->b[i] = each->b, t->w[i] = each->w;
    t->sim.pair = each->fb / (each->f + each->b + each->w);
}

void sim_table_free(struct sim_table *t)
{
    free(t->f);
    free(t->b);
    free(t->w);
    free(t->bw);
    free(t->pairs);
    free(t->interleaved);
}

/* ---- room ---- */

static size_t cells(const struct plan *p)
{
    return (size_t)p->chunks * (size_t)p->micro_batches;
}

/* One allocation for all times; start[0] owns it. */
void sim_new(struct sim *s, const struct plan *plan)
{
    size_t ranks = (size_t)plan->stages, room = (size_t)plan_room(plan);
    *s = (struct sim){.ranks = plan->stages, .room = (int)room};
    s->start = memory_take(ranks, sizeof *s->start, "the simulation of a plan"),
    s->end = memory_take(ranks, sizeof *s->end, "the simulation of a plan");
    double *all = memory_take(2 * ranks * room + 3 * ranks, sizeof *all,
                              "the simulation of a plan"); /* start[0] owns it */
    for (size_t r = 0; r < ranks; r++)
        s->start[r] = all + 2 * r * room, s->end[r] = s->start[r] + room;
    all += 2 * ranks * room;
    s->busy = all, s->idle = all + ranks, s->exposed = all + 2 * ranks;
    for (int k = 0; k < 2; k++)
        s->made[k] = memory_take(cells(plan), sizeof *s->made[k], "the simulation of a plan");
    s->at = memory_take(ranks, sizeof *s->at, "the simulation of a plan");
}

void sim_free(struct sim *s)
{
    if (s->start) free(s->start[0]);
    free(s->start);
    free(s->end);
    for (int k = 0; k < 2; k++) free(s->made[k]);
    free(s->at);
}

/* ---- what a row takes ---- */

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double whole_backward(const struct sim_costs *c, int chunk)
{
    return c->bw ? c->bw[chunk] : c->b[chunk] + c->w[chunk];
}

static double part(const struct sim_costs *c, enum plan_op op, int chunk)
{
    return op == PLAN_F ? c->f[chunk] : op == PLAN_B ? c->b[chunk] : c->w[chunk];
}

struct sim_interleaved sim_interleaved(const struct sim_costs *c, const struct plan_row *row)
{
    if (c->interleaved) {
        int first = (int)row->interleaved[0] * c->chunks + row->f.chunk;
        return c->interleaved[first * 3 * c->chunks + (int)row->interleaved[1] * c->chunks +
                              row->b.chunk];
    }
    double first = part(c, row->interleaved[0], row->f.chunk);
    double both = first + part(c, row->interleaved[1], row->b.chunk);
    return (struct sim_interleaved){both, {first, both}};
}

/* Without measured pairs a pair takes `pair` times the sum of its passes, but never less than the
 * longer one. */
double sim_row(const struct plan_row *row, const struct sim_costs *c)
{
    int f = row->f.chunk, b = row->b.chunk;
    switch (row->op) {
    case PLAN_INTERLEAVED: return sim_interleaved(c, row).takes;
    case PLAN_F: return c->f[f];
    case PLAN_B: return c->b[b];
    case PLAN_W: return c->w[b];
    case PLAN_BW: return whole_backward(c, b);
    case PLAN_FB:
    case PLAN_OPS: break;
    }
    if (c->pairs) return c->pairs[f * c->chunks + b];
    double back = whole_backward(c, b), both = c->f[f] + back;
    return c->pair > 0 ? larger(c->pair * both, larger(c->f[f], back)) : both;
}

/* ---- one pass of a row ---- */

static double *made_at(const struct sim *s, const struct plan *p, bool forward, struct plan_cell c)
{
    return &s->made[!forward][(c.dir * p->chunks + c.chunk) * plan_per_direction(p) + c.mb];
}

/* When the input of the pass is made and when it is here; false if that is not known yet. */
static bool input(const struct sim *s, const struct plan *p, const struct plan_pass *pass, int rank,
                  double message, double *made, double *here)
{
    bool forward = pass->op == PLAN_F;
    struct plan_cell c = pass->cell;
    int from = plan_sender(p, pass);
    *made = *here = 0;
    if (from < 0) return true;
    c.chunk += forward ? -1 : 1;
    *made = *made_at(s, p, forward, c);
    *here = *made + (from == rank ? 0 : message);
    return *made >= 0;
}

double sim_here(const struct sim *s, const struct plan *plan, const struct plan_pass *pass,
                int rank, const struct sim_costs *costs)
{
    double made, here;
    return input(s, plan, pass, rank, costs->message, &made, &here) ? here : INFINITY;
}

/* When what the pass makes can leave. */
static double output(const struct plan_row *row, const struct plan_pass *pass, int which,
                     const struct sim_costs *c, double start, double end)
{
    if (row->op == PLAN_INTERLEAVED) return start + sim_interleaved(c, row).done[which];
    if (row->op != PLAN_FB || pass->op != PLAN_F || c->pair_f <= 0) return end;
    return start + larger(c->pair_f * (end - start), c->f[row->f.chunk]);
}

/* ---- rows ---- */

/* A row starts when the rank is free and all inputs have arrived; time between its inputs being
 * made and arriving is exposed communication. */
bool sim_go(struct sim *s, const struct plan *p, const struct sim_costs *c, int r)
{
    int i = s->at[r];
    const struct plan_row *row = &p->rows[r][i];
    struct plan_pass pass[2];
    int n = plan_passes(row, pass);
    double start = i > 0 ? s->end[r][i - 1] : 0, ready = start;
    for (int k = 0; k < n; k++) {
        double made, here;
        if (!input(s, p, &pass[k], r, c->message, &made, &here)) return false;
        ready = larger(ready, made), start = larger(start, here);
    }
    double takes = sim_row(row, c);
    s->start[r][i] = start, s->end[r][i] = start + takes;
    s->busy[r] += takes, s->exposed[r] += start - ready;
    for (int k = 0; k < n; k++)
        if (pass[k].op != PLAN_W)
            *made_at(s, p, pass[k].op == PLAN_F, pass[k].cell) =
                output(row, &pass[k], k, c, start, start + takes);
    s->at[r]++;
    return true;
}

/* Idle time counts from 0 to the makespan, so the fill and drain of the pipeline are in the bubble.
 */
static void sum_up(struct sim *s, const struct plan *p)
{
    s->makespan = s->mean_idle = s->worst_idle = 0;
    for (int r = 0; r < s->ranks; r++)
        if (p->n_rows[r] > 0) s->makespan = larger(s->makespan, s->end[r][p->n_rows[r] - 1]);
    for (int r = 0; r < s->ranks; r++) {
        s->idle[r] = s->makespan - s->busy[r];
        s->mean_idle += s->idle[r] / s->ranks;
        s->worst_idle = larger(s->worst_idle, s->idle[r]);
    }
    s->bubble = s->makespan > 0 ? s->mean_idle / s->makespan : 0;
}

void sim_begin(struct sim *s, const struct plan *p)
{
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < cells(p); i++) s->made[k][i] = -1;
    for (int r = 0; r < s->ranks; r++) s->at[r] = 0, s->busy[r] = s->exposed[r] = 0;
}

/* Repeats over the ranks until none can advance; if rows are left then, the plan has a dependency
 * cycle. */
bool sim_run(struct sim *s, const struct plan *p, const struct sim_costs *costs)
{
    sim_begin(s, p);
    for (bool moved = true; moved;) {
        moved = false;
        for (int r = 0; r < s->ranks; r++)
            while (s->at[r] < p->n_rows[r] && sim_go(s, p, costs, r)) moved = true;
    }
    for (int r = 0; r < s->ranks; r++)
        if (s->at[r] < p->n_rows[r]) return false;
    sum_up(s, p);
    return true;
}
