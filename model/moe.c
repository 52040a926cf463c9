/* The FFN half of a layer with experts: y = x2 + sum over a row's K experts of weight * wdown . swiglu(wgu . n2), n2 = norm2(x2).
 *
 * The router's softmax over all experts gives the probabilities; the K most probable ones are taken (of equals the lower
 * number), and their probabilities, divided by their sum with route_norm, are the weights: Mixtral (arXiv 2401.04088), Qwen3-MoE.
 * Rows are brought into the order of their experts, each expert runs over its own, no row is dropped and none is added, so an
 * output row depends on its own input alone (P1), here and in decoding. */
#include <string.h>

#include "model/block.h"

/* --- weights --- */

void moe_place(struct chunk *c, int layer, struct arena *a)
{
    const struct dims *d = &c->d;
    for (int e = 0; e < dims_held(d); e++) {
        struct expert *x = &c->layer[layer].expert[e];
        c->ops->linear_place(&x->gu, 2 * d->Fe, d->C, c->training, a);
        c->ops->linear_place(&x->down, d->C, d->Fe, c->training, a);
    }
}

/* Elements before held expert e's matrix in the stack of tensor t. */
static size_t stacked(const struct chunk *c, const struct param *t, int e)
{
    return t->n / (size_t)dims_held(&c->d) * (size_t)e;
}

static const void *expert_weight(const struct chunk *c, const struct param *t, int e)
{
    return (const unsigned char *)weight_of(c, t) + stacked(c, t, e) * c->ops->real_bytes;
}

void moe_pack(struct chunk *c, int layer)
{
    const struct layer *l = &c->layer[layer];
    for (int e = 0; e < dims_held(&c->d); e++) {
        c->ops->linear_pack(&l->expert[e].gu, expert_weight(c, l->experts_wgu, e));
        c->ops->linear_pack(&l->expert[e].down, expert_weight(c, l->experts_wdown, e));
    }
}

/* --- who goes where --- */

static bool among(const int *list, int n, int x)
{
    for (int i = 0; i < n; i++)
        if (list[i] == x) return true;
    return false;
}

static void row_choose(float *weight, int *expert, const float *prob, const struct dims *d)
{
    float sum = 0;
    for (int j = 0; j < d->K; j++) {
        int best = -1;
        for (int e = 0; e < d->E; e++)
            if (!among(expert, j, e) && (best < 0 || prob[e] > prob[best])) best = e;
        expert[j] = best;
        weight[j] = prob[best];
        sum += prob[best];
    }
    for (int j = 0; d->route_norm && j < d->K; j++) weight[j] /= sum;
}

/* A counting sort: choices by expert, those of one expert by their row. */
static void choices_sort(struct routing *r, const struct dims *d, int T)
{
    int n = T * d->K;
    memset(r->start, 0, (size_t)(d->E + 1) * sizeof *r->start);
    for (int i = 0; i < n; i++) r->start[r->expert[i] + 1]++;
    for (int e = 0; e < d->E; e++) r->start[e + 1] += r->start[e];
    for (int i = 0; i < n; i++) r->at[i] = r->start[r->expert[i]]++;
    memmove(r->start + 1, r->start, (size_t)d->E * sizeof *r->start);
    r->start[0] = 0;
}

static void route(const struct chunk *c, const struct layer *l, struct acts *k, int T)
{
    const struct dims *d = &c->d;
    struct routing *r = &k->route;
    c->ops->router_forward(r->prob, k->n2, weight_of(c, l->router), T, d->C, d->E);
    for (int t = 0; t < T; t++)
        row_choose(r->weight + t * d->K, r->expert + t * d->K, r->prob + (size_t)t * (size_t)d->E,
                   d);
    choices_sort(r, d, T);
}

/* --- the experts at work, on expert rows --- */

static void experts_forward(const struct chunk *c, const struct layer *l, struct acts *k)
{
    const struct dims *d = &c->d;
    const int *first = k->route.first, held = dims_held(d);
    for (int e = 0; e < held; e++)
        c->ops->linear_forward(rows_at(c, k->gu, first[e], 2 * d->Fe), false,
                               rows_at(c, k->xe, first[e], d->C), &l->expert[e].gu, NULL,
                               first[e + 1] - first[e]);
    c->ops->swiglu_forward(k->h, k->gu, first[held], d->Fe);
    for (int e = 0; e < held; e++)
        c->ops->linear_forward(rows_at(c, k->ye, first[e], d->C), false,
                               rows_at(c, k->h, first[e], d->Fe), &l->expert[e].down, NULL,
                               first[e + 1] - first[e]);
}

