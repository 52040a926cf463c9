/* A walk from plan to plan. The time of a step is that of a chain of rows, each of which waits for
 * the one before: the row before it on its rank, or the one that makes its input. Only a change on
 * that chain can shorten it, so seven times of eight a row on it, or beside one, is drawn; then a
 * change. What would be wrong is taken back, so is what takes longer; what takes as long is kept,
 * since several ranks must often change before one gains. */
#include "pipeline/improve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/rng.h"
#include "pipeline/blocked.h"

enum { SEED = 2, FAR = 3, NEAR = 4, LATER = 6, IDLE_DRAWS = 8 };
static const double SAME = 1e-9;

struct improve_place {
    int rank, row;
};

struct improve_walk {
    struct plan *plan;
    const struct sim_costs *costs;
    const struct plan_limits *limits;
    struct sim sim;
    struct plan_index index;
    int *at; /* scratch of plan_unbuffered */
    struct rng_stream rng;
    struct plan_row *saved; /* of the rank that is being changed */
    struct improve_place *chain;
    int chained;
    double makespan, busy; /* busy: of all ranks together */
};

static int draw_index(struct improve_walk *w, int n)
{
    return (int)rng_next_below(&w->rng, (uint32_t)n);
}

/* ---- the chain ---- */

/* The row whose output the cell's pass waits for. */
static int row_that_makes(const struct plan *p, int rank, bool forward, struct plan_cell c)
{
    for (int i = 0; i < p->n_rows[rank]; i++) {
        struct plan_pass pass[2];
        int n = plan_passes(&p->rows[rank][i], pass);
        for (int k = 0; k < n; k++) {
            const struct plan_cell *made = &pass[k].cell;
            bool has = pass[k].op != PLAN_W && (pass[k].op == PLAN_F) == forward;
            if (has && made->chunk == c.chunk && made->dir == c.dir && made->mb == c.mb) return i;
        }
    }
    return -1;
}

/* What the row waited for last; false: for nothing, it is where the chain begins. */
static bool waited_for(const struct improve_walk *w, struct improve_place at,
                       struct improve_place *before)
{
    double start = w->sim.start[at.rank][at.row];
    *before = (struct improve_place){at.rank, at.row - 1};
    if (at.row > 0 && w->sim.end[at.rank][at.row - 1] >= start * (1 - SAME)) return true;
    struct plan_pass pass[2];
    int n = plan_passes(&w->plan->rows[at.rank][at.row], pass);
    for (int k = 0; k < n; k++) {
        int from = plan_sender(w->plan, &pass[k]);
        if (from < 0 ||
            sim_here(&w->sim, w->plan, &pass[k], at.rank, w->costs) < start * (1 - SAME))
            continue;
        bool forward = pass[k].op == PLAN_F;
        pass[k].cell.chunk += forward ? -1 : 1;
        *before =
            (struct improve_place){from, row_that_makes(w->plan, from, forward, pass[k].cell)};
        return true;
    }
    return false;
}

/* The critical path, from the rank that ends last back to time 0: only moves on it can shorten the
 * plan. */
static void find_chain(struct improve_walk *w)
{
    const struct plan *p = w->plan;
    struct improve_place at = {0, 0};
    sim_run(&w->sim, p, w->costs);
    for (int r = 0; r < p->stages; r++)
        if (w->sim.end[r][p->n_rows[r] - 1] >= w->makespan * (1 - SAME)) at.rank = r;
    at.row = p->n_rows[at.rank] - 1;
    w->chained = 0;
    do w->chain[w->chained++] = at;
    while (waited_for(w, at, &at));
}

/* Mostly on or beside the critical path; one draw in eight anywhere, to leave local optima. */
static struct improve_place draw_place(struct improve_walk *w)
{
    const struct plan *p = w->plan;
    struct improve_place at = {draw_index(w, p->stages), 0};
    if (draw_index(w, 8) == 0) {
        at.row = draw_index(w, p->n_rows[at.rank]);
        return at;
    }
    at = w->chain[draw_index(w, w->chained)];
    at.row += draw_index(w, 3) - 1;
    if (at.row < 0) at.row = 0;
    if (at.row >= p->n_rows[at.rank]) at.row = p->n_rows[at.rank] - 1;
    return at;
}

/* ---- changes: each of row i of a list of *n; false: none was made ---- */

