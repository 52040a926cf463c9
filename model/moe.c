/* The FFN half of a layer with experts: y = x2 + sum over a row's K experts of weight * wdown .
 * swiglu(wgu . n2), n2 = norm2(x2).
 *
 * The router's softmax over all experts gives the probabilities; the K most probable ones are taken
 * (of equals the lower number), and their probabilities, divided by their sum with route_norm, are
 * the weights: Mixtral (arXiv 2401.04088), Qwen3-MoE. Rows are brought into the order of their
 * experts, each expert runs over its own, no row is dropped and none is added, so an output row
 * depends on its own input alone (P1), here and in decoding. */
#include "model/router.h"

PARAM_TABLE(moe, MOE_PARAMS)
WEIGHT_STRUCT(moe_weights, MOE_PARAMS)
ACT_LIST(moe_acts, MOE_ACTS)
ACT_TABLE(moe_scratch, MOE_SCRATCH)

static void place_routing(struct chunk *c, struct arena *a)
{
    c->router = router_of(&c->d);
    size_t chosen = (size_t)c->span.count * (size_t)c->d.E;
    c->load.chosen = arena_take_n(a, chosen, sizeof *c->load.chosen);
    c->load.balance = arena_take(a, sizeof *c->load.balance);
    for (int k = 0; c->ep > 1 && k < (c->training ? 2 : 1); k++)
        dispatch_place(c, &c->buffers[k], a);
}

/* Outputs as home rows, or their gradients: on one rank they are the expert rows. */
static void *home_of(const struct moe_acts *k)
{
    return k->yh ? k->yh : k->ye;
}

/* Elements before held expert e's matrix in the stack of a tensor. */
static size_t stacked(const struct weight *w, int e)
{
    return w->param->n / (size_t)w->param->stacked * (size_t)e;
}

/* --- the experts at work, on expert rows --- */

/* One product per expert over its consecutive rows; rows of a token in different experts never meet
 * before combine. */
static void experts_forward(const struct chunk *c, const struct moe_weights *w, struct moe_acts *k)
{
    const struct dims *d = &c->d;
    const int *first = first_of(k), held = dims_held(d);
    for (int e = 0; e < held; e++)
        c->ops->linear_forward(rows_at(c, k->gu, first[e], 2 * d->Fe), false,
                               rows_at(c, k->xe, first[e], d->C), &w->experts_wgu.linear[e], NULL,
                               first[e + 1] - first[e]);
    c->ops->swiglu_forward(k->h, k->gu, first[held], d->Fe);
    for (int e = 0; e < held; e++)
        c->ops->linear_forward(rows_at(c, k->ye, first[e], d->C), false,
                               rows_at(c, k->h, first[e], d->Fe), &w->experts_wdown.linear[e], NULL,
                               first[e + 1] - first[e]);
}

/* From dye to dxe; dgu takes the place of gu. */
static void experts_backward_input(const struct chunk *c, const struct unit *u, struct moe_acts *k)
{
    const struct dims *d = &c->d;
    const struct moe_weights *w = u->weight;
    const struct moe_scratch *s = u->scratch;
    const int *first = first_of(k), held = dims_held(d);
    for (int e = 0; e < held; e++)
        c->ops->linear_backward_input(rows_at(c, s->dh, first[e], d->Fe), false,
                                      rows_at(c, k->ye, first[e], d->C),
                                      &w->experts_wdown.linear[e], first[e + 1] - first[e]);
    c->ops->swiglu_backward(k->gu, s->dh, k->gu, first[held], d->Fe);
    for (int e = 0; e < held; e++)
        c->ops->linear_backward_input(rows_at(c, s->dxe, first[e], d->C), false,
                                      rows_at(c, k->gu, first[e], 2 * d->Fe),
                                      &w->experts_wgu.linear[e], first[e + 1] - first[e]);
}

/* --- forward --- */

static void load_note(const struct pass *p, const struct unit *u)
{
    struct chunk *c = p->chunk;
    const struct moe_acts *k = acts_of(p, u);
    const struct moe_scratch *s = u->scratch;
    c->ops->router_load(c->load.chosen + (size_t)u->layer * (size_t)c->d.E, c->load.balance,
                        s->count, k->prob, k->expert, p->rows->seg, c->d.E, c->d.K);
}

