#include "trainer/schedule/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "pipeline/split.h"
#include "trainer/config/cluster.h"
#include "trainer/schedule/pass_cost.h"

enum plan_kind schedule_kind(const struct settings *s)
{
    static const enum plan_kind kind[] = {
        [SCHEDULE_AUTO] = PLAN_AUTO,         [SCHEDULE_SERIAL] = PLAN_SERIAL,
        [SCHEDULE_1F1B] = PLAN_1F1B,         [SCHEDULE_ZB1P] = PLAN_ZB1P,
        [SCHEDULE_DUALPIPE] = PLAN_DUALPIPE, [SCHEDULE_DUALPIPEV] = PLAN_DUALPIPEV};
    return kind[s->run.schedule];
}

enum plan_kind schedule_named(const struct settings *s)
{
    static const enum plan_kind named[PLACES] = {
        [PLACE_LINE] = PLAN_ZB1P, [PLACE_MIRROR] = PLAN_DUALPIPE, [PLACE_VEE] = PLAN_DUALPIPEV};
    enum plan_kind kind = schedule_kind(s);
    return kind == PLAN_AUTO ? named[s->auto_place] : kind;
}

enum plan_place schedule_place(const struct settings *s)
{
    enum plan_kind kind = schedule_kind(s);
    return kind == PLAN_AUTO ? (enum plan_place)s->auto_place : plan_kind_place(kind);
}

int schedule_sums(const struct settings *s)
{
    return schedule_place(s) == PLACE_MIRROR ? 2 : s->mesh.directions;
}

/* Small sums are better formed in one round (comm/exchange.c), cut ones take two. */
bool schedule_cut_shape(int tp, double rows, double C)
{
    return tp > 1 && rows * C > 128 * 1024;
}

bool schedule_cut(const struct settings *s)
{
    const struct mesh_settings *m = &s->mesh;
    if (m->sequence_parallel == SEQUENCE_PARALLEL_AUTO)
        return schedule_cut_shape(m->tp, s->data.micro_batch_tokens, s->model.hidden);
    return m->tp > 1 && m->sequence_parallel == SEQUENCE_PARALLEL_ON;
}

int schedule_least(const struct settings *s)
{
    int least = s->mesh.micro_batches > 1 ? s->mesh.micro_batches : 1, sums = schedule_sums(s);
    bool searched = s->run.schedule ==
                    SCHEDULE_AUTO; /* two a stage, as all that fill a pipeline from both ends */
    if (searched && least < 2 * s->mesh.pp) least = 2 * s->mesh.pp;
    least = plan_micro_batches(schedule_kind(s), s->mesh.pp, least);
    return (least + sums - 1) / sums * sums;
}

/* --- what chunks cost --- */

/* By FLOPs, not by measured times: the split decides bits, and must not depend on the machine. */
void schedule_split_shape(int *first, const struct shape *s, double context, int chunks)
{
    const struct machine flops = machine_of_flops(0);
    const struct pass_job row = {
        .pp = 1, .tp = 1, .ep = 1, .rows = 1, .room = 1, .context = context};
    double *cost = memory_take((size_t)s->layers, sizeof *cost, "choosing a schedule");
    for (int i = 0; i < s->layers; i++)
        cost[i] = pass_cost(s, &flops, &row, (struct pass_part){.first = i, .last = i + 1}).f;
    double head = pass_cost(s, &flops, &row, (struct pass_part){.head = true, .scores = true}).f;
    split_by_cost(first, cost, s->layers, 0, head, chunks);
    free(cost);
}

void schedule_split(int *first, const struct settings *s, const struct dims *d, int chunks)
{
    if (settings_split(s, first + 1, chunks) == chunks) {
        first[0] = 0;
        for (int c = 0; c < chunks; c++) first[c + 1] += first[c];
        return;
    }
    const struct shape shape = shape_of_dims(d);
    schedule_split_shape(first, &shape, d->max_context, chunks);
}

/* What a micro-batch is that passes are costed of, and on what. */
struct assumed {
    struct pass_job job;
    struct machine machine;
    double hidden; /* part of a pair's exchanges that its computing can hide */
    double crowding;
};

/* Whether sequences are cut is not asked, so that it changes no choice, hence no bit. Sequences as
 * long as the longest. Where nothing is known of machines, a row of them, in FLOPs;
 * with a cluster file full micro-batches, in seconds, as the planner has them. */