/* From dye to dxe; dgu takes the place of gu. */
static void experts_backward_input(const struct chunk *c, const struct layer *l, struct acts *k)
{
    const struct dims *d = &c->d;
    const struct scratch *s = &c->scratch;
    const int *first = k->route.first, held = dims_held(d);
    for (int e = 0; e < held; e++)
        c->ops->linear_backward_input(rows_at(c, s->dh, first[e], d->Fe), false,
                                      rows_at(c, k->ye, first[e], d->C), &l->expert[e].down,
                                      first[e + 1] - first[e]);
    c->ops->swiglu_backward(k->gu, s->dh, k->gu, first[held], d->Fe);
    for (int e = 0; e < held; e++)
        c->ops->linear_backward_input(rows_at(c, s->dxe, first[e], d->C), false,
                                      rows_at(c, k->gu, first[e], 2 * d->Fe), &l->expert[e].gu,
                                      first[e + 1] - first[e]);
}

/* --- load --- */

/* The choices of sequence s, in scratch. */
static const int *sequence_count(const struct chunk *c, const struct routing *r,
                                 const struct segments *seg, int s)
{
    int *count = c->scratch.count;
    memset(count, 0, (size_t)c->d.E * sizeof *count);
    for (int i = seg->start[s] * c->d.K; i < seg->start[s + 1] * c->d.K; i++) count[r->expert[i]]++;
    return count;
}

/* E / (K * rows of sequence s): what a choice is worth in load.balance, beside its expert's probabilities. */
static double choice_worth(const struct chunk *c, const struct segments *seg, int s)
{
    return (double)c->d.E / ((double)c->d.K * (seg->start[s + 1] - seg->start[s]));
}

static void load_note(struct chunk *c, int layer, const struct routing *r,
                      const struct segments *seg)
{
    int E = c->d.E;
    uint64_t *chosen = c->load.chosen + (size_t)layer * (size_t)E;
    for (int s = 0; s < seg->n; s++) {
        const int *count = sequence_count(c, r, seg, s);
        double sum = 0;
        for (int t = seg->start[s]; t < seg->start[s + 1]; t++)
            for (int e = 0; e < E; e++)
                sum += count[e] * (double)r->prob[(size_t)t * (size_t)E + (size_t)e];
        exact_add(&c->load.balance, sum * choice_worth(c, seg, s));
        for (int e = 0; e < E; e++) chosen[e] += (uint64_t)count[e];
    }
}

/* --- forward --- */

static void forward_route(struct pass *p, int layer)
{
    struct chunk *c = p->chunk;
    const struct layer *l = &c->layer[layer];
    struct acts *k = &slot_of(p)->layer[layer];
    int T = p->rows->T;
    c->ops->rmsnorm_forward(k->n2, k->rstd2, k->x2, weight_of(c, l->norm2), T, c->d.C,
                            c->d.norm_eps);
    route(c, l, k, T);
    if (p->kind == PASS_F) load_note(c, layer, &k->route, &p->rows->seg);
    travel_counts(p, &k->route);
}

static void forward_dispatch(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    struct acts *k = &slot_of(p)->layer[layer];
    void *home = c->parallel.ep ? wire_of(p)->home : k->xe;
    int C = c->d.C, K = c->d.K;
    travel_counted(p, &k->route);
    for (int i = 0; i < p->rows->T * K; i++)
        memcpy(rows_at(c, home, k->route.at[i], C), rows_at(c, k->n2, i / K, C),
               (size_t)C * c->ops->real_bytes);
    travel_out(p, &k->route, home);
}

static void forward_experts(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    struct acts *k = &slot_of(p)->layer[layer];
    travel_arrived(p, &k->route, k->xe);
    experts_forward(c, &c->layer[layer], k);
    travel_back(p, &k->route, k->yh, k->ye);
}

/* The output may lie over the layer's input: that is dead by now. */
static void forward_combine(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    struct acts *k = &slot_of(p)->layer[layer];
    c->ops->combine_forward(stream_at(p, layer + 1), k->x2, k->yh, k->route.at, k->route.weight,
                            p->rows->T, c->d.C, c->d.K);
}

