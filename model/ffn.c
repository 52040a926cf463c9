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
    ops->linear_forward(c->scratch.branch, false, k->h, &l->down, NULL, T);
    ops->add(stream_at(p, layer + 1), k->x2, c->scratch.branch, (size_t)T * (size_t)d->C);
}

static void backward_input(struct pass *p, int layer)
{
    struct chunk *c = p->chunk;
    const struct ops *ops = c->ops;
    const struct layer *l = &c->layer[layer];
    struct acts *k = &slot_of(p)->layer[layer];
    struct scratch *s = &c->scratch;
    const void *dy = gradient_at(p, layer + 1);
    int T = p->rows->T;
    ops->linear_backward_input(s->dh, dy, &l->down, T);
    ops->swiglu_backward(s->dgu, s->dh, k->gu, T, c->d.F);
    buffers_exchange(&s->dgu, &k->gu);
    ops->linear_backward_input(s->dnorm, k->gu, &l->gu, T);
    ops->rmsnorm_backward(middle_gradient_at(p, layer), grad_of(p, l->norm2), s->dnorm, k->x2,
                          weight_of(c, l->norm2), k->rstd2, dy, T, c->d.C);
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

const struct part PART_FFN = {{forward}, {backward_input}, backward_weight};