static struct assumed assume(const struct settings *s, const struct dims *d)
{
    const struct mesh_settings *m = &s->mesh;
    const struct cluster *c = s->cluster;
    double rows = c ? s->data.micro_batch_tokens : 1;
    return (struct assumed){
        .job = {.pp = m->pp,
                .tp = m->tp,
                .ep = m->ep,
                .recompute = (enum recompute)m->recompute,
                .rows = rows,
                .room = rows,
                .context = d->max_context},
        .machine =
            c ? machine_of_cluster(c, d->precision, rows) : machine_of_flops(m->flops_per_byte),
        .hidden = c ? c->top.hidden : 1,
        .crowding = c ? cluster_crowding(c, (long)m->dp * m->pp * m->tp, s->run.threads) : 1};
}

/* Without a cluster file a message is taken for 2 % of a stage's forward at the least: enough to
 * prefer few hops, where nothing is known of wires. */
void schedule_costs_new(struct schedule_costs *c, const struct settings *s, const struct dims *d,
                        enum plan_place place)
{
    int chunks = plan_chunks(place, s->mesh.pp);
    const struct shape shape = shape_of_dims(d);
    const struct assumed a = assume(s, d);
    int *first = memory_take((size_t)chunks + 1, sizeof *first, "choosing a schedule");
    struct pass_cost *cost = memory_take((size_t)chunks, sizeof *cost, "choosing a schedule");
    double forward = 0;
    schedule_split(first, s, d, chunks);
    c->work = 0;
    for (int k = 0; k < chunks; k++) {
        cost[k] = pass_cost(&shape, &a.machine, &a.job, pass_part_of(first, k, chunks));
        pass_cost_scale(&cost[k], a.crowding);
        forward += cost[k].f + cost[k].exchange_f;
        c->work += cost[k].f + cost[k].b + cost[k].w;
    }
    pass_cost_table(&c->table, cost, chunks, a.hidden);
    double message = pass_cost_message(&shape, &a.machine, &a.job);
    c->table.sim.message = s->cluster ? message : fmax(message, 0.02 * forward / s->mesh.pp);
    free(cost);
    free(first);
}

void schedule_costs_free(struct schedule_costs *c)
{
    sim_table_free(&c->table);
}

/* --- memory --- */

/* Slots of the plan that was last asked for, of each kind: a planner asks for every stage of a mesh
 * in turn. */
static struct peak {
    int stages, micro_batches, slots;
} last_peak[PLAN_KINDS];

/* Beyond two micro-batches a stage every named plan keeps the same (test_plan, peaks_do_not_grow):
 * a short one stands for all. */
static int peak_of(enum plan_kind k, int stages, int micro_batches)
{
    int enough = plan_micro_batches(k, stages, 2 * stages);
    if (micro_batches > enough) micro_batches = enough;
    struct peak *last = &last_peak[k];
    if (last->stages == stages && last->micro_batches == micro_batches) return last->slots;
    struct plan plan;
    struct plan_facts facts;
    struct problems p = {0};
    plan_make(&plan, k, stages, micro_batches);
    INVARIANT(plan_check(&plan, NULL, &facts, &p), "%s", p.n ? p.text[0] : "?");
    plan_free(&plan);
    *last = (struct peak){stages, micro_batches, facts.peak_slots};
    return facts.peak_slots;
}

/* As many as the named plans of that placement take. */
static int slots_of(enum plan_place place, int stages, int micro_batches)
{
    int most = 0;
    for (int i = PLAN_1F1B; i < PLAN_AUTO; i++) {
        enum plan_kind k = (enum plan_kind)i;
        if (plan_kind_place(k) != place) continue;
        int peak = peak_of(k, stages, plan_micro_batches(k, stages, micro_batches));
        if (peak > most) most = peak;
    }
    return most;
}

int schedule_slots(const struct settings *s, int micro_batches)
{
    enum plan_kind kind = schedule_kind(s);
    int m = plan_micro_batches(kind, s->mesh.pp, micro_batches);
    return kind == PLAN_AUTO ? slots_of(schedule_place(s), s->mesh.pp, m)
                             : peak_of(kind, s->mesh.pp, m);
}

/* --- auto --- */

/* A run searches for a plan of every count of micro-batches that a step may have, before the first
 * step (P7). So it looks at each only so long (some 30 ms), and beyond this many counts takes the
 * named plan: what a search gains is where a step begins and ends, a small part of a long one. */
enum { PART = 8, SEARCHED = 16 };

bool schedule_searches(const struct settings *s, int micro_batches)
{
    return schedule_kind(s) == PLAN_AUTO &&
           micro_batches < schedule_least(s) + SEARCHED * schedule_sums(s);
}

