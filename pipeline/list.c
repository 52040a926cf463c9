/* The rank whose next decision is the earliest decides next; so all that can have reached it by
 * then is known. */
#include "pipeline/list.h"

#include <math.h>
#include <stdlib.h>
#include "comm/base/memory.h"

enum { HELD = 2 };

/* One rank: how many micro-batches of its chunks have done what. */
struct rank_state {
    int rank, held, chunk[HELD], dir[HELD];
    int f[HELD], b[HELD], w[HELD];
    double free;    /* not before this */
    double decides; /* when it can next decide something, by what is known; INFINITY: not yet */
};

struct list {
    struct plan *plan;
    struct sim *sim;
    const struct sim_costs *costs;
    const struct plan_limits *limits;
    const struct list_rule *rule;
    int each; /* micro-batches of a chunk */
    struct rank_state *ranks;
};

static struct plan_cell cell_of(const struct rank_state *h, int k, int mb)
{
    return (struct plan_cell){h->dir[k], h->chunk[k], mb};
}

static int held_index(const struct rank_state *h, int chunk, int dir)
{
    return h->held == 2 && chunk == h->chunk[1] && dir == h->dir[1];
}

static int sum(const int *a, const int *b, int held)
{
    int n = 0;
    for (int k = 0; k < held; k++) n += a[k] - b[k];
    return n;
}

static bool under(int n, int limit)
{
    return limit <= 0 || n < limit;
}

/* May the rank take one more micro-batch of chunk k? */
static bool room(const struct list *l, const struct rank_state *h, int k)
{
    return h->f[k] < l->each && h->f[k] - h->b[k] < l->rule->cap[h->chunk[k]] &&
           under(sum(h->f, h->b, h->held), l->limits->live);
}

static bool slot(const struct list *l, const struct rank_state *h)
{
    return under(sum(h->f, h->w, h->held), l->limits->slots);
}

static int waiting(const struct rank_state *h)
{
    return sum(h->b, h->w, h->held);
}

/* Has the receiver, in the plan so far, used the message before this one? A plan made so runs with
 * sends that block (plan_unbuffered): the order in which its rows were decided is a way to run it.
 */
static bool awaited(const struct list *l, const struct plan_pass *pass)
{
    int to = plan_receiver(l->plan, pass);
    if (to < 0) return true;
    bool forward = pass->op == PLAN_F;
    const struct rank_state *h = &l->ranks[to];
    int k = held_index(h, pass->cell.chunk + (forward ? 1 : -1), pass->cell.dir);
    return (forward ? h->f[k] : h->b[k]) >= pass->cell.mb;
}

static double here(const struct list *l, const struct rank_state *h, enum plan_op op,
                   struct plan_cell cell)
{
    struct plan_pass pass = {op, cell};
    return awaited(l, &pass) ? sim_here(l->sim, l->plan, &pass, h->rank, l->costs) : INFINITY;
}

static double f_here(const struct list *l, const struct rank_state *h, int k)
{
    return room(l, h, k) ? here(l, h, PLAN_F, cell_of(h, k, h->f[k])) : INFINITY;
}

static double b_here(const struct list *l, const struct rank_state *h, int k)
{
    return h->b[k] < h->f[k] ? here(l, h, PLAN_B, cell_of(h, k, h->b[k])) : INFINITY;
}

/* ---- choosing ---- */

/* What a rank could begin now, and when more will be there. */
struct ready {
    int f, b;              /* chunk of the best forward, backward; -1: none */
    double f_next, b_next; /* the earliest of those to come; INFINITY */
};

static void see(double at, double now, int k, bool low, int *best, double *next)
{
    if (at > now) {
        if (at < *next) *next = at;
    } else if (*best < 0 || !low) {
        *best = k;
    }
}

static struct ready look_ahead(const struct list *l, const struct rank_state *h, double now)
{
    struct ready r = {-1, -1, INFINITY, INFINITY};
    const struct list_policy *policy = &l->rule->policy[h->rank];
    for (int i = 0; i < h->held; i++) {
        int k = h->held == 2 && h->chunk[0] > h->chunk[1] ? 1 - i : i; /* lower chunk first */
        see(f_here(l, h, k), now, k, policy->low_f, &r.f, &r.f_next);
        see(b_here(l, h, k), now, k, policy->low_b, &r.b, &r.b_next);
    }
    return r;
}

