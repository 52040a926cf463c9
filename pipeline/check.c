/* The proof of a plan, in the order in which later parts need the earlier ones: cells exist and are
 * held where they run; each pass is there once; F before B before W; micro-batches in order; no
 * hang. Only then is it measured. */
#include "pipeline/check.h"

#include <stdlib.h>
#include "comm/base/problems.h"
#include "pipeline/blocked.h"
#include "pipeline/schedules.h"

enum { MAX_SAID = 20 };

/* Collects what is wrong: all is counted, the first few are said. */
struct plan_verdict {
    const struct plan *plan;
    struct problems *problems;
    int wrong;
};

/* wrong(v, rank, row, fmt, ...) */
#define WRONG(v, rank, row, ...)                    \
    do {                                            \
        char text_[160];                            \
        snprintf(text_, sizeof text_, __VA_ARGS__); \
        say_wrong((v), (rank), (row), text_);       \
    } while (0)

static void say_wrong(struct plan_verdict *v, int rank, int row, const char *text)
{
    if (v->wrong++ >= MAX_SAID || !v->problems) return;
    const char *name = plan_kind_name(v->plan->kind);
    if (row < 0)
        problems_add(v->problems, NULL, 0, "plan %s, rank %d: %s", name, rank, text);
    else
        problems_add(v->problems, NULL, 0, "plan %s, rank %d, row %d: %s", name, rank, row, text);
}

static void check_cell(struct plan_verdict *v, int rank, int row, struct plan_cell c)
{
    const struct plan *p = v->plan;
    if (c.dir < 0 || c.dir >= p->directions || c.mb < 0 || c.mb >= plan_per_direction(p) ||
        c.chunk < 0 || c.chunk >= p->chunks)
        WRONG(v, rank, row, "no such direction %d, chunk %d, micro-batch %d", c.dir, c.chunk, c.mb);
    else if (plan_rank(p->place, p->stages, c.chunk, c.dir) != rank)
        WRONG(v, rank, row, "chunk %d of direction %d is not on this rank", c.chunk, c.dir);
}

/* Before anything indexes by a cell: chunk, direction and micro-batch are in range and the rank
 * holds the chunk. */
static void check_cells(struct plan_verdict *v)
{
    for (int r = 0; r < v->plan->stages; r++)
        for (int i = 0; i < v->plan->n_rows[r]; i++) {
            const struct plan_row *row = &v->plan->rows[r][i];
            struct plan_pass pass[2];
            struct plan_row interleaved;
            int n = plan_passes(row, pass);
            for (int k = 0; k < n; k++) check_cell(v, r, i, pass[k].cell);
            if (row->op >= PLAN_OPS) WRONG(v, r, i, "no such operation %d", (int)row->op);
            if (row->op == PLAN_INTERLEAVED &&
                !plan_row_interleaved(&interleaved, pass[0], pass[1]))
                WRONG(v, r, i, "operations %d and %d cannot be stepped in turn", (int)pass[0].op,
                      (int)pass[1].op);
            if (v->plan->forward_only && (pass[0].op != PLAN_F || pass[n - 1].op != PLAN_F))
                WRONG(v, r, i, "a forward-only plan has a backward");
        }
}

/* ---- each once, and in order ---- */

static void place_pass(struct plan_verdict *v, struct plan_index *x, int rank, int row,
                       struct plan_pass pass)
{
    int *at = plan_index_at(x, pass.op, pass.cell);
    if (*at >= 0)
        WRONG(v, rank, row, "%s of direction %d, micro-batch %d repeats row %d",
              plan_op_name(pass.op), pass.cell.dir, pass.cell.mb, *at);
    *at = row;
}

/* Finds what is missing or made twice. */
static void place_all(struct plan_verdict *v, struct plan_index *x)
{
    for (int r = 0; r < v->plan->stages; r++)
        for (int i = 0; i < v->plan->n_rows[r]; i++) {
            struct plan_pass pass[2];
            int n = plan_passes(&v->plan->rows[r][i], pass);
            for (int k = 0; k < n; k++) {
                place_pass(v, x, r, i, pass[k]);
                if (pass[k].op == PLAN_BW)
                    place_pass(v, x, r, i, (struct plan_pass){PLAN_W, pass[k].cell});
            }
        }
}

static const enum plan_op PARTS[] = {PLAN_F, PLAN_B, PLAN_W};

/* In the same row, may the one on `last` come before the one on c? Only as first and
 * second of two in turn. */
static bool shares_row(const struct plan_verdict *v, int rank, int at, struct plan_cell last,
                       struct plan_cell c)
{
    const struct plan_row *row = &v->plan->rows[rank][at];
    return row->op == PLAN_INTERLEAVED && row->interleaved[0] == row->interleaved[1] &&
           row->f.mb == last.mb && row->b.mb == c.mb && row->f.chunk == c.chunk &&
           row->f.dir == c.dir;
}

/* Does part k of a cell, in row `at`, come after the part before it? Only a W may share its B's
 * row: where both are one pass (BW, FB), not where two passes are stepped in turn. */
static bool comes_after(const struct plan_verdict *v, int rank, int k, int at, int before)
{
    bool one_pass = PARTS[k] == PLAN_W && v->plan->rows[rank][at].op != PLAN_INTERLEAVED;
    return one_pass ? at >= before : at > before;
}

