/* The attention half of a layer: x2 = x + wo . attention(rope(qk_norm(wqkv . norm1(x) + bqkv))) +
 * bo.
 */
#include <stdlib.h>
#include "comm/base/memory.h"
#include "model/block.h"
#include "model/rope.h"

PARAM_TABLE(attention, ATTENTION_PARAMS)
WEIGHT_STRUCT(attention_weights, ATTENTION_PARAMS)
ACT_TABLE(attention_acts, ATTENTION_ACTS)
ACT_TABLE(attention_scratch, ATTENTION_SCRATCH)

static void place_angles(struct chunk *c, struct arena *a)
{
    size_t rows = (size_t)c->d.max_context, row = (size_t)c->d.D * sizeof(float);
    c->cos_sin = arena_take_n(a, rows, row);
    if (!c->cos_sin) return;
    float *angles = memory_take(rows, row, "angles");
    rope_table(angles, &c->d);
    c->device->copy_in(c->cos_sin, angles, rows * row);
    free(angles);
}

static size_t cache_bytes(const struct ops *ops, const struct dims *d)
{
    return ops->kv_block_bytes(d);
}

/* A product with each key, and a product with each value. */
static double flops_key(const struct dims *d)
{
    return 4.0 * d->Hq * d->D;
}

/* Where head `head` begins in a row of queries, keys and values; they are as wide as the
 * projection. */
static void *head_at(const struct chunk *c, void *qkv, int head)
{
    return (unsigned char *)qkv + (size_t)(head * c->d.D) * c->ops->real_bytes;
}

static size_t qkv_bytes(const struct chunk *c)
{
    return (size_t)dims_qkv(&c->d) * c->ops->real_bytes;
}

static void values_copy(const struct chunk *c, void *to, void *from, int T)
{
    int values = c->d.Hq + c->d.Hkv;
    size_t bytes = (size_t)(c->d.Hkv * c->d.D) * c->ops->real_bytes, step = qkv_bytes(c);
    c->ops->copy_rows(head_at(c, to, values), step, head_at(c, from, values), step, T, bytes);
}

static struct head_rows heads_of(const struct chunk *c, int heads, int T)
{
    return (struct head_rows){T, heads, c->d.D, dims_qkv(&c->d), c->d.Hq + c->d.Hkv};
}

/* Qwen3: queries and keys of each head normalised over D, each kind with its own gain; values pass
 * through. */
static void qk_norm_forward(const struct chunk *c, const struct attention_weights *w,
                            struct attention_acts *k, int T)
{
    const struct dims *d = &c->d;
    c->ops->rmsnorm_heads_forward(k->qkv, k->rstd_qk, k->raw, weight_of(c, &w->q_norm),
                                  heads_of(c, d->Hq, T), d->norm_eps);
    c->ops->rmsnorm_heads_forward(head_at(c, k->qkv, d->Hq), k->rstd_qk + d->Hq,
                                  head_at(c, k->raw, d->Hq), weight_of(c, &w->k_norm),
                                  heads_of(c, d->Hkv, T), d->norm_eps);
    values_copy(c, k->qkv, k->raw, T);
}

/* dqkv comes in as the gradient of normalised queries and keys; k->qkv, no longer needed, takes
 * that of the raw ones, and the values' gradient unchanged. */
static void qk_norm_backward(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct attention_weights *w = u->weight;
    struct attention_acts *k = acts_of(p, u);
    struct attention_scratch *s = u->scratch;
    int Hq = c->d.Hq, T = p->rows->T;
    c->ops->rmsnorm_heads_backward(k->qkv, grad_of(p, &w->q_norm), s->dqkv, k->raw,
                                   weight_of(c, &w->q_norm), k->rstd_qk, heads_of(c, Hq, T));
    c->ops->rmsnorm_heads_backward(head_at(c, k->qkv, Hq), grad_of(p, &w->k_norm),
                                   head_at(c, s->dqkv, Hq), head_at(c, k->raw, Hq),
                                   weight_of(c, &w->k_norm), k->rstd_qk + Hq,
                                   heads_of(c, c->d.Hkv, T));
    values_copy(c, k->qkv, s->dqkv, T);
}

/* From the gradient in scratch to that of the projection, over k->qkv: W wants it. */
static void projection_gradient(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct attention_acts *k = acts_of(p, u);
    struct attention_scratch *s = u->scratch;
    size_t bytes = qkv_bytes(c);
    if (c->d.qk_norm)
        qk_norm_backward(p, u);
    else
        c->ops->copy_rows(k->qkv, bytes, s->dqkv, bytes, p->rows->T, bytes);
}

/* --- up to rotated queries and keys --- */

static struct norm norm_of(const struct pass *p, const struct unit *u)
{
    const struct attention_weights *w = u->weight;
    struct attention_acts *k = acts_of(p, u);
    return (struct norm){&w->norm1, k->n1, k->rstd};
}

static void normalise(struct pass *p, const struct unit *u)
{
    norm_forward(p, u, norm_of(p, u), 0);
}