/* Weight parts come in order: the whole backward only if none of the chunk's wait. */
static struct plan_row row_back(const struct list *l, const struct rank_state *h, int k)
{
    bool whole = l->rule->policy[h->rank].whole && h->b[k] == h->w[k];
    return (struct plan_row){.op = whole ? PLAN_BW : PLAN_B, .b = cell_of(h, k, h->b[k])};
}

/* The next pass of chunk k, or (k < 0) of the chunk with the most waiting. */
static struct plan_row row_w(const struct rank_state *h, int k)
{
    if (k < 0) k = h->held == 2 && h->b[1] - h->w[1] > h->b[0] - h->w[0];
    return (struct plan_row){.op = PLAN_W, .b = cell_of(h, k, h->w[k])};
}

/* What a rank does next: a row now, or nothing before `until`. */
struct next {
    bool acts;
    struct plan_row row;
    double until;
};

static struct next act(struct plan_row row)
{
    return (struct next){.acts = true, .row = row};
}

static struct next idle(double until)
{
    return (struct next){.until = until};
}

/* Both halves of a pair are there: the pair, or a weight part that must go first (those of a chunk
 * come in order, and the F wants a slot). false: the pair cannot be made now. */
static bool make_pair(const struct list *l, const struct rank_state *h, const struct ready *r,
                      struct next *next)
{
    bool parts_wait = h->b[r->b] > h->w[r->b];
    if (!parts_wait && slot(l, h))
        *next = act((struct plan_row){
            .op = PLAN_FB, .f = cell_of(h, r->f, h->f[r->f]), .b = cell_of(h, r->b, h->b[r->b])});
    else if (waiting(h) > 0)
        *next = act(row_w(h, parts_wait ? r->b : -1));
    else
        return false;
    return true;
}

/* One half of a pair is there. true: the other comes soon enough to wait for it. */
static bool wait_for_half(const struct list *l, const struct rank_state *h, const struct ready *r,
                          double now, struct next *next)
{
    int have = h->chunk[r->f < 0 ? r->b : r->f];
    double length = l->costs->f[have] + l->costs->b[have] + l->costs->w[have];
    *next = idle(r->f < 0 ? r->f_next : r->b_next);
    return next->until - now <= l->rule->policy[h->rank].wait * length;
}

static bool choose_pair(const struct list *l, const struct rank_state *h, const struct ready *r,
                        double now, struct next *next)
{
    if (!l->rule->policy[h->rank].pairs || (r->f < 0 && r->b < 0)) return false;
    if (r->f >= 0 && r->b >= 0) return make_pair(l, h, r, next);
    return wait_for_half(l, h, r, now, next);
}

/* No input is there that the rank may use: a weight part, unless the hole is too short for one. A
 * forward that waits for a slot gets it by weight parts alone, however soon something else comes.
 */
static struct next fill_hole(const struct list *l, const struct rank_state *h,
                             const struct ready *r, double now)
{
    bool locked = r->f >= 0;
    double until = locked ? r->b_next : fmin(r->f_next, r->b_next);
    if (waiting(h) == 0) return idle(until);
    struct plan_row row = row_w(h, -1);
    double least = l->rule->policy[h->rank].fill * l->costs->w[row.b.chunk];
    return locked || until - now >= least ? act(row) : idle(until);
}

static struct next choose(const struct list *l, const struct rank_state *h, double now)
{
    struct ready r = look_ahead(l, h, now);
    struct next next;
    if (choose_pair(l, h, &r, now, &next)) return next;
    bool can_f = r.f >= 0 && slot(l, h), can_b = r.b >= 0;
    if (can_b && !(can_f && l->rule->policy[h->rank].f_first))
        return act(under(waiting(h), l->limits->weights) ? row_back(l, h, r.b) : row_w(h, -1));
    if (!can_f) return fill_hole(l, h, &r, now);
    return act((struct plan_row){.op = PLAN_F, .f = cell_of(h, r.f, h->f[r.f])});
}

/* ---- time ---- */

static double decides(const struct list *l, const struct rank_state *h)
{
    if (waiting(h) > 0) return h->free;
    struct ready r = look_ahead(l, h, h->free);
    if ((r.f >= 0 && slot(l, h)) || r.b >= 0) return h->free;
    return fmin(r.f_next, r.b_next);
}

