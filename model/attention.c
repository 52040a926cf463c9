/* The attention half of a layer: x2 = x + wo . attention(rope(qk_norm(wqkv . norm1(x) + bqkv))). */
#include <string.h>

#include "model/block.h"

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
static void qk_norm_forward(const struct chunk *c, const struct layer *l, struct acts *k, int T)
{
    const struct dims *d = &c->d;
    const void *q_gain = weight_of(c, l->q_norm), *k_gain = weight_of(c, l->k_norm);
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
static void projection_gradient(struct pass *p, const struct layer *l, struct acts *k)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    void *dy = c->scratch.dqkv;
    if (!d->qk_norm) {
        memcpy(k->qkv, dy, (size_t)p->rows->T * (size_t)dims_qkv(d) * c->ops->real_bytes);
        return;
    }
    for (int t = 0; t < p->rows->T; t++) {
        const float *rstd = k->rstd_qk + (size_t)t * (size_t)(d->Hq + d->Hkv);
        c->ops->rmsnorm_backward(head_at(c, k->qkv, t, 0), grad_of(p, l->q_norm),
                                 head_at(c, dy, t, 0), head_at(c, k->raw, t, 0),
                                 weight_of(c, l->q_norm), rstd, NULL, d->Hq, d->D);
        c->ops->rmsnorm_backward(head_at(c, k->qkv, t, d->Hq), grad_of(p, l->k_norm),
                                 head_at(c, dy, t, d->Hq), head_at(c, k->raw, t, d->Hq),
                                 weight_of(c, l->k_norm), rstd + d->Hq, NULL, d->Hkv, d->D);
    }
    values_copy(c, k->qkv, dy, p->rows->T);
}

/* Up to rotated queries and keys. */
static void project(const struct pass *p, const struct layer *l, struct acts *k)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    int T = p->rows->T;
    c->ops->rmsnorm_forward(k->n1, k->rstd1, k->x, weight_of(c, l->norm1), T, d->C, d->norm_eps);
    c->ops->linear_forward(d->qk_norm ? k->raw : k->qkv, false, k->n1, &l->qkv,
                           weight_of(c, l->bqkv), T);
    if (d->qk_norm) qk_norm_forward(c, l, k, T);
    c->ops->rope(k->qkv, T, dims_qkv(d), d->Hq + d->Hkv, d->D, p->rows->pos, c->cos_sin, false);
}

static void attend_cached(const struct pass *p, int layer, struct acts *k)
{
    const struct chunk *c = p->chunk;
    struct kv_layer *kv = &p->cache->layer[layer];
    int T = p->rows->T;
    c->ops->kv_store(kv, k->qkv, p->decode->kv, T, &c->d);
    c->ops->attention_cached(k->att, k->qkv, kv, p->decode->kv, T, &c->d, c->scratch.attention);
}

static void forward(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct layer *l = &c->layer[layer];
    struct acts *k = &slot_of(p)->layer[layer];
    project(p, l, k);
    if (p->decode)
        attend_cached(p, layer, k);
    else
        c->ops->attention_forward(k->att, k->lse, k->qkv, p->rows->seg, &c->d,
                                  c->scratch.attention);
    partial_forward(p, c->scratch.branch, k->att, &l->o);
}

static void forward_end(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    struct acts *k = &slot_of(p)->layer[layer];
    partial_end(p, c->scratch.branch);
    c->ops->add(k->x2, k->x, c->scratch.branch, (size_t)p->rows->T * (size_t)c->d.C);
}

static void backward_input(struct pass *p, int layer)
{
    struct chunk *c = p->chunk;
    const struct ops *ops = c->ops;
    const struct dims *d = &c->d;
    const struct layer *l = &c->layer[layer];
    struct acts *k = &slot_of(p)->layer[layer];
    struct scratch *s = &c->scratch;
    int T = p->rows->T;
    ops->linear_backward_input(s->datt, false, middle_gradient_at(p, layer), &l->o, T);
    ops->attention_backward(s->dqkv, s->datt, k->qkv, k->att, k->lse, p->rows->seg, d,
                            s->attention);
    ops->rope(s->dqkv, T, dims_qkv(d), d->Hq + d->Hkv, d->D, p->rows->pos, c->cos_sin, true);
    projection_gradient(p, l, k);
    partial_backward(p, s->dnorm, k->qkv, &l->qkv);
}

static void backward_input_end(struct pass *p, int layer)
{
    struct chunk *c = p->chunk;
    const struct layer *l = &c->layer[layer];
    struct acts *k = &slot_of(p)->layer[layer];
    partial_end(p, c->scratch.dnorm);
    c->ops->rmsnorm_backward(gradient_at(p, layer), grad_of(p, l->norm1), c->scratch.dnorm, k->x,
                             weight_of(c, l->norm1), k->rstd1, middle_gradient_at(p, layer),
                             p->rows->T, c->d.C);
}

static void backward_weight(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    const struct layer *l = &c->layer[layer];
    const struct acts *k = &slot_of(p)->layer[layer];
    int T = p->rows->T;
    c->ops->linear_backward_weight(grad_of(p, l->wo), NULL, middle_gradient_at(p, layer), k->att,
                                   d->C, d->Hq * d->D, T);
    c->ops->linear_backward_weight(grad_of(p, l->wqkv), grad_of(p, l->bqkv), k->qkv, k->n1,
                                   dims_qkv(d), d->C, T);
}

const struct part PART_ATTENTION = {{forward, forward_end},
                                    {backward_input, backward_input_end},
                                    backward_weight};
