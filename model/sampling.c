/* A token from logits: weights exp((logit - max) / temperature) in double, the least likely set to
 * 0 by top-k and top-p, the cumulative sum inverted in token order.
 *
 * Done as said (`exactly`) that is an exponential and several passes for each token of the
 * vocabulary, too much where there are 150,000 of them. So of a large one (sampling_large.c) only
 * candidates are weighed so, and the rest by a sum that is faster and good to 1e-11; a token is
 * taken from that when this much could not have changed it, else the whole is done exactly. */
#include "model/sampling.h"

#include <math.h>
#include <stdbool.h>

#include "comm/base/die.h"
#include "model/sampling_large.h"
#include "model/weights.h"

/* The lowest of the largest. */
static int largest(const struct ops *ops, const float *logits, int V, float *group)
{
    int best = 0, at = 0, groups = (V + SAMPLING_GROUP - 1) / SAMPLING_GROUP;
    ops->sample_largest(group, logits, V, SAMPLING_GROUP);
    for (int g = 1; g < groups; g++)
        if (group[g] > group[best]) best = g;
    SYS_OK(group[best] > -INFINITY,
           "the weights have diverged: resume from an earlier checkpoint with a lower lr or "
           "weight_decay",
           "none of the %d logits is a number", V);
    for (at = best * SAMPLING_GROUP; logits[at] != group[best];) at++;
    return at;
}

static int exactly(const struct sampling_row *r)
{
    const struct sampling *s = r->sampling;
    for (int v = 0; v < r->V; v++) r->weight[v] = weight_of_logit(r->z[v], r->most, s->temperature);
    if (s->top_k > 0 && s->top_k < r->V)
        weights_keep(r->weight, r->V, s->top_k, INFINITY, r->index);
    if (s->top_p < 1)
        weights_keep(r->weight, r->V, r->V, (double)s->top_p * weights_sum(r->weight, r->V),
                     r->index);
    return weights_invert(r->weight, r->V, r->u);
}

int sample_token(const struct ops *ops, const float *logits, int V, const struct sampling *s,
                 double u, void *scratch)
{
    struct sampling_row r;
    sampling_row_place(&r, V, scratch);
    int best = largest(ops, logits, V, r.group);
    if (s->temperature <= 0) return best;
    r.ops = ops, r.z = logits, r.most = logits[best], r.sampling = s, r.u = u;
    int token = V < SAMPLING_LARGE ? SAMPLING_UNSURE : sampling_large(&r);
    return token == SAMPLING_UNSURE ? exactly(&r) : token;
}
