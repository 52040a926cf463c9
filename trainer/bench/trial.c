/* A trial holds its plan, what every chunk costs, the device and the engine, and the readings of
 * its steps.
 *
 * The model is the same for all schedules: 2P equal parts, unless --shares makes them unequal; a
 * chunk is two of them, or one (dualpipev). */
#include "trainer/bench/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "pipeline/auto.h"
#include "pipeline/check.h"
#include "pipeline/improve.h"
#include "pipeline/paced.h"
#include "pipeline/plan_broadcast.h"

enum { OPS = PLAN_OPS, MESSAGE = 64 << 10 };

/* What each chunk of a placement costs, for the device and for the simulator. */
struct costs {
    int chunks;
    struct paced_costs *paced; /* [chunks] */
    struct sim_table table;
};

struct trial {
    enum plan_kind kind;
    enum turns turns;
    bool fused; /* it has pairs */
    struct plan plan;
    struct costs costs;
    struct paced *paced;
    struct engine *engine;
    double step, worst, bubble, formula; /* simulated, by formula (NAN: none) */
    struct readings measured, relative, idle, fraction, exposed, exposed_pairs, row[OPS];
};

/* ---- costs ---- */

/* How much more than the others part i of n costs: the list of --shares, stretched over the parts.
 */
static double part_cost(const struct bench_options *o, int i, int n)
{
    if (o->n_shares == 0) return 1;
    return o->share[i * o->n_shares / n];
}

static struct paced_costs chunk_costs(const struct bench_options *o, int stages, int chunks, int c)
{
    int parts = 2 * stages, each = parts / chunks; /* of the model; of a chunk */
    double share = 0;
    for (int i = 0; i < each; i++) share += part_cost(o, c * each + i, parts) / 2;
    double seconds = 1e-3 * o->pass_ms * share, wire = o->exchange * seconds;
    return (struct paced_costs){o->chunk_layers * each / 2, seconds, seconds, seconds, wire, wire};
}

static void costs_interleaved(struct costs *c)
{
    int n = 3 * c->chunks;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            c->table.interleaved[i * n + j] =
                paced_interleaved(&c->paced[i % c->chunks], (enum plan_op)(i / c->chunks),
                                  &c->paced[j % c->chunks], (enum plan_op)(j / c->chunks));
}

/* A pair's time is counted in the order in which the engine steps it. */
static void costs_pairs(struct costs *c, enum turns turns)
{
    struct sim_table *t = &c->table;
    double least = 1, early = 1;
    for (int i = 0; i < c->chunks; i++)
        for (int j = 0; j < c->chunks; j++) {
            double done = t->f[i], takes = t->f[i] + t->bw[j], alone = takes;
            if (turns != TURNS_OFF) takes = paced_pair(&c->paced[i], &c->paced[j], &done);
            t->pairs[i * c->chunks + j] = takes;
            least = fmin(least, takes / alone), early = fmin(early, done / takes);
        }
    t->sim.pair = least, t->sim.pair_f = early;
}

/* What the paced device will take, so that simulation and run have the same costs. */
static void costs_new(struct costs *c, const struct bench_options *o, enum plan_place place,
                      int stages, enum turns turns)
{
    int n = plan_chunks(place, stages);
    *c = (struct costs){.chunks = n};
    c->paced = memory_take((size_t)n, sizeof *c->paced, "a benchmark");
    sim_table_new(&c->table, n, SIM_OVERLAP | (turns == TURNS_ALL ? SIM_TURNS : 0));
    for (int i = 0; i < n; i++) {
        c->paced[i] = chunk_costs(o, stages, n, i);
        struct paced_times t = paced_predict(&c->paced[i]);
        c->table.f[i] = t.f, c->table.b[i] = t.b, c->table.w[i] = t.w, c->table.bw[i] = t.bw;
    }
    costs_pairs(c, turns);
    if (turns == TURNS_ALL) costs_interleaved(c);
}

static void costs_free(struct costs *c)
{
    free(c->paced);
    sim_table_free(&c->table);
}

/* ---- plans ---- */

