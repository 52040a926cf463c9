#include "trainer/schedule/pass_cost.h"

#include <limits.h>
#include <math.h>
#include "comm/exchange.h"

void pass_cost_scale(struct pass_cost *p, double times)
{
    p->f *= times, p->b *= times, p->w *= times;
    p->exchange_f *= times, p->exchange_b *= times;
}

double pass_cost_pair(const struct pass_cost *f, const struct pass_cost *b, double hidden)
{
    double compute = f->f + b->b + b->w, exchanges = f->exchange_f + b->exchange_b;
    double halves = fmax(f->f + f->exchange_f, b->b + b->exchange_b + b->w);
    return fmax(fmax(compute + (1 - hidden) * exchanges, exchanges), halves);
}

/* sim.pair is the best ratio of all pairs: from it the search reads whether pairs gain anything. */
static void fill_pairs(struct sim_table *t, const struct pass_cost *chunk, int chunks,
                       double hidden)
{
    t->sim.pair = 1;
    for (int k = 0; k < chunks; k++) t->bw[k] = t->b[k] + t->w[k];
    for (int f = 0; f < chunks; f++)
        for (int b = 0; b < chunks; b++) {
            double takes = pass_cost_pair(&chunk[f], &chunk[b], hidden);
            t->pairs[f * chunks + b] = takes;
            t->sim.pair = fmin(t->sim.pair, takes / (t->f[f] + t->bw[b]));
        }
}

/* Without exchanges a pair hides nothing: the table of pairs is left out. */
void pass_cost_table(struct sim_table *t, const struct pass_cost *chunk, int chunks, double hidden)
{
    double exchanges = 0;
    for (int k = 0; k < chunks; k++) exchanges += chunk[k].exchange_f + chunk[k].exchange_b;
    sim_table_new(t, chunks, exchanges > 0 ? SIM_OVERLAP : 0);
    for (int k = 0; k < chunks; k++) {
        t->f[k] = chunk[k].f + chunk[k].exchange_f;
        t->b[k] = chunk[k].b + chunk[k].exchange_b;
        t->w[k] = chunk[k].w;
    }
    if (exchanges > 0) fill_pairs(t, chunk, chunks, hidden);
}

struct machine machine_of_flops(double flops_per_byte)
{
    const struct link_cost wire = {0, flops_per_byte};
    return (struct machine){.rate = 1,
                            .attention = 1,
                            .memory = INFINITY,
                            .inside = wire,
                            .between = wire,
                            .node = LONG_MAX};
}

static struct link_cost link_of_settings(const struct link_settings *l)
{
    if (l->gbs <= 0) return (struct link_cost){0};
    return (struct link_cost){l->us * 1e-6, 1 / (l->gbs * 1e9)};
}

/* Measured times are per full micro-batch in the file, per row here. */
struct machine machine_of_cluster(const struct cluster *c, enum precision precision, double room)
{
    const struct costs_settings *k = &c->costs;
    double row = 1e-3 / room;
    return (struct machine){
        .rate = cluster_rate(c, precision),
        .attention = c->compute.attention,
        .memory = c->top.memory_gbs * 1e9,
        .inside = link_of_settings(&c->inside),
        .between = link_of_settings(&c->between),
        .node = c->top.devices,
        .layer = {.f = k->layer_f * row, .b = k->layer_b * row, .w = k->layer_w * row},
        .head = {.f = k->head_f * row, .b = k->head_b * row, .w = k->head_w * row}};
}

struct pass_part pass_part_of(const int *first, int chunk, int chunks)
{
    return (struct pass_part){.first = first[chunk],
                              .last = first[chunk + 1],
                              .embed = chunk == 0,
                              .head = chunk == chunks - 1};
}

/* ---- links ---- */

double link_send(const struct link_cost *l, double bytes)
{
    return bytes * l->byte + l->first;
}

static const struct link_cost *link_of(const struct machine *m, long ranks)
{
    return ranks <= m->node ? &m->inside : &m->between;
}

