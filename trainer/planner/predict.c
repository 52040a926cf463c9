#include "trainer/planner/predict.h"

#include <stdlib.h>
#include "comm/base/memory.h"
#include "pipeline/check.h"
#include "pipeline/schedules.h"
#include "pipeline/split.h"

/* Times of all chunks, as the simulator wants them, and what of them is exchange. */
struct chunks {
    int n;
    struct sim_table table;          /* f and b with their exchanges */
    double *exchange_f, *exchange_b; /* [n] */
    double mean_f, mean_b, mean_w, mean_exchange;
    double dense, expert; /* weights that the rank with most holds */
};

enum plan_place layout_place(const struct layout *l)
{
    return l->plan ? l->plan->place : plan_kind_place(l->kind);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* ---- layers to chunks ---- */

static double whole(struct pass_cost p)
{
    return p.f + p.b + p.w + p.exchange_f + p.exchange_b;
}

void predict_split(int *first, int chunks, const struct shape *s, const struct cluster *c,
                   const struct layout *l)
{
    double *cost = memory_take((size_t)s->layers, sizeof *cost, "a prediction");
    for (int i = 0; i < s->layers; i++) cost[i] = whole(cost_of_chunk(s, c, l, i, i + 1, 0, 0));
    double embed = whole(cost_of_chunk(s, c, l, 0, 0, true, false));
    double head = whole(cost_of_chunk(s, c, l, 0, 0, false, true));
    split_by_cost(first, cost, s->layers, embed, head, chunks);
    free(cost);
}

/* ---- costs of chunks ---- */

static void chunks_fill(struct chunks *k, const int *first, const struct shape *s,
                        const struct cluster *c, const struct layout *l)
{
    for (int i = 0; i < k->n; i++) {
        struct pass_cost p = cost_of_chunk(s, c, l, first[i], first[i + 1], i == 0, i == k->n - 1);
        k->exchange_f[i] = p.exchange_f, k->exchange_b[i] = p.exchange_b;
        double f = p.f + p.exchange_f, b = p.b + p.exchange_b;
        k->table.f[i] = f, k->table.b[i] = b, k->table.w[i] = p.w;
        k->mean_f += f / k->n, k->mean_b += b / k->n, k->mean_w += p.w / k->n;
        k->mean_exchange += (p.exchange_f + p.exchange_b) / k->n;
    }
}

static void chunks_new(struct chunks *k, int n)
{
    *k = (struct chunks){.n = n};
    sim_table_new(&k->table, n, 0);
    k->exchange_f = memory_take((size_t)n, sizeof *k->exchange_f, "a prediction");
    k->exchange_b = memory_take((size_t)n, sizeof *k->exchange_b, "a prediction");
}

static void chunks_free(struct chunks *k)
{
    sim_table_free(&k->table);
    free(k->exchange_f);
    free(k->exchange_b);
}

/* Ranks that share cores take turns: every pass takes longer. */
static void chunks_stretch(struct chunks *k, double times)
{
    for (int i = 0; i < k->n; i++) {
        k->table.f[i] *= times, k->table.b[i] *= times, k->table.w[i] *= times;
        k->exchange_f[i] *= times, k->exchange_b[i] *= times;
    }
    k->mean_f *= times, k->mean_b *= times, k->mean_w *= times, k->mean_exchange *= times;
}

/* Of a pair's exchanges the hidden part disappears behind its computing, as far as there is some. */
static double pair_time(const struct chunks *k, double hidden)
{
    double all = k->mean_f + k->mean_b + k->mean_w, compute = all - k->mean_exchange;
    return larger(compute + (1 - hidden) * k->mean_exchange, larger(k->mean_exchange, compute));
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

/* Seconds in which the mean rank waits for exchanges of its own passes: whole ones, and in pairs what the computing does not hide. */
static double exchanges_exposed(const struct plan *plan, const struct chunks *k, double in_pair)
{
    double sum = 0;
    for (int r = 0; r < plan->stages; r++)
        for (int i = 0; i < plan->n_rows[r]; i++) {
            const struct plan_row *row = &plan->rows[r][i];
            if (row->op == PLAN_F) sum += k->exchange_f[row->f.chunk];
            if (row->op == PLAN_B || row->op == PLAN_BW) sum += k->exchange_b[row->b.chunk];
            if (row->op == PLAN_FB) sum += in_pair;
        }
    return sum / plan->stages;
}

static const struct sim_costs *costs_of(struct prediction *out, struct chunks *k,
                                        const struct cluster *c)
{
    out->pair = pair_time(k, c->top.hidden);
    k->table.sim.pair = out->pair / (k->mean_f + k->mean_b + k->mean_w);
    k->table.sim.message = out->message;
    return &k->table.sim;
}

/* Runs the plan; on shared cores again, with passes as long as the ranks that compute at once make them: cores stand still only when
 * fewer ranks compute than there are cores, so a step takes its work over the cores, or as long as on cores of their own. */
static void run(struct prediction *out, struct sim *sim, const struct plan *plan, struct chunks *k,
                const struct cluster *c, const struct layout *l)
{
    INVARIANT(sim_run(sim, plan, costs_of(out, k, c)), "the plan hangs");
    double crowd = cluster_crowding(c, (long)l->dp * l->pp * l->tp, l->threads ? l->threads : 1);
    out->crowding = larger(1, crowd * (1 - sim->bubble));
    if (out->crowding <= 1) return;
    chunks_stretch(k, out->crowding);
    INVARIANT(sim_run(sim, plan, costs_of(out, k, c)), "the plan hangs");
}

static double simulate(struct prediction *out, const struct cluster *c, const struct layout *l,
                       struct chunks *k, struct timeline *timeline)
{
    struct plan plan, only;
    struct sim sim;
    if (l->plan)
        plan_copy(&plan, l->plan);
    else
        plan_make(&plan, l->kind, l->pp, l->micro_batches);
    sim_new(&sim, &plan);
    run(out, &sim, &plan, k, c, l);
    out->pipeline = sim.makespan;
    out->bubble = sim.bubble;
    if (timeline) timeline_of_sim(timeline, &plan, &sim);
    double compute = k->mean_f + k->mean_b + k->mean_w - k->mean_exchange;
    double exposed = exchanges_exposed(&plan, k, out->pair - compute);
    for (int r = 0; r < sim.ranks; r++) exposed += sim.exposed[r] / sim.ranks;
    if (l->forwards > 0) {
        plan_forward_only(&only, &plan);
        INVARIANT(sim_run(&sim, &only, &k->table.sim), "the plan of forwards hangs");
        out->pipeline += l->forwards * sim.makespan;
        plan_free(&only);
    }
    sim_free(&sim);
    plan_free(&plan);
    return exposed;
}

/* Of the sums all but the last bucket's may hide behind the last backward pass of a rank, whose layers end one after the other; weights are
 * gathered after the update (trainer/learn/reducing.h). */
static void reduce(struct prediction *out, const struct shape *s, const struct cluster *c,
                   const struct layout *l, const struct chunks *k)
{
    double sums = l->sums, all = l->sums + l->gathers;
    if (all <= 0) all = cost_of_reduce(s, c, l, k->dense, k->expert), sums = all / 2;
    double last = k->mean_b + k->mean_w;
    out->hidden = l->buckets > 1 ? sums * (l->buckets - 1) / l->buckets : 0;
    if (out->hidden > last) out->hidden = last;
    out->reduce = all - out->hidden;
}

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

void predict(struct prediction *out, const struct shape *s, const struct cluster *c,
             const struct layout *l, struct timeline *timeline)
{
    struct chunks k;
    int chunks = plan_chunks(layout_place(l), l->pp);
    int *first = memory_take((size_t)chunks + 1, sizeof *first, "a prediction");
    if (!l->first) predict_split(first, chunks, s, c, l);
    chunks_new(&k, chunks);
    chunks_fill(&k, l->first ? l->first : first, s, c, l);
    heaviest(&k, l->first ? l->first : first, s, l);
    double crowd = cluster_crowding(c, (long)l->dp * l->pp * l->tp, l->threads ? l->threads : 1);
    *out = (struct prediction){.message = cost_of_message(s, c, l),
                               .weights = k.dense + k.expert,
                               .update = crowd * cost_of_update(s, c, l, k.dense, k.expert)};
    double exposed = simulate(out, c, l, &k, timeline);
    out->f = k.mean_f, out->b = k.mean_b, out->w = k.mean_w;
    reduce(out, s, c, l, &k);
    sum_up(out, s, c, l, exposed);
    chunks_free(&k);
    free(first);
}