/* What the named plans of a placement keep, auto may keep. */
static struct plan_limits limits_of(const struct length *l, enum plan_place place)
{
    struct plan_limits most = {1, 1, 1};
    for (int k = PLAN_1F1B; k < PLAN_AUTO; k++) {
        struct plan plan;
        struct plan_facts facts;
        enum plan_kind kind = (enum plan_kind)k;
        if (plan_kind_place(kind) != place ||
            !plan_possible(kind, l->stages, l->micro_batches, NULL))
            continue;
        plan_make(&plan, kind, l->stages, l->micro_batches);
        INVARIANT(plan_check(&plan, NULL, &facts, NULL), "the plan is wrong");
        plan_free(&plan);
        if (facts.peak_live > most.live) most.live = facts.peak_live;
        if (facts.peak_slots > most.slots) most.slots = facts.peak_slots;
        if (facts.peak_weights > most.weights) most.weights = facts.peak_weights;
    }
    return most;
}

/* As the trainer's `auto` searches, with the costs of the paced device. */
static void search(struct plan *plan, const struct bench_options *o, const struct length *l,
                   enum turns turns)
{
    struct costs costs[PLACES];
    struct auto_option option[PLACES];
    for (int i = 0; i < PLACES; i++) {
        enum plan_place place = (enum plan_place)i;
        costs_new(&costs[i], o, place, l->stages, turns);
        option[i] =
            (struct auto_option){.costs = &costs[i].table.sim, .limits = limits_of(l, place)};
        if (place == PLACE_MIRROR && l->stages % 2) option[i].costs = NULL;
    }
    INVARIANT(plan_auto(plan, l->stages, l->micro_batches, option, NULL), "1f1b always fits");
    for (int i = 0; i < PLACES; i++) costs_free(&costs[i]);
}

/* A named plan, its unpaired passes in turn where they keep no more than the plan does as it is
 * published. */
static void make_named(struct plan *plan, const struct bench_options *o, const struct length *l,
                       enum plan_kind kind, enum turns turns)
{
    struct plan_facts facts;
    struct costs costs;
    plan_make(plan, kind, l->stages, l->micro_batches);
    if (turns != TURNS_ALL) return;
    INVARIANT(plan_check(plan, NULL, &facts, NULL), "the plan is wrong");
    const struct plan_limits limits = {facts.peak_live, facts.peak_slots, facts.peak_weights};
    costs_new(&costs, o, plan->place, l->stages, turns);
    plan_interleave(plan, &costs.table.sim, &limits);
    costs_free(&costs);
}

/* A search takes a while and has one result: one rank looks, the others are told. */
static void make_together(struct plan *plan, const struct bench_options *o, const struct length *l,
                          enum plan_kind kind, enum turns turns)
{
    int me;
    MPI_OK(MPI_Comm_rank(l->group, &me));
    if (me == 0 && kind == PLAN_AUTO) search(plan, o, l, turns);
    if (me == 0 && kind != PLAN_AUTO) make_named(plan, o, l, kind, turns);
    plan_broadcast(plan, 0, l->group);
}

static bool has_pairs(const struct plan *plan)
{
    for (int r = 0; r < plan->stages; r++)
        for (int i = 0; i < plan->n_rows[r]; i++)
            if (plan->rows[r][i].op == PLAN_FB) return true;
    return false;
}

/* ---- a trial ---- */

/* A formula's full backward: the one that the schedule runs, or, where it splits it, its two parts.
 */
static double formula_of(const struct trial *t, const struct bench_options *o)
{
    const struct sim_costs *c = &t->costs.table.sim;
    if (o->n_shares > 0 || t->kind == PLAN_AUTO) return NAN;
    bool splits = t->kind != PLAN_SERIAL && t->kind != PLAN_1F1B;
    struct plan_costs one = {.f = c->f[0], .w = c->w[0], .fb = c->pairs[0]};
    one.b = splits ? c->b[0] : c->bw[0] - c->w[0];
    return plan_bubble_formula(t->kind, t->plan.stages, t->plan.micro_batches, &one);
}