double pass_cost_message(const struct shape *s, const struct machine *m, const struct pass_job *j)
{
    if (j->pp == 1) return 0;
    double rows = j->cut ? ceil(j->room / j->tp) : j->room;
    return link_send(link_of(m, (long)j->pp * j->tp), rows * s->C * shape_real_bytes(s));
}

static double tensor_sum(const struct shape *s, const struct machine *m, const struct pass_job *j)
{
    if (j->tp == 1) return 0;
    enum codec wire = shape_real_bytes(s) == 2 ? CODEC_BF16 : CODEC_FP32;
    size_t n = (size_t)ceil(j->rows * s->C);
    struct link_cost link = *link_of(m, j->tp);
    link.first *= exchange_sum_rounds(j->tp, wire, n);
    return link_send(&link, (j->tp - 1) * (double)exchange_sum_sends(j->tp, wire, n));
}

/* One way: rows to their experts, or what the experts made of them back. */
static double expert_send(const struct shape *s, const struct machine *m, const struct pass_job *j,
                          double bytes_each)
{
    if (j->ep == 1) return 0;
    const struct link_cost *link = link_of(m, (long)j->ep * j->pp * j->tp);
    double copies = s->active;
    if (link == &m->between && s->nodes > 0 && s->nodes < copies) copies = s->nodes;
    return link_send(link, j->rows * copies * s->C * bytes_each * (j->ep - 1) / j->ep);
}

/* Sums stand behind attention and FFN, and, forward, behind the embedding and the head's gradient;
 * a layer with experts shares only its attention (model/tensor_parallel.c, model/dispatch.c). With
 * `full` attention's sum is formed again, and rows go to their experts and back again. */
struct pass_exchanges pass_exchanges(const struct shape *s, struct pass_part part,
                                     enum recompute recompute, bool backward)
{
    struct pass_exchanges x = {0};
    bool full = backward && recompute_has(recompute, RECOMPUTE_FULL);
    bool products = backward && recompute_has(recompute, RECOMPUTE_PRODUCTS);
    if (!backward) x.sums = part.embed + (part.head && !part.scores);
    for (int layer = part.first; layer < part.last; layer++) {
        bool experts = shape_moe(s, layer);
        x.sums += (experts ? 1 : 2) + full;
        x.experts += experts ? 1 + full : 0;
        x.again += experts && products && !full;
    }
    return x;
}

/* Backward the gradient of a part's output is gathered, W by itself has to gather it again, and
 * what is computed again begins with the norm (model/norm.c). */
struct cut_exchanges pass_cut_exchanges(const struct shape *s, struct pass_part part,
                                        enum recompute recompute, enum plan_op op)
{
    struct cut_exchanges x = {0};
    bool forward = op == PLAN_F, again = !forward && recompute != RECOMPUTE_NONE;
    bool full = again && recompute_has(recompute, RECOMPUTE_FULL), weights = op == PLAN_W;
    for (int layer = part.first; layer < part.last && !(weights && again); layer++) {
        int products = shape_moe(s, layer) ? 1 : 2;
        x.gathers += weights ? products : again ? 4 : 2;
        if (!weights) x.slices += products + full;
        if (!weights && !forward) x.gains += 2;
    }
    if (part.embed && forward) x.slices++;
    if (part.embed && !forward && (weights != again || op == PLAN_BW)) x.gathers++;
    if (part.head && forward) x.gathers++, x.slices += !part.scores;
    if (part.head && !forward && !weights) x.gains++;
    return x;
}

static double exchange_cost(const struct shape *s, const struct machine *m,
                            const struct pass_job *j, struct pass_exchanges x)
{
    double there = expert_send(s, m, j, s->send), back = expert_send(s, m, j, shape_real_bytes(s));
    return x.sums * tensor_sum(s, m, j) + x.experts * (there + back) + x.again * there;
}

/* ---- computing ---- */

/* What is measured a row, as this many rows of it take over tp. */
static struct pass_cost measured(const struct pass_cost *row, const struct pass_job *j)
{
    double n = j->rows / j->tp;
    return (struct pass_cost){.f = row->f * n, .b = row->b * n, .w = row->w * n};
}

