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

/* Where the rows of a round lie. */
struct work {
    void *x, *gu, *h, *y; /* the lines xe, gu, h, ye of MOE_ACTS */
    void *dh, *dx;
    const int *first; /* (held + 1) */
};

/* Those of the first round stay in the slot. Where a slot keeps them, further rounds work in
 * scratch, and an expert's input gives way to its output, or the gradient of that. */
static struct work work_of(struct pass *p, const struct unit *u)
{
    const struct moe_acts *k = acts_of(p, u);
    const struct moe_scratch *s = u->scratch;
    bool keeps = p->chunk->training && p->slot < p->chunk->slots;
    struct work w = {k->xe, k->gu, k->h, k->ye, s->dh, s->dxe, dispatch_bounds(p, k)};
    if (keeps && p->round > 0) w.x = w.y = s->xe, w.gu = s->gu, w.h = s->h;
    return w;
}

static int rows_of_expert(const struct work *r, int e)
{
    return r->first[e + 1] - r->first[e];
}

/* One product per expert over its consecutive rows; rows of a token in different experts never meet
 * before combine. */
static void gate_and_up(const struct chunk *c, const struct moe_weights *w, const struct work *r)
{
    const struct dims *d = &c->d;
    for (int e = 0; e < dims_held(d); e++)
        c->ops->linear_forward(rows_at(c, r->gu, r->first[e], 2 * d->Fe), false,
                               rows_at(c, r->x, r->first[e], d->C), &w->experts_wgu.linear[e], NULL,
                               rows_of_expert(r, e));
}

static void activate(const struct chunk *c, const struct work *r)
{
    c->ops->swiglu_forward(r->h, r->gu, r->first[dims_held(&c->d)], c->d.Fe);
}

static void down(const struct chunk *c, const struct moe_weights *w, const struct work *r)
{
    const struct dims *d = &c->d;
    for (int e = 0; e < dims_held(d); e++)
        c->ops->linear_forward(rows_at(c, r->y, r->first[e], d->C), false,
                               rows_at(c, r->h, r->first[e], d->Fe), &w->experts_wdown.linear[e],
                               NULL, rows_of_expert(r, e));
}

/* From dy, in the place of y; dgu takes the place of gu. */
static void gate_and_up_gradient(const struct chunk *c, const struct moe_weights *w,
                                 const struct work *r)
{
    const struct dims *d = &c->d;
    int held = dims_held(d);
    for (int e = 0; e < held; e++)
        c->ops->linear_backward_input(rows_at(c, r->dh, r->first[e], d->Fe), false,
                                      rows_at(c, r->y, r->first[e], d->C),
                                      &w->experts_wdown.linear[e], rows_of_expert(r, e));
    c->ops->swiglu_backward(r->gu, r->dh, r->gu, r->first[held], d->Fe);
}

static void experts_backward_input(const struct chunk *c, const struct moe_weights *w,
                                   const struct work *r)
{
    const struct dims *d = &c->d;
    gate_and_up_gradient(c, w, r);
    for (int e = 0; e < dims_held(d); e++)
        c->ops->linear_backward_input(rows_at(c, r->dx, r->first[e], d->C), false,
                                      rows_at(c, r->gu, r->first[e], 2 * d->Fe),
                                      &w->experts_wgu.linear[e], rows_of_expert(r, e));
}

/* Experts without rows have products of zero rows, which leave their gradients as they are. */
static void experts_backward_weight(struct pass *p, const struct moe_weights *w,
                                    const struct work *r)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    for (int e = 0; e < dims_held(d); e++) {
        int n = rows_of_expert(r, e);
        c->ops->linear_backward_weight(grad_of(p, &w->experts_wdown) +
                                           stacked(&w->experts_wdown, e),
                                       NULL, rows_at(c, r->y, r->first[e], d->C),
                                       rows_at(c, r->h, r->first[e], d->Fe), d->C, d->Fe, n);
        c->ops->linear_backward_weight(grad_of(p, &w->experts_wgu) + stacked(&w->experts_wgu, e),
                                       NULL, rows_at(c, r->gu, r->first[e], 2 * d->Fe),
                                       rows_at(c, r->x, r->first[e], d->C), 2 * d->Fe, d->C, n);
    }
}

