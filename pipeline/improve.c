/* A walk from plan to plan. The time of a step is that of a chain of rows, each of which waits for the one before: the row before it
 * on its rank, or the one that makes its input. Only a change on that chain can shorten it, so seven times of
 * eight a row on it, or beside one, is drawn; then a change. What would be wrong is taken back, so is what takes longer;
 * what takes as long is kept, since several ranks must often change before one gains. */
#include "pipeline/improve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/rng.h"
#include "pipeline/measure.h"

enum { SEED = 2, FAR = 3, NEAR = 4, LATER = 6, IDLE_DRAWS = 8 };
static const double SAME = 1e-9;
static const struct plan_cell NONE;

struct place {
    int rank, row;
};

struct walk {
    struct plan *plan;
    const struct sim_costs *costs;
    const struct plan_limits *limits;
    struct sim sim;
    struct plan_index index;
    struct plan_timeline timeline;
    struct rng_stream rng;
    struct plan_row *saved; /* of the rank that is being changed */
    struct place *chain;
    int chained;
    double makespan;
};

static int draw(struct walk *w, int n)
{
    return (int)rng_next_below(&w->rng, (uint32_t)n);
}

/* ---- the chain ---- */

static int row_that_makes(const struct plan *p, int rank, bool forward, struct plan_cell c)
{
    for (int i = 0; i < p->n_rows[rank]; i++) {
        const struct plan_row *row = &p->rows[rank][i];
        bool has = forward ? row->op == PLAN_F || row->op == PLAN_FB
                           : row->op != PLAN_F && row->op != PLAN_W;
        const struct plan_cell *made = forward ? &row->f : &row->b;
        if (has && made->chunk == c.chunk && made->dir == c.dir && made->mb == c.mb) return i;
    }
    return -1;
}

/* What the row waited for last; false: for nothing, it is where the chain begins. */
static bool waited_for(const struct walk *w, struct place at, struct place *before)
{
    double start = w->sim.start[at.rank][at.row];
    *before = (struct place){at.rank, at.row - 1};
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
        *before = (struct place){from, row_that_makes(w->plan, from, forward, pass[k].cell)};
        return true;
    }
    return false;
}

static void find_chain(struct walk *w)
{
    const struct plan *p = w->plan;
    struct place at = {0, 0};
    sim_run(&w->sim, p, w->costs);
    for (int r = 0; r < p->stages; r++)
        if (w->sim.end[r][p->n_rows[r] - 1] >= w->makespan * (1 - SAME)) at.rank = r;
    at.row = p->n_rows[at.rank] - 1;
    w->chained = 0;
    do w->chain[w->chained++] = at;
    while (waited_for(w, at, &at));
}

static struct place draw_place(struct walk *w)
{
    const struct plan *p = w->plan;
    struct place at = {draw(w, p->stages), 0};
    if (draw(w, 8) == 0) {
        at.row = draw(w, p->n_rows[at.rank]);
        return at;
    }
    at = w->chain[draw(w, w->chained)];
    at.row += draw(w, 3) - 1;
    if (at.row < 0) at.row = 0;
    if (at.row >= p->n_rows[at.rank]) at.row = p->n_rows[at.rank] - 1;
    return at;
}

/* ---- changes: each of row i of a list of *n; false: none was made ---- */

static void put(struct plan_row *rows, int *n, int i, struct plan_row row)
{
    memmove(rows + i + 1, rows + i, (size_t)(*n - i) * sizeof *rows);
    rows[i] = row;
    ++*n;
}

static void cut(struct plan_row *rows, int *n, int i)
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

static bool move(struct walk *w, struct plan_row *rows, int *n, int i)
{
    struct plan_row row = rows[i];
    int by = 1 + draw(w, FAR), to = draw(w, 2) ? i + by : i - by;
    if (to < 0 || to >= *n) return false;
    cut(rows, n, i);
    put(rows, n, to, row);
    return true;
}

/* A forward and a backward nearby become a pair; the backward's weight part, if it stands apart, goes along. */
static bool fuse(struct walk *w, struct plan_row *rows, int *n, int i)
{
    int by = 1 + draw(w, NEAR), j = draw(w, 2) ? i + by : i - by;
    if (j < 0 || j >= *n) return false;
    const struct plan_row *f = rows[i].op == PLAN_F ? &rows[i] : &rows[j];
    const struct plan_row *b = f == &rows[i] ? &rows[j] : &rows[i];
    if (f->op != PLAN_F || (b->op != PLAN_B && b->op != PLAN_BW)) return false;
    int apart = b->op == PLAN_B ? find_w(rows, *n, b->b) : -1;
    rows[i] = (struct plan_row){PLAN_FB, f->f, b->b};
    if (apart > j) cut(rows, n, apart);
    cut(rows, n, j);
    if (apart >= 0 && apart < j) cut(rows, n, apart);
    return true;
}

