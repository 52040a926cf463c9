/* The FFN half of a layer: y = x2 + wdown . swiglu(wgu . norm2(x2) + bgu) + bdown. */
#include "model/block.h"

PARAM_TABLE(ffn, FFN_PARAMS)
WEIGHT_STRUCT(ffn_weights, FFN_PARAMS)
ACT_TABLE(ffn_acts, FFN_ACTS)
ACT_TABLE(ffn_scratch, FFN_SCRATCH)

/* Up to the last product, whose result is in the next part's input: not needed again. In a backward
 * pass with gate and up as they were kept, or not. */
static void activate(const struct pass *p, const struct unit *u, bool products)
{
    const struct chunk *c = p->chunk;
    const struct ops *ops = c->ops;
    const struct dims *d = &c->d;
    const struct ffn_weights *w = u->weight;
    struct ffn_acts *k = acts_of(p, u);
    int T = p->rows->T;
    ops->rmsnorm_forward(k->n2, k->rstd, input_of(p, u), weight_of(c, &w->norm2), T, d->C,
                         d->norm_eps);
    if (products) ops->linear_forward(k->gu, false, k->n2, w->wgu.linear, weight_of(c, &w->bgu), T);
    ops->swiglu_forward(k->h, k->gu, T, d->F);
}

/* The output may lie over the layer's input: that is dead by now. */
static void forward(struct pass *p, const struct unit *u)
{
    struct ffn_scratch *s = u->scratch;
    const struct ffn_weights *w = u->weight;
    struct ffn_acts *k = acts_of(p, u);
    activate(p, u, true);
    partial_forward(p, s->branch, k->h, w->wdown.linear, weight_of(p->chunk, &w->bdown));
}

static void recompute(struct pass *p, const struct unit *u)
{
    activate(p, u, recompute_has(p->chunk->recompute, RECOMPUTE_PRODUCTS));
}

static void forward_end(struct pass *p, const struct unit *u)
{
    struct ffn_scratch *s = u->scratch;
    const struct chunk *c = p->chunk;
    const void *branch = partial_end(p, s->branch);
    c->ops->add(output_of(p, u), input_of(p, u), branch, (size_t)p->rows->T * (size_t)c->d.C);
}

/* k->gu is overwritten by its gradient, which backward_weight uses. */
static void backward_input(struct pass *p, const struct unit *u)
{
    struct chunk *c = p->chunk;
    const struct ops *ops = c->ops;
    const struct ffn_weights *w = u->weight;
    struct ffn_acts *k = acts_of(p, u);
    struct ffn_scratch *s = u->scratch;
    int T = p->rows->T;
    ops->linear_backward_input(s->dh, false, output_gradient(p, u), w->wdown.linear, T);
    ops->swiglu_backward(k->gu, s->dh, k->gu, T, c->d.F);
    partial_backward(p, s->dnorm, k->gu, w->wgu.linear);
}

static void backward_input_end(struct pass *p, const struct unit *u)
{
    struct ffn_scratch *s = u->scratch;
    struct chunk *c = p->chunk;
    const struct ffn_weights *w = u->weight;
    struct ffn_acts *k = acts_of(p, u);
    const void *dnorm = partial_end(p, s->dnorm);
    c->ops->rmsnorm_backward(input_gradient(p, u), grad_of(p, &w->norm2), dnorm, input_of(p, u),
                             weight_of(c, &w->norm2), k->rstd, output_gradient(p, u), p->rows->T,
                             c->d.C);
}

/* Uses the gradient that backward_input left in k->gu. */
static void backward_weight(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    const struct ffn_weights *w = u->weight;
    const struct ffn_acts *k = acts_of(p, u);
    int T = p->rows->T;
    c->ops->linear_backward_weight(grad_of(p, &w->wdown), grad_of(p, &w->bdown),
                                   output_gradient(p, u), k->h, d->C, d->F, T);
    c->ops->linear_backward_weight(grad_of(p, &w->wgu), grad_of(p, &w->bgu), k->gu, k->n2, 2 * d->F,
                                   d->C, T);
}

const struct part PART_FFN = {.name = "ffn",
                              .params = PARAMS_OF(ffn),
                              .acts = ACTS_OF(ffn_acts),
                              .scratch = ACTS_OF(ffn_scratch),
                              .recompute = {recompute},
                              .forward = {forward, forward_end},
                              .backward_input = {backward_input, backward_input_end},
                              .backward_weight = {backward_weight}};