static void insert_row(struct plan_row *rows, int *n, int i, struct plan_row row)
{
    memmove(rows + i + 1, rows + i, (size_t)(*n - i) * sizeof *rows);
    rows[i] = row;
    ++*n;
}

static void remove_row(struct plan_row *rows, int *n, int i)
{
    memmove(rows + i, rows + i + 1, (size_t)(*n - i - 1) * sizeof *rows);
    --*n;
}

static int find_w(const struct plan_row *rows, int n, struct plan_cell c)
{
    for (int i = 0; i < n; i++)
        if (rows[i].op == PLAN_W && rows[i].b.chunk == c.chunk && rows[i].b.dir == c.dir &&
            rows[i].b.mb == c.mb)
            return i;
    return -1;
}

static bool move(struct improve_walk *w, struct plan_row *rows, int *n, int i)
{
    struct plan_row row = rows[i];
    int by = 1 + draw_index(w, FAR), to = draw_index(w, 2) ? i + by : i - by;
    if (to < 0 || to >= *n) return false;
    remove_row(rows, n, i);
    insert_row(rows, n, to, row);
    return true;
}

static struct plan_pass pass_of(const struct plan_row *row)
{
    struct plan_pass pass[2];
    plan_passes(row, pass);
    return pass[0];
}

/* Two unpaired passes to be stepped in turn take the place of row `stay`, the other of i and j is
 * gone. The earlier of two forwards comes first. */
static bool make_interleaved(struct plan_row *rows, int *n, int i, int j, int stay)
{
    struct plan_row interleaved;
    int first = i < j ? i : j, second = i + j - first;
    bool unpaired = rows[i].op < PLAN_BW && rows[j].op < PLAN_BW;
    if (!unpaired ||
        (!plan_row_interleaved(&interleaved, pass_of(&rows[first]), pass_of(&rows[second])) &&
         !plan_row_interleaved(&interleaved, pass_of(&rows[second]), pass_of(&rows[first]))))
        return false;
    rows[stay] = interleaved;
    remove_row(rows, n, i + j - stay);
    return true;
}

/* Any two unpaired passes nearby. */
static bool pair_up(struct improve_walk *w, struct plan_row *rows, int *n, int i)
{
    int by = 1 + draw_index(w, NEAR), j = draw_index(w, 2) ? i + by : i - by;
    return j >= 0 && j < *n && make_interleaved(rows, n, i, j, i);
}

/* A forward and a backward nearby become a pair; the backward's weight part, if it stands apart,
 * goes along. */
static bool fuse(struct improve_walk *w, struct plan_row *rows, int *n, int i)
{
    int by = 1 + draw_index(w, NEAR), j = draw_index(w, 2) ? i + by : i - by;
    if (j < 0 || j >= *n) return false;
    const struct plan_row *f = rows[i].op == PLAN_F ? &rows[i] : &rows[j];
    const struct plan_row *b = f == &rows[i] ? &rows[j] : &rows[i];
    if (f->op != PLAN_F || (b->op != PLAN_B && b->op != PLAN_BW)) return false;
    int apart = b->op == PLAN_B ? find_w(rows, *n, b->b) : -1;
    rows[i] = (struct plan_row){.op = PLAN_FB, .f = f->f, .b = b->b};
    if (apart > j) remove_row(rows, n, apart);
    remove_row(rows, n, j);
    if (apart >= 0 && apart < j) remove_row(rows, n, apart);
    return true;
}

static struct plan_row row_of_pass(struct plan_pass pass)
{
    return (struct plan_row){.op = pass.op, .f = pass.cell, .b = pass.cell};
}

static bool unfuse(struct improve_walk *w, struct plan_row *rows, int *n, int i)
{
    struct plan_pass pass[2];
    if (plan_passes(&rows[i], pass) < 2) return false;
    int first = draw_index(w, 2) ? 0 : 1;
    rows[i] = row_of_pass(pass[first]);
    insert_row(rows, n, i + 1, row_of_pass(pass[!first]));
    return true;
}

/* The weight part of a backward goes a little later. */
static bool split(struct improve_walk *w, struct plan_row *rows, int *n, int i)
{
    if (rows[i].op != PLAN_BW) return false;
    int to = i + 1 + draw_index(w, LATER);
    rows[i].op = PLAN_B;
    insert_row(rows, n, to < *n ? to : *n, (struct plan_row){.op = PLAN_W, .b = rows[i].b});
    return true;
}