static void count(struct rank_state *h, const struct plan_row *row)
{
    struct plan_pass pass[2];
    int n = plan_passes(row, pass);
    for (int i = 0; i < n; i++) {
        int k = held_index(h, pass[i].cell.chunk, pass[i].cell.dir);
        if (pass[i].op == PLAN_F) h->f[k]++;
        if (pass[i].op == PLAN_B || pass[i].op == PLAN_BW) h->b[k]++;
        if (pass[i].op == PLAN_W || pass[i].op == PLAN_BW) h->w[k]++;
    }
}

/* A rank that finds nothing worth doing waits until the next input may have arrived. */
static void decide(const struct list *l, struct rank_state *h, double now)
{
    const struct next next = choose(l, h, now);
    if (!next.acts) {
        h->free = next.until;
        return;
    }
    plan_add(l->plan, h->rank, next.row.op, next.row.f, next.row.b);
    INVARIANT(sim_go(l->sim, l->plan, l->costs, h->rank), "no row is ready");
    h->free = l->sim->end[h->rank][l->plan->n_rows[h->rank] - 1];
    count(h, &next.row);
}

static void rank_state_start(struct rank_state *h, const struct plan *plan, int rank)
{
    *h = (struct rank_state){.rank = rank};
    h->held = plan_held(plan->place, plan->stages, rank, h->chunk);
    for (int k = 0; k < h->held; k++) h->dir[k] = plan_held_dir(plan->place, k);
}

static bool all_done(const struct list *l, const struct rank_state *ranks)
{
    for (int r = 0; r < l->plan->stages; r++)
        for (int k = 0; k < ranks[r].held; k++)
            if (ranks[r].w[k] < l->each) return false;
    return true;
}

/* Messages come from the ranks beside, and so does the leave to send: only theirs changes when a
 * rank does something. */
static void decide_again(const struct list *l, int rank)
{
    for (int r = rank - 1; r <= rank + 1; r++)
        if (r >= 0 && r < l->plan->stages) l->ranks[r].decides = decides(l, &l->ranks[r]);
}

static struct rank_state *earliest(const struct list *l)
{
    struct rank_state *first = NULL;
    double when = INFINITY;
    for (int r = 0; r < l->plan->stages; r++)
        if (l->ranks[r].decides < when) first = &l->ranks[r], when = first->decides;
    return first;
}

/* A B that no stage waits for and the W right after it are one pass. */
static void join_backwards(struct plan *plan)
{
    for (int r = 0; r < plan->stages; r++) {
        struct plan_row *rows = plan->rows[r];
        int n = 0;
        for (int i = 0; i < plan->n_rows[r]; i++) {
            struct plan_row *last = n > 0 ? &rows[n - 1] : NULL;
            bool joins = last && last->op == PLAN_B && rows[i].op == PLAN_W && last->b.chunk == 0 &&
                         rows[i].b.chunk == 0 && last->b.mb == rows[i].b.mb;
            if (joins)
                last->op = PLAN_BW;
            else
                rows[n++] = rows[i];
        }
        plan->n_rows[r] = n;
    }
}

/* Always the rank that is free first decides, as in a discrete-event simulation; so a rank knows
 * all that finished before its time. */
bool list_make(struct plan *plan, struct sim *s, const struct sim_costs *costs,
               const struct plan_limits *limits, const struct list_rule *rule)
{
    struct rank_state *ranks = memory_take((size_t)plan->stages, sizeof *ranks, "making a plan");
    struct list l = {plan, s, costs, limits, rule, plan_per_direction(plan), ranks};
    sim_begin(s, plan);
    for (int r = 0; r < plan->stages; r++)
        plan->n_rows[r] = 0, rank_state_start(&ranks[r], plan, r);
    for (int r = 0; r < plan->stages; r++) ranks[r].decides = decides(&l, &ranks[r]);
    for (struct rank_state *h = earliest(&l); h; h = earliest(&l)) {
        decide(&l, h, h->decides);
        decide_again(&l, h->rank);
    }
    bool done = all_done(&l, ranks);
    free(ranks);
    if (!done) return false;
    join_backwards(plan);
    return sim_run(s, plan, costs);
}