/* The load of experts is counted in forward passes of training only. */
static void forward_route(struct pass *p, const struct unit *u)
{
    struct chunk *c = p->chunk;
    const struct moe_weights *w = u->weight;
    struct moe_acts *k = acts_of(p, u);
    int T = p->rows->T;
    c->ops->rmsnorm_forward(k->n2, k->rstd, input_of(p, u), weight_of(c, &w->norm2), T, c->d.C,
                            c->d.norm_eps);
    c->router->score(c, k, weight_of(c, &w->router), T);
    c->router->select(c, k, T);
    c->ops->router_sort(k->at, k->start, k->expert, T * c->d.K, c->d.E);
    if (p->kind == PASS_F) load_note(p, u);
    dispatch_counts(p, k);
}

static void forward_dispatch(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct moe_acts *k = acts_of(p, u);
    void *home = c->parallel.ep ? buffers_of(p)->home : k->xe;
    dispatch_counted(p, k);
    c->ops->scatter_rows(home, k->at, k->n2, p->rows->T, c->d.C, c->d.K);
    dispatch_out(p, k, home);
}

static void forward_experts(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct moe_acts *k = acts_of(p, u);
    dispatch_arrived(p, k, k->xe);
    experts_forward(c, u->weight, k);
    dispatch_back(p, k, home_of(k), k->ye);
}

/* The output may lie over the layer's input: that is dead by now. */
static void forward_combine(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct moe_acts *k = acts_of(p, u);
    c->ops->combine_forward(output_of(p, u), input_of(p, u), home_of(k), k->at, k->weight,
                            p->rows->T, c->d.C, c->d.K);
}

/* --- backward --- */

static void backward_dispatch(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct moe_acts *k = acts_of(p, u);
    const struct moe_scratch *s = u->scratch;
    void *yh = home_of(k);
    c->ops->combine_backward(yh, s->dweight, output_gradient(p, u), yh, k->at, k->weight,
                             p->rows->T, c->d.C, c->d.K);
    c->router->backward(p, k, s->dweight, s->count);
    dispatch_out(p, k, yh);
}

static void backward_experts(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct moe_acts *k = acts_of(p, u);
    const struct moe_scratch *s = u->scratch;
    dispatch_arrived(p, k, k->ye);
    experts_backward_input(c, u, k);
    dispatch_back(p, k, buffers_of(p)->home, s->dxe);
}

/* The router's gradient joins the experts' here, before the norm's backward. */
static void backward_combine(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    const struct moe_weights *w = u->weight;
    struct moe_acts *k = acts_of(p, u);
    const struct moe_scratch *s = u->scratch;
    const void *drows = c->parallel.ep ? buffers_of(p)->home : s->dxe;
    int T = p->rows->T;
    c->ops->router_backward_input(s->dnorm, drows, k->at, k->prob, weight_of(c, &w->router), T,
                                  d->C, d->E, d->K);
    c->ops->rmsnorm_backward(input_gradient(p, u), grad_of(p, &w->norm2), s->dnorm, input_of(p, u),
                             weight_of(c, &w->norm2), k->rstd, output_gradient(p, u), T, d->C);
}

/* Experts without rows have products of zero rows, which leave their gradients as they are. */
static void backward_weight(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    const struct moe_weights *w = u->weight;
    struct moe_acts *k = acts_of(p, u);
    const int *first = first_of(k);
    for (int e = 0; e < dims_held(d); e++) {
        int n = first[e + 1] - first[e];
        c->ops->linear_backward_weight(
            grad_of(p, &w->experts_wdown) + stacked(&w->experts_wdown, e), NULL,
            rows_at(c, k->ye, first[e], d->C), rows_at(c, k->h, first[e], d->Fe), d->C, d->Fe, n);
        c->ops->linear_backward_weight(grad_of(p, &w->experts_wgu) + stacked(&w->experts_wgu, e),
                                       NULL, rows_at(c, k->gu, first[e], 2 * d->Fe),
                                       rows_at(c, k->xe, first[e], d->C), 2 * d->Fe, d->C, n);
    }
    c->ops->router_backward_weight(grad_of(p, &w->router), k->prob, k->n2, p->rows->T, d->C, d->E);
}

const struct part PART_MOE = {
    .name = "experts",
    .params = PARAMS_OF(moe),
    .acts = ACTS_OF(moe_acts),
    .scratch = ACTS_OF(moe_scratch),
    .place = place_routing,
    .forward = {forward_route, forward_dispatch, forward_experts, forward_combine},
    .backward_input = {backward_dispatch, backward_experts, backward_combine},
    .backward_weight = backward_weight};