static void project(const struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct attention_weights *w = u->weight;
    struct attention_acts *k = acts_of(p, u);
    c->ops->linear_forward(c->d.qk_norm ? k->raw : k->qkv, false, k->n1, w->wqkv.linear,
                           weight_of(c, &w->bqkv), p->rows->T);
}

static void rotate(const struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct attention_acts *k = acts_of(p, u);
    const struct dims *d = &c->d;
    int T = p->rows->T;
    if (d->qk_norm) qk_norm_forward(c, u->weight, k, T);
    c->ops->rope(k->qkv, T, dims_qkv(d), d->Hq + d->Hkv, d->D, p->rows->pos, c->cos_sin, false);
}

/* --- attention --- */

static void attend(const struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct attention_acts *k = acts_of(p, u);
    struct attention_scratch *s = u->scratch;
    c->ops->attention_forward(k->att, k->lse, k->qkv, p->rows->seg, &c->d, s->attention);
}

static void attend_cached(const struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct attention_acts *k = acts_of(p, u);
    struct attention_scratch *s = u->scratch;
    struct kv_layer *kv = &p->cache->layer[u->layer];
    int T = p->rows->T;
    c->ops->kv_store(kv, k->qkv, p->decode->kv, T, &c->d);
    c->ops->attention_cached(k->att, k->qkv, kv, p->decode->kv, T, &c->d, s->attention);
}

/* Training and decoding share everything but the attention itself, and both sum over keys in the
 * order of positions: hence equal bits (P1, P2). */
static void forward(struct pass *p, const struct unit *u)
{
    struct attention_scratch *s = u->scratch;
    const struct chunk *c = p->chunk;
    const struct attention_weights *w = u->weight;
    struct attention_acts *k = acts_of(p, u);
    project(p, u);
    rotate(p, u);
    if (p->decode)
        attend_cached(p, u);
    else
        attend(p, u);
    partial_forward(p, s->branch, k->att, w->wo.linear, weight_of(c, &w->bo));
}

static void forward_end(struct pass *p, const struct unit *u)
{
    struct attention_scratch *s = u->scratch;
    const struct chunk *c = p->chunk;
    const void *branch = partial_end(p, s->branch);
    size_t n = (size_t)rows_here(p).n * (size_t)c->d.C;
    c->ops->add(output_of(p, u), input_of(p, u), branch, n);
}

/* With a setting that computes attention again, forward does. The last product, whose result is in
 * the next part's input, is not needed. */
static void recompute(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    bool products = recompute_has(c->recompute, RECOMPUTE_PRODUCTS);
    if (products) project(p, u);
    if (products || c->d.qk_norm) rotate(p, u);
}

/* The gradient with respect to qkv ends in k->qkv: backward_weight, which may run much later, finds
 * it there. */
static void backward_input(struct pass *p, const struct unit *u)
{
    struct chunk *c = p->chunk;
    const struct ops *ops = c->ops;
    const struct dims *d = &c->d;
    const struct attention_weights *w = u->weight;
    struct attention_acts *k = acts_of(p, u);
    struct attention_scratch *s = u->scratch;
    int T = p->rows->T;
    ops->linear_backward_input(s->datt, false, whole_gradient(p, u), w->wo.linear, T);
    ops->attention_backward(s->dqkv, s->datt, k->qkv, k->att, k->lse, p->rows->seg, d,
                            s->attention);
    ops->rope(s->dqkv, T, dims_qkv(d), d->Hq + d->Hkv, d->D, p->rows->pos, c->cos_sin, true);
    projection_gradient(p, u);
    partial_backward(p, s->dnorm, k->qkv, w->wqkv.linear);
}

static void backward_input_end(struct pass *p, const struct unit *u)
{
    const struct attention_scratch *s = u->scratch;
    norm_backward(p, u, norm_of(p, u), partial_end(p, s->dnorm), output_gradient(p, u));
}

/* Needs only what backward_input left in the slot: the split of B and W that zero-bubble schedules
 * need. */
static void backward_weight(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    const struct attention_weights *w = u->weight;
    const struct attention_acts *k = acts_of(p, u);
    int T = p->rows->T;
    c->ops->linear_backward_weight(grad_of(p, &w->wo), grad_of(p, &w->bo), whole_gradient(p, u),
                                   k->att, d->C, d->Hq * d->D, T);
    c->ops->linear_backward_weight(grad_of(p, &w->wqkv), grad_of(p, &w->bqkv), k->qkv, k->n1,
                                   dims_qkv(d), d->C, T);
}

const struct part PART_ATTENTION = {
    .name = "attention",
    .params = PARAMS_OF(attention),
    .acts = ACTS_OF(attention_acts),
    .scratch = ACTS_OF(attention_scratch),
    .place = place_angles,
    .cache_bytes = cache_bytes,
    .flops_key = flops_key,
    .recompute = {normalise, recompute},
    .forward = {normalise, forward, forward_end},
    .backward_input = {whole_gradient_begin, backward_input, norm_await, backward_input_end},
    .backward_weight = {whole_gradient_again, backward_weight}};
