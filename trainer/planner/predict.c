#include "trainer/planner/predict.h"

#include <math.h>
#include <stdlib.h>
#include "comm/base/memory.h"
#include "pipeline/check.h"
#include "pipeline/schedules.h"
#include "trainer/planner/costs.h"
#include "trainer/schedule/schedule.h"

/* Times of all chunks, and what the rank with most holds. */
struct chunks {
    int n;
    struct pass_cost *cost, mean; /* [n] */
    struct sim_table table;       /* the same, for the simulator */
    double dense, expert;         /* weights */
};

/* ---- costs of chunks ---- */

static void add_cost(struct pass_cost *sum, const struct pass_cost *p, double times)
{
    sum->f += p->f * times, sum->b += p->b * times, sum->w += p->w * times;
    sum->exchange_f += p->exchange_f * times, sum->exchange_b += p->exchange_b * times;
}

/* Costs chunk by chunk: the first and the last have the embedding and the head. */
static void chunks_new(struct chunks *k, const int *first, bool scores, const struct shape *s,
                       const struct cluster *c, const struct layout *l)
{
    int n = plan_chunks(layout_place(l), l->pp);
    *k = (struct chunks){.n = n, .cost = memory_take((size_t)n, sizeof *k->cost, "a prediction")};
    for (int i = 0; i < n; i++) {
        struct pass_part part = pass_part_of(first, i, n);
        part.scores = scores;
        k->cost[i] = cost_of_part(s, c, l, part);
        add_cost(&k->mean, &k->cost[i], 1.0 / n);
    }
    pass_cost_table(&k->table, k->cost, n, c->top.hidden);
}

static void chunks_free(struct chunks *k)
{
    sim_table_free(&k->table);
    free(k->cost);
}

/* Ranks that share cores take turns: every pass takes longer. */
static void chunks_scale(struct chunks *k, double times, double hidden)
{
    sim_table_free(&k->table);
    for (int i = 0; i < k->n; i++) add_cost(&k->cost[i], &k->cost[i], times - 1);
    add_cost(&k->mean, &k->mean, times - 1);
    pass_cost_table(&k->table, k->cost, k->n, hidden);
}

/* ---- what ranks hold ---- */

static void weights_of(double *dense, double *expert, const int *first, int chunk, int chunks,
                       const struct shape *s, const struct layout *l)
{
    for (int i = first[chunk]; i < first[chunk + 1]; i++) {
        double experts = shape_moe(s, i) ? s->experts * s->expert : 0;
        *dense += (shape_layer_weights(s, i) - experts) / l->tp;
        *expert += experts / l->ep;
    }
    if (chunk == 0) *dense += s->V * s->C / l->tp;
    if (chunk == chunks - 1) *dense += s->V * s->C / l->tp;
}

/* The rank with most weights decides the time of the update. */
static void heaviest(struct chunks *k, const int *first, const struct shape *s,
                     const struct layout *l)
{
    enum plan_place place = layout_place(l);
    for (int r = 0; r < l->pp; r++) {
        int held[2], n = plan_held(place, l->pp, r, held);
        double dense = 0, expert = 0;
        for (int i = 0; i < n; i++) weights_of(&dense, &expert, first, held[i], k->n, s, l);
        if (dense + expert <= k->dense + k->expert) continue;
        k->dense = dense, k->expert = expert;
    }
}

/* ---- the step ---- */

/* Seconds of a row in which it waits for its exchanges: all of them in a pass that runs alone, in a
 * pair what the computing does not hide. */
static double waits(const struct plan_row *row, const struct chunks *k)
{
    const struct pass_cost *f = &k->cost[row->f.chunk], *b = &k->cost[row->b.chunk];
    if (row->op == PLAN_F) return f->exchange_f;
    if (row->op == PLAN_B || row->op == PLAN_BW) return b->exchange_b;
    return row->op == PLAN_FB ? sim_row(row, &k->table.sim) - (f->f + b->b + b->w) : 0;
}

/* Times of the mean rank, in a step. */
static double exchanges_exposed(const struct plan *plan, const struct chunks *k)
{
    double sum = 0;
    for (int r = 0; r < plan->stages; r++)
        for (int i = 0; i < plan->n_rows[r]; i++) sum += waits(&plan->rows[r][i], k);
    return sum / plan->stages;
}

/* Runs the plan; on shared cores again, with passes as long as the ranks that compute at once make
 * them: cores stand still only when fewer ranks compute than there are cores, so a step takes its
 * work over the cores, or as long as on cores of their own. */
static void run(struct prediction *out, struct sim *sim, const struct plan *plan, struct chunks *k,
                const struct cluster *c, const struct layout *l)
{
    double crowd = cluster_crowding(c, (long)l->dp * l->pp * l->tp, l->threads ? l->threads : 1);
    k->table.sim.message = out->message;
    INVARIANT(sim_run(sim, plan, &k->table.sim), "the plan hangs");
    out->crowding = fmax(1, crowd * (1 - sim->bubble));
    if (out->crowding <= 1) return;
    chunks_scale(k, out->crowding, c->top.hidden);
    k->table.sim.message = out->message;
    INVARIANT(sim_run(sim, plan, &k->table.sim), "the plan hangs");
}