static void simulate(struct trial *t)
{
    struct sim sim;
    sim_new(&sim, &t->plan);
    INVARIANT(sim_run(&sim, &t->plan, &t->costs.table.sim), "the simulated plan hangs");
    t->step = sim.makespan, t->worst = sim.worst_idle, t->bubble = sim.bubble;
    sim_free(&sim);
}

/* A plan, its simulation, and an engine that runs it over a paced stage. */
struct trial *trial_new(const struct bench_options *o, const struct length *l, enum plan_kind kind,
                        enum turns turns)
{
    struct trial *t = memory_take(1, sizeof *t, "a benchmark");
    struct plan_facts facts;
    t->kind = kind, t->turns = turns;
    make_together(&t->plan, o, l, kind, turns);
    INVARIANT(plan_check(&t->plan, NULL, &facts, NULL), "the plan is wrong");
    t->fused = has_pairs(&t->plan);
    costs_new(&t->costs, o, t->plan.place, l->stages, turns);
    simulate(t);
    t->formula = formula_of(t, o);
    t->paced = paced_new(t->costs.paced, l->exchange, MESSAGE);
    struct stage_ops stage = paced_stage(t->paced, MESSAGE, facts.peak_slots, turns != TURNS_OFF);
    t->engine = engine_new(l->p2p, l->position, l->stages, &stage, l->micro_batches);
    return t;
}

void trial_free(struct trial *t)
{
    if (!t) return;
    engine_free(t->engine);
    paced_free(t->paced);
    plan_free(&t->plan);
    costs_free(&t->costs);
    free(t);
}

enum plan_kind trial_kind(const struct trial *t)
{
    return t->kind;
}

bool trial_fused(const struct trial *t)
{
    return t->fused;
}

void trial_compare(struct trial *t, double speed)
{
    readings_add(&t->relative, speed);
}

static void reduce(double *x, int n, MPI_Op op, MPI_Comm comm)
{
    MPI_Request request;
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, x, n, MPI_DOUBLE, op, comm, &request));
    world_wait(&request, 1);
}

/* One step; returns its seconds, those of the slowest rank. */
double trial_run(struct trial *s, const struct length *l)
{
    struct engine_times t;
    double together = 0;
    reduce(&together, 1, MPI_SUM, l->group);
    paced_start(s->paced);
    const struct plan_part part = plan_part_of(&s->plan, l->position);
    engine_run(s->engine, &part, &t);
    double total = t.total, sum[3 * OPS + 1], rows = 0;
    reduce(&total, 1, MPI_MAX, l->group);
    for (int k = 0; k < OPS; k++) {
        sum[3 * k] = t.row[k].n, rows += t.row[k].n * t.row[k].seconds;
        sum[3 * k + 1] = t.row[k].n * t.row[k].seconds;
        sum[3 * k + 2] = t.row[k].n * t.row[k].waited;
    }
    double idle = total - rows, ranks = l->stages * l->members;
    sum[3 * OPS] = idle;
    reduce(&idle, 1, MPI_MAX, l->group);
    reduce(sum, 3 * OPS + 1, MPI_SUM, l->group);
    double waited = 0;
    for (int k = 0; k < OPS; k++) {
        if (sum[3 * k] > 0) readings_add(&s->row[k], sum[3 * k + 1] / sum[3 * k]);
        waited += sum[3 * k + 2];
    }
    readings_add(&s->measured, total);
    readings_add(&s->idle, idle);
    readings_add(&s->fraction, sum[3 * OPS] / ranks / total);
    readings_add(&s->exposed, waited / ranks / total);
    if (s->fused) readings_add(&s->exposed_pairs, sum[3 * PLAN_FB + 2] / sum[3 * PLAN_FB + 1]);
    return total;
}

/* ---- printing ---- */

static double milli(const struct readings *r)
{
    return r->n > 0 ? 1e3 * readings_median(r) : 0;
}

