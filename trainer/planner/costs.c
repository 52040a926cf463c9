/* After the pipeline: float gradients of the replicas are scattered, weights gathered, (R-1)/R of
 * them each. So for a shape; of a recipe the reduction's own paths, hosts and buckets are known
 * (reduction.c), and predict.c hides what overlaps. */
#include "trainer/planner/costs.h"

/* ---- passes ---- */

static struct pass_job layout_job(const struct layout *l)
{
    return (struct pass_job){.pp = l->pp,
                             .tp = l->tp,
                             .ep = l->ep,
                             .cut = l->cut,
                             .recompute = l->recompute,
                             .rows = l->rows,
                             .room = l->room,
                             .context = l->context};
}

struct pass_cost cost_of_part(const struct shape *s, const struct cluster *c,
                              const struct layout *l, struct pass_part part)
{
    const struct machine m = machine_of_cluster(c, s->precision, l->room);
    const struct pass_job j = layout_job(l);
    return pass_cost(s, &m, &j, part);
}

double cost_of_message(const struct shape *s, const struct cluster *c, const struct layout *l)
{
    const struct machine m = machine_of_cluster(c, s->precision, l->room);
    const struct pass_job j = layout_job(l);
    return pass_cost_message(s, &m, &j);
}

/* ---- after the pipeline ---- */

static double replicas(const struct layout *l)
{
    return (double)l->dp * (layout_place(l) == PLACE_MIRROR ? 2 : 1);
}

static double gathered(const struct shape *s, const struct cluster *c, const struct layout *l,
                       double weights, double R)
{
    if (R <= 1 || weights <= 0) return 0;
    bool inside = (long)l->dp * l->pp * l->tp <= c->top.devices;
    double part = weights * (R - 1) / R;
    return cluster_send(c, inside, part * sizeof(float)) +
           cluster_send(c, inside, part * shape_real_bytes(s));
}

double cost_of_reduce(const struct shape *s, const struct cluster *c, const struct layout *l,
                      double dense_weights, double expert_weights)
{
    double R = replicas(l);
    return gathered(s, c, l, dense_weights, R) + gathered(s, c, l, expert_weights, R / l->ep);
}

/* Master and two moments are read and written, the gradient read, the weight written. */
double cost_of_update(const struct shape *s, const struct cluster *c, const struct layout *l,
                      double dense_weights, double expert_weights)
{
    double R = l->sharded ? replicas(l) : 1, Re = l->sharded ? R / l->ep : 1;
    double n = dense_weights / R + expert_weights / Re;
    if (c->costs.update > 0)
        return (n * c->costs.update + (dense_weights + expert_weights) * c->costs.hold) * 1e-9;
    return n * (7 * sizeof(float) + shape_real_bytes(s)) / (c->top.memory_gbs * 1e9);
}