/* linear and attention: FLOPs of a row, forward; kept_bytes are written once and read about twice.
 */
static struct pass_cost computed(const struct machine *m, const struct pass_job *j, double linear,
                                 double attention, double kept_bytes)
{
    double rate = m->rate * j->tp, l = j->rows * linear / rate;
    double a = j->rows * attention / (rate * m->attention);
    double rest = 3 * j->rows * kept_bytes / m->memory / j->tp;
    return (struct pass_cost){.f = l + a + rest, .b = l + 2.5 * a + rest, .w = l};
}

static struct pass_cost layer_computed(const struct shape *s, const struct machine *m,
                                       const struct pass_job *j, int layer)
{
    double kept = shape_moe(s, layer) ? s->kept_moe : s->kept;
    return computed(m, j, shape_layer_linear_flops(s, layer),
                    shape_attention_flops(s, j->context / 2), kept * shape_real_bytes(s));
}

/* What is computed again of a forward pass, its bytes read and written once. */
static double layer_again(const struct shape *s, const struct machine *m, const struct pass_job *j,
                          int layer)
{
    const struct shape_again *a = shape_moe(s, layer) ? &s->again_moe : &s->again;
    bool attention = recompute_has(j->recompute, RECOMPUTE_FULL);
    double bytes = a->acts[j->recompute] * shape_real_bytes(s);
    return computed(m, j, 2 * a->matrices[j->recompute],
                    attention ? shape_attention_flops(s, j->context / 2) : 0, bytes * 2 / 3)
        .f;
}

/* Measured times are of layers that compute nothing again: it takes the same part of them as of
 * what is computed. */
static struct pass_cost layer_cost(const struct shape *s, const struct machine *m,
                                   const struct pass_job *j, int layer)
{
    struct pass_cost p = layer_computed(s, m, j, layer);
    double again = layer_again(s, m, j, layer) / p.f;
    if (m->layer.f > 0) p = measured(&m->layer, j);
    p.b += again * p.f;
    return p;
}

/* Without gradients a third of the measured forward. Logits are written once, and read twice for
 * each of their two uses; of the norm a row and its gradient are kept. */
static struct pass_cost head_cost(const struct shape *s, const struct machine *m,
                                  const struct pass_job *j, bool scores)
{
    if (m->layer.f > 0) {
        struct pass_cost p = measured(&m->head, j);
        if (scores) p.f /= 3;
        return p;
    }
    struct pass_cost one = computed(m, j, shape_head_flops(s), 0, s->V * sizeof(float));
    if (scores) return (struct pass_cost){.f = one.f};
    struct pass_cost norm = computed(m, j, 0, 0, 2 * s->C * shape_real_bytes(s));
    return (struct pass_cost){.f = one.f + one.b + one.w + norm.f, .b = norm.b};
}

/* Rows looked up, and added up again. */
static struct pass_cost embed_cost(const struct shape *s, const struct machine *m,
                                   const struct pass_job *j)
{
    double once = 2 * j->rows * s->C * shape_real_bytes(s) / m->memory;
    return (struct pass_cost){.f = once, .w = 2 * once};
}

static void add_pass(struct pass_cost *sum, struct pass_cost one)
{
    sum->f += one.f, sum->b += one.b, sum->w += one.w;
}

struct pass_cost pass_cost(const struct shape *s, const struct machine *m, const struct pass_job *j,
                           struct pass_part part)
{
    struct pass_cost sum = {
        .exchange_f = exchange_cost(s, m, j, pass_exchanges(s, part, j->recompute, false)),
        .exchange_b = exchange_cost(s, m, j, pass_exchanges(s, part, j->recompute, true))};
    for (int layer = part.first; layer < part.last; layer++)
        add_pass(&sum, layer_cost(s, m, j, layer));
    if (part.embed) add_pass(&sum, embed_cost(s, m, j));
    if (part.head) add_pass(&sum, head_cost(s, m, j, part.scores));
    if (j->recompute != RECOMPUTE_NONE) sum.b += sum.w, sum.w = 0;
    return sum;
}
