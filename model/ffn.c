/* The FFN half of a layer: y = x2 + wdown . swiglu(wgu . norm2(x2)). */
#include "model/block.h"

/* The output may lie over the layer's input: that is dead by now. */
static void forward(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct ops *ops = c->ops;
    const struct dims *d = &c->d;
    const struct layer *l = &c->layer[layer];
    struct acts *k = &slot_of(p)->layer[layer];
    int T = p->rows->T;
    ops->rmsnorm_forward(k->n2, k->rstd2, k->x2, weight_of(c, l->norm2), T, d->C, d->norm_eps);
    ops->linear_forward(k->gu, false, k->n2, &l->gu, NULL, T);
    ops->swiglu_forward(k->h, k->gu, T, d->F);
    partial_forward(p, c->scratch.branch, k->h, &l->down);
}

static void forward_end(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    partial_end(p, c->scratch.branch);
    c->ops->add(stream_at(p, layer + 1), slot_of(p)->layer[layer].x2, c->scratch.branch,
                (size_t)p->rows->T * (size_t)c->d.C);
}

static void backward_input(struct pass *p, int layer)
{
    struct chunk *c = p->chunk;
    const struct ops *ops = c->ops;
    const struct layer *l = &c->layer[layer];
    struct acts *k = &slot_of(p)->layer[layer];
    struct scratch *s = &c->scratch;
    int T = p->rows->T;
    ops->linear_backward_input(s->dh, false, gradient_at(p, layer + 1), &l->down, T);
    ops->swiglu_backward(k->gu, s->dh, k->gu, T, c->d.F);
    partial_backward(p, s->dnorm, k->gu, &l->gu);
}

static void backward_input_end(struct pass *p, int layer)
{
    struct chunk *c = p->chunk;
    const struct layer *l = &c->layer[layer];
    struct acts *k = &slot_of(p)->layer[layer];
    partial_end(p, c->scratch.dnorm);
    c->ops->rmsnorm_backward(middle_gradient_at(p, layer), grad_of(p, l->norm2), c->scratch.dnorm,
                             k->x2, weight_of(c, l->norm2), k->rstd2, gradient_at(p, layer + 1),
                             p->rows->T, c->d.C);
}

static void backward_weight(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    const struct layer *l = &c->layer[layer];
    const struct acts *k = &slot_of(p)->layer[layer];
    int T = p->rows->T;
    c->ops->linear_backward_weight(grad_of(p, l->wdown), NULL, gradient_at(p, layer + 1), k->h,
                                   d->C, d->F, T);
    c->ops->linear_backward_weight(grad_of(p, l->wgu), NULL, k->gu, k->n2, 2 * d->F, d->C, T);
}

const struct part PART_FFN = {{forward, forward_end},
                              {backward_input, backward_input_end},
                              backward_weight};