static bool search(struct plan *plan, const struct settings *s, const struct schedule_costs *c,
                   enum plan_place place, int micro_batches, struct auto_found *found)
{
    int slots = slots_of(place, s->mesh.pp, micro_batches);
    struct auto_option option[PLACES] = {{.costs = NULL}};
    option[place] = (struct auto_option){&c->table.sim, {.slots = slots}, PART};
    return plan_auto(plan, s->mesh.pp, micro_batches, option, found);
}

/* A searched plan is proved like any other. */
void schedule_plan(struct plan *plan, const struct settings *s, const struct dims *d,
                   int micro_batches)
{
    struct problems p = {0};
    if (schedule_searches(s, micro_batches)) {
        struct schedule_costs c;
        schedule_costs_new(&c, s, d, schedule_place(s));
        bool found = search(plan, s, &c, schedule_place(s), micro_batches, NULL);
        INVARIANT(found, "no plan for %d micro-batches", micro_batches);
        schedule_costs_free(&c);
    } else {
        plan_make(plan, schedule_named(s), s->mesh.pp, micro_batches);
    }
    INVARIANT(plan_check(plan, NULL, NULL, &p), "the plan is wrong: %s", p.n ? p.text[0] : "?");
}

static const char *const place_name[PLACES] = {"line", "mirror", "vee"};

bool schedule_can(const struct settings *s, enum plan_place place)
{
    int parts = settings_split(s, NULL, 0); /* the number of chunks that a split by hand names */
    if (plan_chunks(place, s->mesh.pp) > s->model.layers) return false;
    if (parts > 0 && parts != plan_chunks(place, s->mesh.pp)) return false;
    return place != PLACE_MIRROR || (s->mesh.pp % 2 == 0 && s->mesh.directions == 2);
}

/* What the search said of a placement. */
struct schedule_verdict {
    bool any;
    double bubble, named_bubble; /* predicted, of the plan found and of the best named one */
    enum plan_kind named;
};

/* The bubble relative to the ideal step; the best named plan is compared with what the search
 * found. */
static struct schedule_verdict judge(const struct settings *s, const struct dims *d,
                                     enum plan_place place, int micro_batches)
{
    struct schedule_costs c;
    struct plan plan;
    struct auto_found found;
    schedule_costs_new(&c, s, d, place);
    struct schedule_verdict v = {.any = search(&plan, s, &c, place, micro_batches, &found)};
    if (v.any) {
        double ideal = c.work * micro_batches / s->mesh.pp; /* every rank at work all the time */
        v.bubble = 1 - ideal / found.makespan;
        v.named_bubble = found.named == PLAN_AUTO ? 1 : 1 - ideal / found.named_makespan;
        v.named = found.named;
        plan_free(&plan);
    }
    schedule_costs_free(&c);
    return v;
}

/* The log names what auto chose and by how much, since bits depend on it. */
static void say_choice(const struct settings *s, const struct schedule_verdict v[PLACES],
                       int micro_batches)
{
    char text[512] = "", by[160] = "FLOPs";
    size_t used = 0;
    if (s->cluster) snprintf(by, sizeof by, "the costs of %s", cluster_name(s->cluster));
    for (int i = 0; i < PLACES; i++)
        if (v[i].any)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s %s %.1f %% (%s %.1f %%)",
                                     used ? "," : "", place_name[i], 100 * v[i].bubble,
                                     plan_kind_name(v[i].named), 100 * v[i].named_bubble);
    log_info("schedule auto: chunks placed in a %s; predicted by %s, bubble of %d micro-batches "
             "on %d stages (best named plan):%s",
             place_name[s->auto_place], by, micro_batches, s->mesh.pp, text);
}

/* Another placement must win by more than 1 %: the first one, a line, needs least memory. */
void schedule_choose(struct settings *s, const struct dims *d, const bool fits[PLACES])
{
    static const enum plan_place order[] = {PLACE_LINE, PLACE_VEE, PLACE_MIRROR};
    if (s->run.schedule != SCHEDULE_AUTO) return;
    struct schedule_verdict v[PLACES] = {{.any = false}};
    int micro_batches = schedule_least(s), best = -1;
    micro_batches += micro_batches % 2;
    for (int k = 0; k < PLACES; k++) {
        enum plan_place p = order[k];
        if (!schedule_can(s, p) || (fits && !fits[p])) continue;
        v[p] = judge(s, d, p, micro_batches);
        /* a step takes 1 / (1 - bubble) times the ideal one */
        if (v[p].any && (best < 0 || 1 - v[p].bubble > 1.01 * (1 - v[best].bubble))) best = (int)p;
    }
    if (best < 0) return; /* nothing fits: what is there will be refused, with its reasons */
    s->auto_place = best;
    say_choice(s, v, micro_batches);
}
