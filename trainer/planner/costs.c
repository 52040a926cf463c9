/* What one operation takes. The assumptions, all in one place:
 *
 *   - matrix products run at the achieved rate; attention at a part of it; everything else is as long as its bytes take
 *   - backward: input and weight part of a linear layer cost what its forward does; attention's backward 2.5 times its forward
 *     (it forms the scores again), all of it in the input part
 *   - tensor parallelism: two sums over tp a layer and direction (one where there are experts), of float rows, each rank sending all
 *     of them to the tp-1 others (comm/exchange.c)
 *   - expert parallelism: a dispatch and a combine a layer and direction; of a row's copies (ep-1)/ep leave their rank. Between nodes
 *     a row travels once to each node it goes to
 *   - a message, or an exchange, is as slow as its slowest link: no contention between them is counted
 *   - replicas: float gradients are scattered, weights gathered, (R-1)/R of them each. So for a shape; of a recipe the reduction's own
 *     paths, hosts and buckets are known (reduction.c), and predict.c hides what overlaps */
#include "trainer/planner/predict.h"

/* ---- links ---- */

static bool within_node(const struct cluster *c, long ranks)
{
    return ranks <= c->top.devices;
}

double cost_of_message(const struct shape *s, const struct cluster *c, const struct layout *l)
{
    if (l->pp == 1) return 0;
    bool inside = within_node(c, (long)l->pp * l->tp);
    return cluster_send(c, inside, l->room * s->C * shape_real_bytes(s));
}

static double tensor_sum(const struct shape *s, const struct cluster *c, const struct layout *l)
{
    if (l->tp == 1) return 0;
    double bytes = (l->tp - 1) * l->rows * s->C * sizeof(float);
    return cluster_send(c, within_node(c, l->tp), bytes);
}

/* One way: rows to their experts, or what the experts made of them back. */
static double expert_send(const struct shape *s, const struct cluster *c, const struct layout *l,
                          double bytes_each)
{
    if (l->ep == 1) return 0;
    bool inside = within_node(c, (long)l->ep * l->pp * l->tp);
    double copies = s->active;
    if (!inside && s->nodes > 0 && s->nodes < copies) copies = s->nodes;
    double bytes = l->rows * copies * s->C * bytes_each * (l->ep - 1) / l->ep;
    return cluster_send(c, inside, bytes);
}

static double exchanges_of_layer(const struct shape *s, const struct cluster *c,
                                 const struct layout *l, int layer)
{
    double sum = tensor_sum(s, c, l);
    if (!shape_moe(s, layer)) return 2 * sum;
    return sum + expert_send(s, c, l, s->send) + expert_send(s, c, l, shape_real_bytes(s));
}

/* ---- passes ---- */

/* What is kept is written once and read about twice. */
static double bytes_time(const struct shape *s, const struct cluster *c, const struct layout *l,
                         int layer)
{
    double kept = shape_moe(s, layer) ? s->kept_moe : s->kept;
    return 3 * l->rows * kept * shape_real_bytes(s) / (c->top.memory_gbs * 1e9) / l->tp;
}

static struct pass_cost layer_cost(const struct shape *s, const struct cluster *c,
                                   const struct layout *l, int layer)
{
    double rate = cluster_rate(c, s->precision) * l->tp;
    double linear = l->rows * shape_layer_linear_flops(s, layer) / rate;
    double attention =
        l->rows * shape_attention_flops(s, l->context / 2) / (rate * c->compute.attention);
    double rest = bytes_time(s, c, l, layer);
    struct pass_cost p = {linear + attention + rest, linear + 2.5 * attention + rest, linear, 0, 0};
    if (c->costs.layer_f > 0) {
        double part = l->rows / l->room * 1e-3 / l->tp;
        p = (struct pass_cost){c->costs.layer_f * part, c->costs.layer_b * part,
                               c->costs.layer_w * part, 0, 0};
    }
    p.exchange_f = p.exchange_b = exchanges_of_layer(s, c, l, layer);
    return p;
}

static struct pass_cost head_cost(const struct shape *s, const struct cluster *c,
                                  const struct layout *l)
{
    double linear = l->rows * shape_head_flops(s) / (cluster_rate(c, s->precision) * l->tp);
    double rest = 3 * l->rows * s->V * sizeof(float) / (c->top.memory_gbs * 1e9) / l->tp;
    if (c->costs.layer_f <= 0)
        return (struct pass_cost){linear + rest, linear + rest, linear, 0, 0};
    double part = l->rows / l->room * 1e-3 / l->tp;
    return (struct pass_cost){c->costs.head_f * part, c->costs.head_b * part,
                              c->costs.head_w * part, 0, 0};
}

struct pass_cost cost_of_chunk(const struct shape *s, const struct cluster *c,
                               const struct layout *l, int first, int last, bool embed, bool head)
{
    struct pass_cost sum = {0};
    for (int layer = first; layer < last; layer++) {
        struct pass_cost one = layer_cost(s, c, l, layer);
        sum.f += one.f, sum.b += one.b, sum.w += one.w;
        sum.exchange_f += one.exchange_f, sum.exchange_b += one.exchange_b;
    }
    if (embed) { /* rows looked up, and added up again */
        double once = 2 * l->rows * s->C * shape_real_bytes(s) / (c->top.memory_gbs * 1e9);
        sum.f += once, sum.w += 2 * once;
        sum.exchange_f += tensor_sum(s, c, l);
    }
    if (head) {
        struct pass_cost one = head_cost(s, c, l);
        sum.f += one.f, sum.b += one.b, sum.w += one.w;
        sum.exchange_b += tensor_sum(s, c, l);
    }
    return sum;
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
    bool inside = within_node(c, (long)l->dp * l->pp * l->tp);
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