static bool unfuse(struct walk *w, struct plan_row *rows, int *n, int i)
{
    if (rows[i].op != PLAN_FB) return false;
    struct plan_row f = {PLAN_F, rows[i].f, NONE}, b = {PLAN_BW, NONE, rows[i].b};
    bool forward_first = draw(w, 2);
    rows[i] = forward_first ? f : b;
    put(rows, n, i + 1, forward_first ? b : f);
    return true;
}

/* The weight part of a backward goes a little later. */
static bool split(struct walk *w, struct plan_row *rows, int *n, int i)
{
    if (rows[i].op != PLAN_BW) return false;
    int to = i + 1 + draw(w, LATER);
    rows[i].op = PLAN_B;
    put(rows, n, to < *n ? to : *n, (struct plan_row){PLAN_W, NONE, rows[i].b});
    return true;
}

static bool join(struct walk *w, struct plan_row *rows, int *n, int i)
{
    (void)w;
    if (rows[i].op != PLAN_B) return false;
    cut(rows, n, find_w(rows, *n, rows[i].b));
    rows[i].op = PLAN_BW;
    return true;
}

typedef bool change(struct walk *w, struct plan_row *rows, int *n, int i);
static change *const CHANGES[] = {move, move, fuse, unfuse, split, join};
enum { N_CHANGES = sizeof CHANGES / sizeof CHANGES[0] };

/* ---- is it right still? ---- */

struct count {
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
static bool in_order(struct count *c, const struct plan_pass *pass, int k)
{
    int mb = pass->cell.mb;
    if (pass->op == PLAN_F) return c->f[k]++ == mb;
    if (pass->op != PLAN_W && (c->b[k]++ != mb || c->f[k] <= mb)) return false;
    if (pass->op != PLAN_B && (c->w[k]++ != mb || c->b[k] <= mb)) return false;
    return true;
}

/* Order and memory of one rank (plan_check counts in the same way). */
static bool rank_right(const struct walk *w, int rank)
{
    const struct plan *p = w->plan;
    struct count c = {0};
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

static bool runs_unbuffered(struct walk *w)
{
    plan_index_fill(&w->index);
    return plan_unbuffered(&w->index, &w->timeline);
}

/* ---- the walk ---- */

/* Changes a row; true if that was kept. *done: it came to a simulation. */
static bool step(struct walk *w, bool *done)
{
    struct plan *p = w->plan;
    struct place at = draw_place(w);
    struct plan_row *rows = p->rows[at.rank];
    int *n = &p->n_rows[at.rank], n_saved = *n;
    memcpy(w->saved, rows, (size_t)n_saved * sizeof *rows);
    *done = CHANGES[draw(w, N_CHANGES)](w, rows, n, at.row) && rank_right(w, at.rank);
    if (*done && sim_run(&w->sim, p, w->costs) && w->sim.makespan <= w->makespan * (1 + SAME) &&
        runs_unbuffered(w)) {
        w->makespan = fmin(w->makespan, w->sim.makespan);
        return true;
    }
    memcpy(rows, w->saved, (size_t)n_saved * sizeof *rows);
    *n = n_saved;
    return false;
}

static void walk_new(struct walk *w, size_t room)
{
    sim_new(&w->sim, w->plan);
    plan_index_new(&w->index, w->plan);
    plan_timeline_new(&w->timeline, w->plan);
    w->saved = memory_take(room, sizeof *w->saved, "the search for a plan");
    w->chain =
        memory_take(room * (size_t)w->plan->stages, sizeof *w->chain, "the search for a plan");
}

static void walk_free(struct walk *w)
{
    sim_free(&w->sim);
    plan_index_free(&w->index);
    plan_timeline_free(&w->timeline);
    free(w->saved);
    free(w->chain);
}

double plan_improve(struct plan *plan, const struct sim_costs *costs,
                    const struct plan_limits *limits, int steps)
{
    struct walk w = {.plan = plan, .costs = costs, .limits = limits};
    size_t room = (size_t)plan_room(plan);
    w.rng = (struct rng_stream){SEED, {.purpose = RNG_SHUFFLE}};
    walk_new(&w, room);
    INVARIANT(sim_run(&w.sim, plan, costs), "the plan hangs");
    w.makespan = w.sim.makespan;
    bool changed = true;
    for (int draws = IDLE_DRAWS * steps; steps > 0 && draws > 0; draws--) {
        bool done;
        if (changed) find_chain(&w);
        changed = step(&w, &done);
        steps -= done;
    }
    INVARIANT(sim_run(&w.sim, plan, costs), "the plan hangs");
    double makespan = w.sim.makespan;
    walk_free(&w);
    return makespan;
}