/* F, B and W of one cell are there, each after the one before. */
static void check_chain(struct plan_verdict *v, const struct plan_index *x, int rank,
                        struct plan_cell c)
{
    int parts = v->plan->forward_only ? 1 : 3, before = -1;
    for (int k = 0; k < parts; k++) {
        int at = *plan_index_at(x, PARTS[k], c);
        if (at < 0)
            WRONG(v, rank, -1, "missing %s of direction %d, micro-batch %d", plan_op_name(PARTS[k]),
                  c.dir, c.mb);
        else if (k > 0 && !comes_after(v, rank, k, at, before))
            WRONG(v, rank, at, "%s of direction %d, micro-batch %d before its %s",
                  plan_op_name(PARTS[k]), c.dir, c.mb, plan_op_name(PARTS[k - 1]));
        before = at;
    }
}

/* Sums over micro-batches are formed as they come (promise P4), and messages carry no other order.
 */
static void check_sequence(struct plan_verdict *v, const struct plan_index *x, int rank,
                           struct plan_cell c)
{
    struct plan_cell last = c;
    last.mb--;
    for (int k = 0; c.mb > 0 && k < 3; k++) {
        int at = *plan_index_at(x, PARTS[k], c);
        int earlier = *plan_index_at(x, PARTS[k], last);
        if (at >= 0 && at <= earlier && !(at == earlier && shares_row(v, rank, at, last, c)))
            WRONG(v, rank, at, "%s of direction %d, micro-batch %d before micro-batch %d",
                  plan_op_name(PARTS[k]), c.dir, c.mb, last.mb);
    }
}

/* On a rank F comes before B and B before W of a cell, and micro-batches of a chunk and direction
 * keep their order, on which the order of gradient sums rests (P4). */
static void check_orders(struct plan_verdict *v, const struct plan_index *x)
{
    const struct plan *p = v->plan;
    for (int r = 0; r < p->stages; r++) {
        int chunk[2], held = plan_held(p->place, p->stages, r, chunk);
        for (int k = 0; k < held; k++)
            for (int m = 0; m < plan_per_direction(p); m++) {
                struct plan_cell c = {plan_held_dir(p->place, k), chunk[k], m};
                check_chain(v, x, r, c);
                check_sequence(v, x, r, c);
            }
    }
}

/* ---- no hang ---- */

static void say_stuck(struct plan_verdict *v, const int *at, const char *why)
{
    for (int r = 0; r < v->plan->stages; r++)
        if (at[r] < v->plan->n_rows[r]) WRONG(v, r, at[r], "the rank hangs here (%s)", why);
}

/* ---- facts ---- */

struct kept_passes {
    int live, slots, weights; /* of one rank, now */
};

static void keep_count(struct kept_passes *k, enum plan_op op, bool forward_only)
{
    if (op == PLAN_F && !forward_only) k->live++, k->slots++;
    if (op == PLAN_B || op == PLAN_BW) k->live--;
    if (op == PLAN_W || op == PLAN_BW) k->slots--;
    if (op == PLAN_B) k->weights++;
    if (op == PLAN_W) k->weights--;
}

static void raise_to(int *peak, int now)
{
    if (now > *peak) *peak = now;
}

/* What a rank keeps, row by row; the F of a pair is kept before the B of the pair lets go. */
static void count_peaks(const struct plan *p, struct plan_facts *facts)
{
    int most = 0; /* passes of a row */
    for (int r = 0; r < p->stages; r++) {
        struct kept_passes keep = {0};
        for (int i = 0; i < p->n_rows[r]; i++) {
            struct plan_pass pass[2];
            int n = plan_passes(&p->rows[r][i], pass);
            raise_to(&most, n);
            for (int k = 0; k < n; k++) {
                keep_count(&keep, pass[k].op, p->forward_only);
                raise_to(&facts->peak_live, keep.live);
                raise_to(&facts->peak_slots, keep.slots);
                raise_to(&facts->peak_weights, keep.weights);
            }
        }
    }
    if (p->forward_only) facts->peak_live = facts->peak_slots = most;
}

/* Deadlock freedom twice: with buffered sends (the simulator finds dependency cycles) and with
 * sends that block until they are received. */
static void check_running(struct plan_verdict *v, const struct plan_index *x,
                          const struct plan_costs *each, struct plan_facts *facts)
{
    struct sim_table costs;
    struct sim sim;
    sim_table_even(&costs, v->plan->chunks, each);
    sim_new(&sim, v->plan);
    if (!sim_run(&sim, v->plan, &costs.sim)) {
        say_stuck(v, sim.at, "dependency cycle");
    } else {
        facts->makespan = sim.makespan;
        facts->worst_idle = sim.worst_idle, facts->mean_idle = sim.mean_idle;
        facts->bubble = sim.bubble;
        if (!plan_unbuffered(x, sim.at))
            say_stuck(v, sim.at, "if every send blocks until it is received");
    }
    sim_free(&sim);
    sim_table_free(&costs);
}

/* Later checks index by what earlier ones proved, hence the conditions. */
bool plan_check(const struct plan *plan, const struct plan_costs *costs, struct plan_facts *facts,
                struct problems *p)
{
    const struct plan_costs unit = {1, 1, 1, 3};
    struct plan_facts found = {0};
    struct plan_verdict v = {.plan = plan, .problems = p};
    check_cells(&v);
    if (v.wrong == 0) {
        struct plan_index x;
        plan_index_new(&x, plan);
        place_all(&v, &x);
        check_orders(&v, &x);
        if (v.wrong == 0) check_running(&v, &x, costs ? costs : &unit, &found);
        if (v.wrong == 0) count_peaks(plan, &found);
        plan_index_free(&x);
    }
    if (v.wrong > MAX_SAID && p)
        problems_add(p, NULL, 0, "plan %s: and %d more", plan_kind_name(plan->kind),
                     v.wrong - MAX_SAID);
    if (facts) *facts = found;
    return v.wrong == 0;
}