/* --- backward --- */

/* prob (E) becomes the gradient of the logits z. With p = softmax(z) and loss' = dL/dp (balance * count of every expert, and dweight
 * of the chosen ones): dz = p * (loss' - sum of p * loss'). Weights divided by their sum are the softmax over the
 * chosen logits alone, with a gradient of the same form. */
static void row_backward(float *prob, const int *expert, const float *weight, const float *dweight,
                         const int *count, float balance, const struct dims *d)
{
    float chosen = 0, all = 0;
    for (int j = 0; j < d->K; j++) chosen += weight[j] * dweight[j];
    for (int e = 0; e < d->E; e++) all += prob[e] * (balance * (float)count[e]);
    if (!d->route_norm) all += chosen;
    for (int e = 0; e < d->E; e++) prob[e] *= balance * (float)count[e] - all;
    for (int j = 0; j < d->K; j++)
        prob[expert[j]] += weight[j] * (dweight[j] - (d->route_norm ? chosen : 0));
}

static void route_backward(const struct pass *p, struct routing *r)
{
    const struct chunk *c = p->chunk;
    const struct segments *seg = &p->rows->seg;
    const struct dims *d = &c->d;
    for (int s = 0; s < seg->n; s++) {
        const int *count = sequence_count(c, r, seg, s);
        float balance = (float)((double)p->balance * choice_worth(c, seg, s));
        for (int t = seg->start[s]; t < seg->start[s + 1]; t++)
            row_backward(r->prob + (size_t)t * (size_t)d->E, r->expert + t * d->K,
                         r->weight + t * d->K, c->scratch.dweight + t * d->K, count, balance, d);
    }
}

static void backward_dispatch(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    struct acts *k = &slot_of(p)->layer[layer];
    struct routing *r = &k->route;
    c->ops->combine_backward(k->yh, c->scratch.dweight, gradient_at(p, layer + 1), k->yh, r->at,
                             r->weight, p->rows->T, c->d.C, c->d.K);
    route_backward(p, r);
    travel_out(p, r, k->yh);
}

static void backward_experts(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    struct acts *k = &slot_of(p)->layer[layer];
    travel_arrived(p, &k->route, k->ye);
    experts_backward_input(c, &c->layer[layer], k);
    travel_back(p, &k->route, wire_of(p)->home, c->scratch.dxe);
}

static void backward_combine(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    const struct layer *l = &c->layer[layer];
    struct acts *k = &slot_of(p)->layer[layer];
    const void *drows = c->parallel.ep ? wire_of(p)->home : c->scratch.dxe;
    int T = p->rows->T;
    c->ops->router_backward_input(c->scratch.dnorm, drows, k->route.at, k->route.prob,
                                  weight_of(c, l->router), T, d->C, d->E, d->K);
    c->ops->rmsnorm_backward(middle_gradient_at(p, layer), grad_of(p, l->norm2), c->scratch.dnorm,
                             k->x2, weight_of(c, l->norm2), k->rstd2, gradient_at(p, layer + 1), T,
                             d->C);
}

static void backward_weight(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct dims *d = &c->d;
    const struct layer *l = &c->layer[layer];
    struct acts *k = &slot_of(p)->layer[layer];
    const int *first = k->route.first;
    for (int e = 0; e < dims_held(d); e++) {
        int n = first[e + 1] - first[e];
        c->ops->linear_backward_weight(
            grad_of(p, l->experts_wdown) + stacked(c, l->experts_wdown, e), NULL,
            rows_at(c, k->ye, first[e], d->C), rows_at(c, k->h, first[e], d->Fe), d->C, d->Fe, n);
        c->ops->linear_backward_weight(grad_of(p, l->experts_wgu) + stacked(c, l->experts_wgu, e),
                                       NULL, rows_at(c, k->gu, first[e], 2 * d->Fe),
                                       rows_at(c, k->xe, first[e], d->C), 2 * d->Fe, d->C, n);
    }
    c->ops->router_backward_weight(grad_of(p, l->router), k->route.prob, k->n2, p->rows->T, d->C,
                                   d->E);
}

const struct part PART_MOE = {{forward_route, forward_dispatch, forward_experts, forward_combine},
                              {backward_dispatch, backward_experts, backward_combine},
                              backward_weight};
