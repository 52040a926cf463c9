#include "trainer/schedule/shape.h"

#include "model/flops.h"
#include "model/part.h"
#include "model/precision.h"

/* The model with all its layers dense, or all with experts. */
static struct dims all_alike(struct dims d, bool experts)
{
    d.first_dense = experts ? 0 : d.L;
    d.expert_layers = (struct expert_layers){0};
    return d;
}

static double kept_of(const struct dims *d, bool experts)
{
    const struct dims alike = all_alike(*d, experts);
    return layer_kept(&alike, 0, RECOMPUTE_NONE);
}

static struct shape_again again_of(const struct dims *d, bool experts)
{
    const struct dims alike = all_alike(*d, experts);
    struct shape_again a = {{0}, {0}};
    for (int r = 0; r < RECOMPUTE_NEVER; r++) {
        a.matrices[r] = layer_matrices_again(&alike, 0, (enum recompute)r);
        a.acts[r] = kept_of(d, experts) - layer_kept(&alike, 0, (enum recompute)r);
    }
    return a;
}

/* What costs depend on, without tensors: the planner also has shapes of models that cannot be
 * built. */
struct shape shape_of_dims(const struct dims *d)
{
    return (struct shape){.name = "",
                          .layers = d->L,
                          .dense = d->E > 0 ? d->first_dense : d->L,
                          .expert_layers = d->expert_layers,
                          .C = d->C,
                          .V = d->V,
                          .attention = part_matrices(&PART_ATTENTION, d),
                          .key = flops_attention(d, 1),
                          .ffn = part_matrices(&PART_FFN, d),
                          .expert = d->E > 0 ? part_elements(&PART_MOE, d, ROLE_EXPERT) / d->E : 0,
                          .experts = d->E,
                          .active = d->E > 0 ? d->K : 0,
                          .kept = kept_of(d, false),
                          .kept_moe = d->E > 0 ? kept_of(d, true) : 0,
                          .again = again_of(d, false),
                          .again_moe =
                              d->E > 0 ? again_of(d, true) : (struct shape_again){{0}, {0}},
                          .send = (double)precision_kind(d->precision)->real_bytes,
                          .tied = d->tied,
                          .precision = d->precision};
}

bool shape_moe(const struct shape *s, int layer)
{
    return s->experts > 0 && expert_layer(&s->expert_layers, s->dense, layer);
}

double shape_real_bytes(const struct shape *s)
{
    return (double)precision_kind(s->precision)->real_bytes;
}

double shape_layer_weights(const struct shape *s, int layer)
{
    double rest = s->attention + 2 * s->C;
    if (!shape_moe(s, layer)) return rest + s->ffn;
    return rest + s->experts * s->C + (s->experts + s->shared) * s->expert;
}

double shape_weights(const struct shape *s)
{
    double sum = s->V * s->C * (s->tied ? 1 : 2) + s->C;
    for (int layer = 0; layer < s->layers; layer++) sum += shape_layer_weights(s, layer);
    return sum;
}

double shape_layer_active(const struct shape *s, int layer)
{
    if (!shape_moe(s, layer)) return s->attention + s->ffn;
    return s->attention + s->experts * s->C + (s->active + s->shared) * s->expert;
}

double shape_layer_linear_flops(const struct shape *s, int layer)
{
    return 2 * shape_layer_active(s, layer);
}

double shape_attention_flops(const struct shape *s, double keys)
{
    return keys * s->key;
}

double shape_head_flops(const struct shape *s)
{
    return 2 * s->V * s->C;
}

double shape_model_flops(const struct shape *s, double context)
{
    double sum = shape_head_flops(s);
    for (int layer = 0; layer < s->layers; layer++)
        sum += shape_layer_linear_flops(s, layer) + shape_attention_flops(s, context / 2);
    return 3 * sum;
}