static bool join(struct improve_walk *w, struct plan_row *rows, int *n, int i)
{
    (void)w;
    int apart = rows[i].op == PLAN_B ? find_w(rows, *n, rows[i].b) : -1;
    if (apart < 0) return false;
    remove_row(rows, n, apart);
    rows[i].op = PLAN_BW;
    return true;
}

typedef bool change(struct improve_walk *w, struct plan_row *rows, int *n, int i);
static change *const CHANGES[] = {move, move, fuse, unfuse, split, join, pair_up};
enum { N_CHANGES = sizeof CHANGES / sizeof CHANGES[0] }; /* the last: if the costs know of it */

/* ---- is it right still? ---- */

struct improve_count {
    int f[2], b[2], w[2]; /* of either chunk */
};

static int kept(const int *more, const int *less)
{
    return more[0] + more[1] - less[0] - less[1];
}

static bool within(int n, int limit)
{
    return limit <= 0 || n <= limit;
}

/* Counts the pass; false if its turn has not come. */
static bool in_order(struct improve_count *c, const struct plan_pass *pass, int k)
{
    int mb = pass->cell.mb;
    if (pass->op == PLAN_F) return c->f[k]++ == mb;
    if (pass->op != PLAN_W && (c->b[k]++ != mb || c->f[k] <= mb)) return false;
    if (pass->op != PLAN_B && (c->w[k]++ != mb || c->b[k] <= mb)) return false;
    return true;
}

/* Order and memory of one rank (plan_check counts in the same way). */
static bool rank_right(const struct improve_walk *w, int rank)
{
    const struct plan *p = w->plan;
    struct improve_count c = {0};
    int chunk[2], held = plan_held(p->place, p->stages, rank, chunk);
    for (int i = 0; i < p->n_rows[rank]; i++) {
        struct plan_pass pass[2];
        int n = plan_passes(&p->rows[rank][i], pass);
        if (n == 2 && pass[0].cell.chunk == pass[1].cell.chunk &&
            pass[0].cell.dir == pass[1].cell.dir && pass[0].cell.mb == pass[1].cell.mb)
            return false; /* a pair's halves do not wait for each other */
        for (int j = 0; j < n; j++) {
            int k = held == 2 && pass[j].cell.chunk == chunk[1] &&
                    pass[j].cell.dir == plan_held_dir(p->place, 1);
            if (!in_order(&c, &pass[j], k) || !within(kept(c.f, c.b), w->limits->live) ||
                !within(kept(c.f, c.w), w->limits->slots) ||
                !within(kept(c.b, c.w), w->limits->weights))
                return false;
        }
    }
    return true;
}

static bool runs_unbuffered(struct improve_walk *w)
{
    plan_index_fill(&w->index);
    return plan_unbuffered(&w->index, w->at);
}

/* ---- the walk ---- */

/* Changes a row; true if that was kept. *done: it came to a simulation. */
static bool walk_step(struct improve_walk *w, bool *done)
{
    struct plan *p = w->plan;
    struct improve_place at = draw_place(w);
    struct plan_row *rows = p->rows[at.rank];
    int *n = &p->n_rows[at.rank], n_saved = *n;
    memcpy(w->saved, rows, (size_t)n_saved * sizeof *rows);
    *done = CHANGES[draw_index(w, w->costs->interleaved ? N_CHANGES : N_CHANGES - 1)](w, rows, n,
                                                                                      at.row) &&
            rank_right(w, at.rank);
    if (*done && sim_run(&w->sim, p, w->costs) && w->sim.makespan <= w->makespan * (1 + SAME) &&
        runs_unbuffered(w)) {
        w->makespan = fmin(w->makespan, w->sim.makespan);
        return true;
    }
    memcpy(rows, w->saved, (size_t)n_saved * sizeof *rows);
    *n = n_saved;
    return false;
}

static void walk_new(struct improve_walk *w, size_t room)
{
    sim_new(&w->sim, w->plan);
    plan_index_new(&w->index, w->plan);
    w->at = memory_take((size_t)w->plan->stages, sizeof *w->at, "the search for a plan");
    w->saved = memory_take(room, sizeof *w->saved, "the search for a plan");
    w->chain =
        memory_take(room * (size_t)w->plan->stages, sizeof *w->chain, "the search for a plan");
}

static void walk_free(struct improve_walk *w)
{
    sim_free(&w->sim);
    plan_index_free(&w->index);
    free(w->at);
    free(w->saved);
    free(w->chain);
}