/* A stage's times are printed as paced, exchanges included. */
void trial_heading(const struct bench_options *o, const struct length *l)
{
    double wire = o->exchange * o->pass_ms;
    struct paced_times t = paced_predict(
        &(struct paced_costs){o->chunk_layers, o->pass_ms, o->pass_ms, o->pass_ms, wire, wire});
    printf("\nP = %d, %d rank%s a stage, M = %d; a stage: F %.1f  B %.1f  W %.1f  B+W %.1f  F&B "
           "%.1f ms\n",
           l->stages, l->members, l->members > 1 ? "s" : "", l->micro_batches, t.f, t.b, t.w, t.bw,
           t.pair);
    printf("%-14s %9s %9s %6s | %6s %6s %6s %6s %6s %6s | %7s %7s %7s | %6s %6s | %6s %6s | %6s\n",
           "plan", "step ms", "simul.", "ratio", "F", "B", "W", "B+W", "F&B", "inter.", "idle ms",
           "simul.", "formula", "bubble", "simul.", "in F&B", "in all", "x 1f1b");
}

/* Measured beside simulated, column by column. */
void trial_print(const struct trial *s)
{
    char name[32];
    static const char *const suffix[TURNS] = {", off", "", ", all"};
    snprintf(name, sizeof name, "%s%s", plan_kind_name(s->kind), suffix[s->turns]);
    printf("%-14s %9.1f %9.1f %6.3f |", name, milli(&s->measured), 1e3 * s->step,
           milli(&s->measured) / (1e3 * s->step));
    for (int k = 0; k < OPS; k++) printf(" %6.2f", milli(&s->row[k]));
    char formula[32] = "-";
    if (!isnan(s->formula)) snprintf(formula, sizeof formula, "%.1f", 1e3 * s->formula);
    printf(" | %7.1f %7.1f %7s | %5.1f%% %5.1f%% |", milli(&s->idle), 1e3 * s->worst, formula,
           0.1 * milli(&s->fraction), 100 * s->bubble);
    printf(" %5.1f%% %5.1f%% | %6.2f\n", 0.1 * milli(&s->exposed_pairs), 0.1 * milli(&s->exposed),
           1e-3 * milli(&s->relative));
}

static json_t *or_null(const struct readings *r)
{
    return r->n > 0 ? readings_json(r) : json_null();
}

/* As trial_print, with spread and the costs that were given. */
json_t *trial_json(const struct trial *s, const struct length *l)
{
    json_t *rows = json_object();
    for (int k = 0; k < OPS; k++)
        if (s->row[k].n > 0)
            json_object_set_new(rows, plan_op_name((enum plan_op)k), readings_json(&s->row[k]));
    const struct sim_costs *c = &s->costs.table.sim; /* of the first chunk */
    json_t *predicted = json_pack("{s:f, s:f, s:f, s:f, s:f}", "F", c->f[0], "B", c->b[0], "W",
                                  c->w[0], "BW", c->bw[0], "F+B", c->pairs[0]);
    json_t *out =
        json_pack("{s:i, s:i, s:i, s:s, s:b, s:o, s:o}", "stages", l->stages, "ranks_per_stage",
                  l->members, "micro_batches", l->micro_batches, "schedule",
                  plan_kind_name(s->kind), "pair_in_turn", s->fused && s->turns != TURNS_OFF,
                  "row_seconds", rows, "first_chunk_row_seconds_given", predicted);
    json_object_set_new(out, "unpaired_interleaved", json_boolean(s->turns == TURNS_ALL));
    json_object_set_new(out, "seconds_per_step", readings_json(&s->measured));
    json_object_set_new(out, "seconds_per_step_simulated", json_real(s->step));
    json_object_set_new(out, "worst_idle_seconds", readings_json(&s->idle));
    json_object_set_new(out, "worst_idle_seconds_simulated", json_real(s->worst));
    json_object_set_new(out, "worst_idle_seconds_formula",
                        isnan(s->formula) ? json_null() : json_real(s->formula));
    json_object_set_new(out, "bubble_fraction", readings_json(&s->fraction));
    json_object_set_new(out, "bubble_fraction_simulated", json_real(s->bubble));
    json_object_set_new(out, "exposed_fraction_of_pairs", or_null(&s->exposed_pairs));
    json_object_set_new(out, "exposed_fraction", readings_json(&s->exposed));
    json_object_set_new(out, "speed_of_1f1b", or_null(&s->relative));
    return out;
}
