/* Mixtral (arXiv 2401.04088), Qwen3-MoE: a softmax over all experts; the K most probable ones, of
 * equals the lower number, with their probabilities as weights, divided by their sum with
 * route_norm. */
#include "model/router.h"

static void softmax_score(const struct chunk *c, struct moe_acts *k, const void *w, int T)
{
    c->ops->router_forward(k->prob, k->n2, w, T, c->d.C, c->d.E);
}

static void softmax_select(const struct chunk *c, struct moe_acts *k, int T)
{
    c->ops->router_select(k->weight, k->expert, k->prob, T, c->d.E, c->d.K, c->d.route_norm);
}

static void softmax_backward(const struct pass *p, struct moe_acts *k, const float *dweight,
                             int *count)
{
    const struct chunk *c = p->chunk;
    const struct chosen of = {k->expert, k->weight, dweight};
    c->ops->router_backward(k->prob, &of, p->balance, count, p->rows->seg, c->d.E, c->d.K,
                            c->d.route_norm);
}

static const struct router routers[] = {
    [ROUTER_SOFTMAX] = {"softmax", softmax_score, softmax_select, softmax_backward},
};

const struct router *router_of(const struct dims *d)
{
    return &routers[d->router];
}