/* A fixed seed: the same plan, costs and steps give the same result on any machine. */
double plan_improve(struct plan *plan, const struct sim_costs *costs,
                    const struct plan_limits *limits, int steps)
{
    struct improve_walk w = {.plan = plan, .costs = costs, .limits = limits};
    size_t room = (size_t)plan_room(plan);
    w.rng = (struct rng_stream){SEED, {.purpose = RNG_SHUFFLE}};
    walk_new(&w, room);
    INVARIANT(sim_run(&w.sim, plan, costs), "the plan hangs");
    w.makespan = w.sim.makespan;
    bool changed = true;
    for (int draws = IDLE_DRAWS * steps; steps > 0 && draws > 0; draws--) {
        bool done;
        if (changed) find_chain(&w);
        changed = walk_step(&w, &done);
        steps -= done;
    }
    INVARIANT(sim_run(&w.sim, plan, costs), "the plan hangs");
    double makespan = w.sim.makespan;
    walk_free(&w);
    return makespan;
}

/* ---- unpaired passes ---- */

static double busy_of(const struct improve_walk *w)
{
    double sum = 0;
    for (int r = 0; r < w->plan->stages; r++) sum += w->sim.busy[r];
    return sum;
}

/* Where an unpaired pass could go. */
struct partner {
    int row, stay; /* the other pass; which of the two rows becomes theirs. row -1: none */
    double makespan, busy;
};

/* What row i in turn with `with.row` would bring; the plan stays as it is. */
static void try_interleaved(struct improve_walk *w, int rank, int i, struct partner with,
                            struct partner *best)
{
    struct plan *p = w->plan;
    struct plan_row *rows = p->rows[rank];
    int *n = &p->n_rows[rank], n_saved = *n;
    memcpy(w->saved, rows, (size_t)n_saved * sizeof *rows);
    bool right = make_interleaved(rows, n, i, with.row, with.stay) && rank_right(w, rank);
    if (right && sim_run(&w->sim, p, w->costs)) {
        with.makespan = w->sim.makespan, with.busy = busy_of(w);
        bool less = with.busy < best->busy * (1 - SAME), faster = with.makespan < best->makespan;
        bool as_little = with.busy <= best->busy * (1 + SAME) && best->row >= 0;
        if ((less || (as_little && faster)) && with.makespan <= w->makespan * (1 + SAME) &&
            runs_unbuffered(w))
            *best = with;
    }
    memcpy(rows, w->saved, (size_t)n_saved * sizeof *rows);
    *n = n_saved;
}

/* The partner nearby with which the plan is fastest, then waits least; false: with none it is
 * better than it is. */
static bool pair_row(struct improve_walk *w, int rank, int i)
{
    struct partner best = {-1, -1, w->makespan, w->busy};
    for (int by = -FAR; by <= FAR; by++) {
        int j = i + by;
        if (by == 0 || j < 0 || j >= w->plan->n_rows[rank]) continue;
        try_interleaved(w, rank, i, (struct partner){.row = j, .stay = i}, &best);
        try_interleaved(w, rank, i, (struct partner){.row = j, .stay = j}, &best);
    }
    if (best.row < 0) return false;
    w->busy = best.busy;
    make_interleaved(w->plan->rows[rank], &w->plan->n_rows[rank], i, best.row, best.stay);
    return true;
}

/* Repeats until no pair helps; a pair can make another one possible. */
double plan_interleave(struct plan *plan, const struct sim_costs *costs,
                       const struct plan_limits *limits)
{
    struct improve_walk w = {.plan = plan, .costs = costs, .limits = limits};
    walk_new(&w, (size_t)plan_room(plan));
    INVARIANT(sim_run(&w.sim, plan, costs), "the plan hangs");
    w.makespan = w.sim.makespan, w.busy = busy_of(&w);
    for (bool changed = costs->interleaved; changed;) {
        changed = false;
        for (int r = 0; r < plan->stages; r++)
            for (int i = 0; i < plan->n_rows[r]; i++) {
                enum plan_op op = plan->rows[r][i].op;
                changed |= (op == PLAN_F || op == PLAN_B) && pair_row(&w, r, i);
            }
    }
    INVARIANT(sim_run(&w.sim, plan, costs), "the plan hangs");
    double makespan = w.sim.makespan;
    walk_free(&w);
    return makespan;
}