/* l->forwards passes of forwards only over the plan's micro-batches: seconds. */
static double run_forwards(const struct prediction *out, struct sim *sim, const struct plan *plan,
                           struct chunks *scores, const struct cluster *c)
{
    struct plan only;
    if (out->crowding > 1) chunks_scale(scores, out->crowding, c->top.hidden);
    scores->table.sim.message = out->message;
    plan_forward_only(&only, plan);
    INVARIANT(sim_run(sim, &only, &scores->table.sim), "the plan of forwards hangs");
    plan_free(&only);
    return sim->makespan;
}

/* The recipe's own plan where there is one; passes that only score are simulated apart and added.
 */
static double simulate(struct prediction *out, const struct cluster *c, const struct layout *l,
                       struct chunks k[2], struct timeline *timeline)
{
    struct plan plan;
    struct sim sim;
    if (l->plan)
        plan_copy(&plan, l->plan);
    else
        plan_make(&plan, l->kind, l->pp, l->micro_batches);
    sim_new(&sim, &plan);
    run(out, &sim, &plan, &k[0], c, l);
    out->pipeline = sim.makespan;
    out->bubble = sim.bubble;
    if (timeline) timeline_of_sim(timeline, &plan, &sim);
    double exposed = exchanges_exposed(&plan, &k[0]);
    for (int r = 0; r < sim.ranks; r++) exposed += sim.exposed[r] / sim.ranks;
    if (l->forwards > 0) out->pipeline += l->forwards * run_forwards(out, &sim, &plan, &k[1], c);
    sim_free(&sim);
    plan_free(&plan);
    return exposed;
}

/* All sums but the last bucket's may hide behind the last backward pass of a rank, whose
 * layers end one after the other; weights are gathered after the update
 * (trainer/learn/grad_reduce.h). */
static void reduce(struct prediction *out, const struct shape *s, const struct cluster *c,
                   const struct layout *l, const struct predicted_pipeline *p)
{
    double sums = l->sums, all = l->sums + l->gathers;
    if (all <= 0) all = cost_of_reduce(s, c, l, p->dense, p->expert), sums = all / 2;
    double last = out->b + out->w;
    out->hidden = l->buckets > 1 ? sums * (l->buckets - 1) / l->buckets : 0;
    if (out->hidden > last) out->hidden = last;
    out->reduce = all - out->hidden;
}

/* Ranks that share cores reach a smaller peak, hence the division by crowding. */
static void sum_up(struct prediction *out, const struct shape *s, const struct cluster *c,
                   const struct layout *l, double exposed)
{
    double rows = (double)l->dp * l->micro_batches * l->rows;
    double devices = (double)l->dp * l->pp * l->tp;
    out->step = out->pipeline + out->reduce + out->update;
    out->exposed = (exposed + out->reduce) / out->step;
    out->rows_per_second = rows / out->step;
    double peak = cluster_peak(c, s->precision) * devices /
                  cluster_crowding(c, (long)devices, l->threads ? l->threads : 1);
    out->mfu = peak > 0 ? shape_model_flops(s, l->context) * rows / (out->step * peak) : 0;
}

/* What does not ask how many pipelines there are, but for cores that ranks share. */
void predict_pipeline(struct predicted_pipeline *out, const struct shape *s,
                      const struct cluster *c, const struct layout *l, struct timeline *timeline)
{
    struct chunks k[2]; /* of passes that learn, and that only score */
    struct prediction p = {.message = cost_of_message(s, c, l)};
    int chunks = plan_chunks(layout_place(l), l->pp);
    int *first = memory_take((size_t)chunks + 1, sizeof *first, "a prediction");
    if (!l->first) schedule_split_shape(first, s, l->context, chunks);
    for (int i = 0; i < 2; i++) chunks_new(&k[i], l->first ? l->first : first, i == 1, s, c, l);
    heaviest(&k[0], l->first ? l->first : first, s, l);
    double exposed = simulate(&p, c, l, k, timeline);
    p.f = k[0].mean.f + k[0].mean.exchange_f, p.b = k[0].mean.b + k[0].mean.exchange_b;
    p.w = k[0].mean.w;
    p.pair = pass_cost_pair(&k[0].mean, &k[0].mean, c->top.hidden);
    p.weights = k[0].dense + k[0].expert;
    *out = (struct predicted_pipeline){
        .known = p, .exposed = exposed, .dense = k[0].dense, .expert = k[0].expert};
    for (int i = 0; i < 2; i++) chunks_free(&k[i]);
    free(first);
}

void predict_step(struct prediction *out, const struct shape *s, const struct cluster *c,
                  const struct layout *l, const struct predicted_pipeline *p)
{
    double crowd = cluster_crowding(c, (long)l->dp * l->pp * l->tp, l->threads ? l->threads : 1);
    *out = p->known;
    out->update = crowd * cost_of_update(s, c, l, p->dense, p->expert);
    reduce(out, s, c, l, p);
    sum_up(out, s, c, l, p->exposed);
}

/* Pipeline, reduction and update are computed apart and added up: docs/PLANNER.md lists the
 * assumptions. */
void predict(struct prediction *out, const struct shape *s, const struct cluster *c,
             const struct layout *l, struct timeline *timeline)
{
    struct predicted_pipeline p;
    predict_pipeline(&p, s, c, l, timeline);
    predict_step(out, s, c, l, &p);
}
