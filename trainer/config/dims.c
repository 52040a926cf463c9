/* The model's settings as what the model is made of. */
#include "trainer/config/settings.h"

struct expert_layers settings_expert_layers(const struct settings *s)
{
    struct expert_layers e = {.step = s->model.expert_step};
    int layer[MAX_LAYERS], n = settings_dense_layers(s, layer, MAX_LAYERS);
    for (int i = 0; i < n && i < MAX_LAYERS; i++)
        if (layer[i] < MAX_LAYERS) e.dense[layer[i] / 64] |= (uint64_t)1 << (layer[i] % 64);
    return e;
}

/* The choices of both enums are the model's own enumerators. */
static struct rope rope_of(const struct model_settings *m)
{
    return (struct rope){.scaling = (enum rope_scaling)m->rope_scaling,
                         .angles = (enum rope_angles)m->rope_angles,
                         .factor = m->rope_factor,
                         .original = m->rope_original,
                         .low = m->rope_low,
                         .high = m->rope_high,
                         .fast = m->rope_beta_fast,
                         .slow = m->rope_beta_slow,
                         .whole = m->rope_truncate,
                         .attention = m->rope_attention};
}

/* The one place where a recipe becomes a model. tp and ep are set by the caller, who knows the
 * mesh. */
struct dims settings_dims(const struct settings *s, int V)
{
    const struct model_settings *m = &s->model;
    return (struct dims){
        .V = m->vocabulary > 0 ? m->vocabulary : V,
        .L = m->layers,
        .C = m->hidden,
        .F = m->ffn,
        .E = m->experts,
        .K = m->experts_active,
        .Fe = m->expert_ffn,
        .first_dense = m->first_dense,
        .expert_layers = settings_expert_layers(s),
        .route_norm = m->route_norm,
        .Hq = m->heads,
        .Hkv = m->kv_heads,
        .D = m->head_dim,
        .max_context = m->max_context,
        .rope_theta = (float)m->rope_theta,
        .rope = rope_of(m),
        .norm_eps = (float)m->norm_eps,
        .init_std = (float)m->init_std,
        .qkv_bias = m->qkv_bias,
        .o_bias = m->o_bias,
        .mlp_bias = m->mlp_bias,
        .qk_norm = m->qk_norm,
        .tied = m->tied,
        .precision = (enum precision)s->run.precision,
    };
}

struct mesh_shape settings_mesh(const struct settings *s)
{
    const struct mesh_settings *m = &s->mesh;
    return (struct mesh_shape){m->dp, m->pp, m->tp, m->ep, s->run.schedule == SCHEDULE_DUALPIPE};
}

struct mesh_limits settings_limits(const struct settings *s)
{
    const struct model_settings *m = &s->model;
    return (struct mesh_limits){.layers = m->layers,
                                .heads = m->heads,
                                .kv_heads = m->kv_heads,
                                .ffn = m->ffn,
                                .experts = m->experts ? m->experts : NO_EXPERTS};
}