/* --- rounds --- */

/* All but the sub-steps before the first of a round are run again for the next one: p->sub steps
 * back over `steps` of them. The same on all ranks that share the experts. */
static bool next_round(struct pass *p, const struct moe_acts *k, int steps)
{
    if (!p->chunk->parallel.ep || ++p->round == *k->rounds) {
        p->round = 0;
        return false;
    }
    p->sub -= steps;
    return true;
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

static struct norm norm_of(const struct pass *p, const struct unit *u)
{
    const struct moe_weights *w = u->weight;
    struct moe_acts *k = acts_of(p, u);
    return (struct norm){&w->norm2, k->n2, k->rstd};
}

static void normalise(struct pass *p, const struct unit *u)
{
    norm_forward(p, u, norm_of(p, u), 0);
}

/* The load of experts is counted in forward passes of training only. */
static void forward_route(struct pass *p, const struct unit *u)
{
    struct chunk *c = p->chunk;
    const struct moe_weights *w = u->weight;
    struct moe_acts *k = acts_of(p, u);
    int T = p->rows->T;
    c->router->score(c, k, weight_of(c, &w->router), T);
    c->router->select(c, k, T);
    c->ops->router_sort(k->at, k->start, k->expert, T * c->d.K, c->d.E);
    if (p->kind == PASS_F) load_note(p, u);
    dispatch_counts(p, k);
}

static void scatter(struct pass *p, const struct moe_acts *k)
{
    const struct chunk *c = p->chunk;
    c->ops->scatter_rows(c->parallel.ep ? buffers_of(p)->home : k->xe, k->at, k->n2, p->rows->T,
                         c->d.C, c->d.K);
}

static void forward_counted(struct pass *p, const struct unit *u)
{
    struct moe_acts *k = acts_of(p, u);
    dispatch_counted(p, k);
    scatter(p, k);
}

static void forward_dispatch(struct pass *p, const struct unit *u)
{
    dispatch_out(p, acts_of(p, u), buffers_of(p)->home);
}

static void forward_experts(struct pass *p, const struct unit *u)
{
    struct moe_acts *k = acts_of(p, u);
    struct work r = work_of(p, u);
    dispatch_arrived(p, k, r.x);
    gate_and_up(p->chunk, u->weight, &r);
    activate(p->chunk, &r);
    down(p->chunk, u->weight, &r);
    dispatch_back(p, k, home_of(k), r.y);
}

/* The output may lie over the layer's input: that is dead by now. */
static void forward_combine(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct moe_acts *k = acts_of(p, u);
    struct share r = rows_here(p);
    int first = r.first * c->d.K;
    if (next_round(p, k, 3)) return;
    c->ops->combine_forward(output_of(p, u), input_of(p, u), home_of(k), k->at + first,
                            k->weight + first, r.n, c->d.C, c->d.K);
}

/* --- what is computed again --- */

static bool products_again(const struct pass *p)
{
    return recompute_has(p->chunk->recompute, RECOMPUTE_PRODUCTS);
}

static bool outputs_again(const struct pass *p)
{
    return recompute_has(p->chunk->recompute, RECOMPUTE_FULL);
}

/* With ep rows go to the experts once more: those of the first round, or, where outputs are needed,
 * of all. */
static void recompute_begin(struct pass *p, const struct unit *u)
{
    if (!p->chunk->parallel.ep || products_again(p)) scatter(p, acts_of(p, u));
}

static void recompute_dispatch(struct pass *p, const struct unit *u)
{
    if (products_again(p)) dispatch_out(p, acts_of(p, u), buffers_of(p)->home);
}

/* As far as the setting asks: the activation always, the products before it and behind it or not.
 */
static void recompute_experts(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct moe_weights *w = u->weight;
    struct moe_acts *k = acts_of(p, u);
    struct work r = work_of(p, u);
    if (products_again(p)) {
        dispatch_arrived(p, k, r.x);
        gate_and_up(c, w, &r);
    }
    activate(c, &r);
    if (!outputs_again(p)) return;
    down(c, w, &r);
    dispatch_back(p, k, home_of(k), r.y);
}

static void recompute_next(struct pass *p, const struct unit *u)
{
    if (outputs_again(p)) next_round(p, acts_of(p, u), 3);
}

/* --- backward --- */

/* For further rounds backward, what went to the experts lies in the home rows that gradients come
 * back to: those of a round go out before these come. */
static void scatter_again(struct pass *p, const struct moe_acts *k)
{
    if (p->chunk->parallel.ep && *k->rounds > 1) scatter(p, k);
}

static void backward_begin(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct moe_acts *k = acts_of(p, u);
    const struct moe_scratch *s = u->scratch;
    void *yh = home_of(k);
    c->ops->combine_backward(yh, s->dweight, whole_gradient(p, u), yh, k->at, k->weight, p->rows->T,
                             c->d.C, c->d.K);
    c->router->backward(p, k, s->dweight, s->count);
    scatter_again(p, k);
}

/* In backward-input and backward-weight alike: rows that were not kept come once more. */
static void dispatch_again(struct pass *p, const struct unit *u)
{
    if (p->round > 0) dispatch_out_again(p, acts_of(p, u), buffers_of(p)->home);
}

static void backward_dispatch(struct pass *p, const struct unit *u)
{
    const struct moe_acts *k = acts_of(p, u);
    dispatch_out(p, k, home_of(k));
}

static void backward_experts(struct pass *p, const struct unit *u)
{
    struct moe_acts *k = acts_of(p, u);
    struct work r = work_of(p, u);
    if (p->round > 0) {
        dispatch_arrived_again(p, k, r.x);
        gate_and_up(p->chunk, u->weight, &r);
    }
    dispatch_arrived(p, k, r.y);
    experts_backward_input(p->chunk, u->weight, &r);
    dispatch_back(p, k, buffers_of(p)->home, r.dx);
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
    struct share r = rows_here(p);
    if (next_round(p, k, 4)) return;
    c->ops->router_backward_input(s->dnorm, drows, k->at + r.first * d->K, k->prob + r.first * d->E,
                                  weight_of(c, &w->router), r.n, d->C, d->E, d->K);
}

static void backward_input_end(struct pass *p, const struct unit *u)
{
    const struct moe_scratch *s = u->scratch;
    norm_backward(p, u, norm_of(p, u), s->dnorm, output_gradient(p, u));
}

/* What the first round left in the slot. */
static void weight_kept(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct moe_weights *w = u->weight;
    struct moe_acts *k = acts_of(p, u);
    struct work r = work_of(p, u);
    experts_backward_weight(p, w, &r);
    c->ops->router_backward_weight(grad_of(p, &w->router), k->prob, k->n2, p->rows->T, c->d.C,
                                   c->d.E);
    scatter_again(p, k);
}

static void weight_next(struct pass *p, const struct unit *u)
{
    next_round(p, acts_of(p, u), 0);
}

static void weight_dispatch(struct pass *p, const struct unit *u)
{
    if (p->round > 0) backward_dispatch(p, u);
}

/* In a further round all is computed again that the slot has of the first. The gradient that comes
 * has the place of dxe, which nothing else needs here. */
static void weight_again(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct moe_weights *w = u->weight;
    const struct moe_acts *k = acts_of(p, u);
    if (p->round == 0) return;
    struct work r = work_of(p, u);
    r.y = r.dx;
    dispatch_arrived_again(p, k, r.x);
    dispatch_arrived(p, k, r.y);
    gate_and_up(c, w, &r);
    activate(c, &r);
    gate_and_up_gradient(c, w, &r);
    experts_backward_weight(p, w, &r);
    p->sub -= 4; /* on to weight_next */
}

const struct part PART_MOE = {
    .name = "experts",
    .params = PARAMS_OF(moe),
    .acts = ACTS_OF(moe_acts),
    .scratch = ACTS_OF(moe_scratch),
    .place = place_routing,
    .recompute = {normalise, recompute_begin, recompute_dispatch, recompute_experts,
                  recompute_next},
    .forward = {normalise, forward_route, forward_counted, forward_dispatch, forward_experts,
                forward_combine},
    .backward_input = {whole_gradient_begin, backward_begin, dispatch_again, backward_dispatch,
                       backward_experts, backward_combine, norm_await, backward_input_end},
    .backward_weight = {weight_kept, weight_next, dispatch_again, weight_dispatch, weight_again}};
