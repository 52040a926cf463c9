/* The attention half of a layer: x2 = x + wo . attention(rope(qk_norm(wqkv . norm1(x) + bqkv))). */
#include <string.h>

#include <math.h>

#include "model/block.h"

PARAM_TABLE(attention, ATTENTION_PARAMS)
WEIGHT_STRUCT(attention_weights, ATTENTION_PARAMS)
ACT_TABLE(attention_acts, ATTENTION_ACTS)
ACT_TABLE(attention_scratch, ATTENTION_SCRATCH)

/* Angle i of position p is p * theta^(-2i/D) (RoFormer, arXiv 2104.09864, eq. 15); cosines of D/2 angles,
 * then sines. In double, because a float of the angle is off by 1e-4 at position 2000. */
static void place(struct chunk *c, struct arena *a)
{
    int D = c->d.D, half = D / 2;
    c->cos_sin = arena_take_n(a, (size_t)c->d.max_context, (size_t)D * sizeof(float));
    if (!c->cos_sin) return;
    for (int i = 0; i < half; i++) {
        double frequency = pow((double)c->d.rope_theta, -2.0 * i / D);
        for (int pos = 0; pos < c->d.max_context; pos++) {
            float *row = c->cos_sin + (size_t)pos * (size_t)D;
            row[i] = (float)cos(pos * frequency);
            row[half + i] = (float)sin(pos * frequency);
        }
    }
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

/* Where head `head` of row t begins in a (T, Nqkv) buffer. */
static void *head_at(const struct chunk *c, void *qkv, int t, int head)
{
    size_t element = (size_t)t * (size_t)dims_qkv(&c->d) + (size_t)head * (size_t)c->d.D;
    return (unsigned char *)qkv + element * c->ops->real_bytes;
}

static void values_copy(const struct chunk *c, void *to, void *from, int T)
{
    int values = c->d.Hq + c->d.Hkv;
    size_t bytes = (size_t)(c->d.Hkv * c->d.D) * c->ops->real_bytes;
    for (int t = 0; t < T; t++)
        memcpy(head_at(c, to, t, values), head_at(c, from, t, values), bytes);
}

/* Qwen3: queries and keys of each head normalised over D, each kind with its own gain; values pass through. */
static void qk_norm_forward(const struct chunk *c, const struct attention_weights *w,
                            struct attention_acts *k, int T)
{
    const struct dims *d = &c->d;
    const void *q_gain = weight_of(c, &w->q_norm), *k_gain = weight_of(c, &w->k_norm);
    for (int t = 0; t < T; t++) {
        float *rstd = k->rstd_qk + (size_t)t * (size_t)(d->Hq + d->Hkv);
        c->ops->rmsnorm_forward(head_at(c, k->qkv, t, 0), rstd, head_at(c, k->raw, t, 0), q_gain,
                                d->Hq, d->D, d->norm_eps);
        c->ops->rmsnorm_forward(head_at(c, k->qkv, t, d->Hq), rstd + d->Hq,
                                head_at(c, k->raw, t, d->Hq), k_gain, d->Hkv, d->D, d->norm_eps);
    }
    values_copy(c, k->qkv, k->raw, T);
}

/* From the gradient in scratch.dqkv to that of the projection, over k->qkv: W wants it. */
static void projection_gradient(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct attention_weights *w = u->weight;
    struct attention_acts *k = acts_of(p, u);
    struct attention_scratch *s = u->scratch;
    const struct dims *d = &c->d;
    void *dy = s->dqkv;
    if (!d->qk_norm) {
        memcpy(k->qkv, dy, (size_t)p->rows->T * (size_t)dims_qkv(d) * c->ops->real_bytes);
        return;
    }
    for (int t = 0; t < p->rows->T; t++) {
        const float *rstd = k->rstd_qk + (size_t)t * (size_t)(d->Hq + d->Hkv);
        c->ops->rmsnorm_backward(head_at(c, k->qkv, t, 0), grad_of(p, &w->q_norm),
                                 head_at(c, dy, t, 0), head_at(c, k->raw, t, 0),
                                 weight_of(c, &w->q_norm), rstd, NULL, d->Hq, d->D);
        c->ops->rmsnorm_backward(head_at(c, k->qkv, t, d->Hq), grad_of(p, &w->k_norm),
                                 head_at(c, dy, t, d->Hq), head_at(c, k->raw, t, d->Hq),
                                 weight_of(c, &w->k_norm), rstd + d->Hq, NULL, d->Hkv, d->D);
    }
    values_copy(c, k->qkv, dy, p->rows->T);
}

/* Up to rotated queries and keys. */
static void project(const struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct attention_weights *w = u->weight;
    struct attention_acts *k = acts_of(p, u);
    const struct dims *d = &c->d;
    int T = p->rows->T;
    c->ops->rmsnorm_forward(k->n1, k->rstd, input_of(p, u), weight_of(c, &w->norm1), T, d->C,
                            d->norm_eps);
    c->ops->linear_forward(d->qk_norm ? k->raw : k->qkv, false, k->n1, w->wqkv.linear,
                           weight_of(c, &w->bqkv), T);
    if (d->qk_norm) qk_norm_forward(c, w, k, T);
    c->ops->rope(k->qkv, T, dims_qkv(d), d->Hq + d->Hkv, d->D, p->rows->pos, c->cos_sin, false);
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

static void forward(struct pass *p, const struct unit *u)
{
    struct attention_scratch *s = u->scratch;
    const struct chunk *c = p->chunk;
    const struct attention_weights *w = u->weight;
    struct attention_acts *k = acts_of(p, u);
    project(p, u);
    if (p->decode)
        attend_cached(p, u);
    else
        c->ops->attention_forward(k->att, k->lse, k->qkv, p->rows->seg, &c->d, s->attention);
    partial_forward(p, s->branch, k->att, w->wo.linear);
}

static void forward_end(struct pass *p, const struct unit *u)
{
    struct attention_scratch *s = u->scratch;
    const struct chunk *c = p->chunk;
    partial_end(p, s->branch);
    c->ops->add(output_of(p, u), input_of(p, u), s->branch, (size_t)p->rows->T * (size_t)c->d.C);
}

static void backward_input(struct pass *p, const struct unit *u)
{
    struct chunk *c = p->chunk;
    const struct ops *ops = c->ops;
    const struct dims *d = &c->d;
    const struct attention_weights *w = u->weight;
    struct attention_acts *k = acts_of(p, u);
    struct attention_scratch *s = u->scratch;
    int T = p->rows->T;
    ops->linear_backward_input(s->datt, false, output_gradient(p, u), w->wo.linear, T);
    ops->attention_backward(s->dqkv, s->datt, k->qkv, k->att, k->lse, p->rows->seg, d,
                            s->attention);
    ops->rope(s->dqkv, T, dims_qkv(d), d->Hq + d->Hkv, d->D, p->rows->pos, c->cos_sin, true);
    projection_gradient(p, u);
    partial_backward(p, s->dnorm, k->qkv, w->wqkv.linear);
}

static void backward_input_end(struct pass *p, const struct unit *u)
{
    struct attention_scratch *s = u->scratch;
    struct chunk *c = p->chunk;
    const struct attention_weights *w = u->weight;
    struct attention_acts *k = acts_of(p, u);
    partial_end(p, s->dnorm);
    c->ops->rmsnorm_backward(input_gradient(p, u), grad_of(p, &w->norm1), s->dnorm, input_of(p, u),
                             weight_of(c, &w->norm1), k->rstd, output_gradient(p, u), p->rows->T,
                             c->d.C);
}

static void backward_weight(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    const struct attention_weights *w = u->weight;
    const struct attention_acts *k = acts_of(p, u);
    int T = p->rows->T;
    c->ops->linear_backward_weight(grad_of(p, &w->wo), NULL, output_gradient(p, u), k->att, d->C,
                                   d->Hq * d->D, T);
    c->ops->linear_backward_weight(grad_of(p, &w->wqkv), grad_of(p, &w->bqkv), k->qkv, k->n1,
                                   dims_qkv(d), d->C, T);
}

const struct part PART_ATTENTION = {.name = "attention",
                                    .params = PARAMS_OF(attention),
                                    .acts = ACTS_OF(attention_acts),
                                    .scratch = ACTS_OF(attention_scratch),
                                    .place = place,
                                    .cache_bytes = cache_bytes,
                                    .flops_key = flops_key,
                                    .forward = {forward, forward_end},
                                    .backward_input = {backward_input, backward_input_end},
                                    .backward_weight = backward_weight};
