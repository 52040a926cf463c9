/* The FFN half of a layer: y = x2 + wdown . swiglu(wgu . norm2(x2) + bgu) + bdown. */
#include "model/block.h"

PARAM_TABLE(ffn, FFN_PARAMS)
WEIGHT_STRUCT(ffn_weights, FFN_PARAMS)
ACT_TABLE(ffn_acts, FFN_ACTS)
ACT_TABLE(ffn_scratch, FFN_SCRATCH)

static struct norm norm_of(const struct pass *p, const struct unit *u)
{
    const struct ffn_weights *w = u->weight;
    struct ffn_acts *k = acts_of(p, u);
    return (struct norm){&w->norm2, k->n2, k->rstd};
}

static void normalise(struct pass *p, const struct unit *u)
{
    norm_forward(p, u, norm_of(p, u), 0);
}

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
    size_t n = (size_t)rows_here(p).n * (size_t)c->d.C;
    c->ops->add(output_of(p, u), input_of(p, u), branch, n);
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
    ops->linear_backward_input(s->dh, false, whole_gradient(p, u), w->wdown.linear, T);
    ops->swiglu_backward(k->gu, s->dh, k->gu, T, c->d.F);
    partial_backward(p, s->dnorm, k->gu, w->wgu.linear);
}

static void backward_input_end(struct pass *p, const struct unit *u)
{
    const struct ffn_scratch *s = u->scratch;
    norm_backward(p, u, norm_of(p, u), partial_end(p, s->dnorm), output_gradient(p, u));
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
                                   whole_gradient(p, u), k->h, d->C, d->F, T);
    c->ops->linear_backward_weight(grad_of(p, &w->wgu), grad_of(p, &w->bgu), k->gu, k->n2, 2 * d->F,
                                   d->C, T);
}

const struct part PART_FFN = {
    .name = "ffn",
    .params = PARAMS_OF(ffn),
    .acts = ACTS_OF(ffn_acts),
    .scratch = ACTS_OF(ffn_scratch),
    .recompute = {normalise, recompute},
    .forward = {normalise, forward, forward_end},
    .backward_input = {whole_gradient_begin, backward_input, norm_await, backward_input_end},
    .backward_weight = {whole_gradient_again, backward_weight}};
