/* Mistakes between the model's settings, and what their zeros stand for. */
#include "model/rope.h"
#include "trainer/config/check.h"
#include "trainer/config/table.h"

/* Zeros are resolved here, so that everybody after this sees kv_heads and head_dim. */
static void check_heads(const struct check *c)
{
    struct model_settings *m = &c->s->model;
    const struct model_lines *line = &c->s->lines.model;
    if (m->kv_heads == 0) m->kv_heads = m->heads;
    if (m->heads % m->kv_heads != 0)
        complain(c, line->kv_heads,
                 "kv_heads %d does not divide heads %d: every key/value head must serve the same "
                 "number of query heads",
                 m->kv_heads, m->heads);
    if (m->head_dim == 0 && m->hidden % m->heads != 0)
        complain(c, line->heads,
                 "heads %d does not divide hidden %d: change one of them or set head_dim", m->heads,
                 m->hidden);
    else if (m->head_dim == 0)
        m->head_dim = m->hidden / m->heads;
    if (m->head_dim % 2 != 0)
        complain(c, line->head_dim ? line->head_dim : line->heads,
                 "head_dim %d is odd: rotary embeddings rotate pairs of channels", m->head_dim);
}

static int layers_with_experts(const struct settings *s)
{
    const struct expert_layers e = settings_expert_layers(s);
    int n = 0;
    for (int i = 0; i < s->model.layers; i++) n += expert_layer(&e, s->model.first_dense, i);
    return n;
}

/* false: layers cannot be counted, so the caller checks nothing that depends on their number. */
static bool check_dense_layers(const struct check *c)
{
    int layer[MAX_LAYERS], line = c->s->lines.model.dense_layers, layers = c->s->model.layers;
    const char *text = c->s->model.dense_layers;
    int n = settings_dense_layers(c->s, layer, MAX_LAYERS);
    if (n < 0) complain(c, line, "dense_layers \"%.60s\" is not a list of layers like 3,11", text);
    if (n > MAX_LAYERS)
        complain(c, line, "dense_layers names %d layers, but there are only %d", n, layers);
    bool ok = n >= 0 && n <= MAX_LAYERS;
    for (int i = 0; ok && i < n; i++) {
        ok = layer[i] < layers;
        if (!ok)
            complain(c, line, "dense_layers: there is no layer %d, layers are numbered 0 to %d",
                     layer[i], layers - 1);
    }
    return ok;
}

/* experts_active may be as large as experts (every token to every expert), not larger. */
static void check_experts(const struct check *c)
{
    struct model_settings *m = &c->s->model;
    const struct model_lines *line = &c->s->lines.model;
    if (m->experts == 0) return;
    if (m->experts_active > m->experts)
        complain(c, line->experts_active, "experts_active %d is more than experts %d",
                 m->experts_active, m->experts);
    if (m->first_dense >= m->layers)
        complain(c, line->first_dense,
                 "first_dense %d makes all %d layers dense, so that none has the %d experts: lower "
                 "it, or set experts to 0",
                 m->first_dense, m->layers, m->experts);
    else if (check_dense_layers(c) && layers_with_experts(c->s) == 0)
        complain(c, *m->dense_layers ? line->dense_layers : line->expert_step,
                 "first_dense %d, expert_step %d and dense_layers \"%.60s\" make all %d layers "
                 "dense, so that none has the %d experts: name fewer, or set experts to 0",
                 m->first_dense, m->expert_step, m->dense_layers, m->layers, m->experts);
    if (m->expert_ffn == 0) m->expert_ffn = (m->ffn / m->experts_active + 7) / 8 * 8;
    if (m->expert_ffn == 0) m->expert_ffn = 8;
}

/* What stretches the rotary embedding counts with rope_scaling only: given without it, a model
 * would be another one than its writer meant. */
static const struct {
    const char *name;
    unsigned kinds; /* of scaling that use it */
} rope_settings[] = {
    {"rope_factor", 1u << ROPE_LLAMA3 | 1u << ROPE_YARN},
    {"rope_original", 1u << ROPE_LLAMA3 | 1u << ROPE_YARN},
    {"rope_low", 1u << ROPE_LLAMA3},
    {"rope_high", 1u << ROPE_LLAMA3},
    {"rope_beta_fast", 1u << ROPE_YARN},
    {"rope_beta_slow", 1u << ROPE_YARN},
    {"rope_truncate", 1u << ROPE_YARN},
    {"rope_attention", 1u << ROPE_YARN},
};

static void check_rope_uses(const struct check *c)
{
    struct place at = settings_place(c->s, SECTION_MODEL, 0);
    for (size_t i = 0; i < sizeof rope_settings / sizeof *rope_settings; i++) {
        const struct setting *k = setting_find(at.section, rope_settings[i].name);
        unsigned kinds = rope_settings[i].kinds;
        if ((kinds >> c->s->model.rope_scaling & 1u) || setting_is_default(&at, k)) continue;
        complain(c, *setting_line(&at, k),
                 "%s has no effect without rope_scaling %s%s%s: set that too, or leave it out",
                 k->name, kinds & 1u << ROPE_LLAMA3 ? "llama3" : "",
                 kinds == (1u << ROPE_LLAMA3 | 1u << ROPE_YARN) ? " or " : "",
                 kinds & 1u << ROPE_YARN ? "yarn" : "");
    }
}

/* An attention factor of 0 follows from rope_factor and is filled in, so that all who ask see it.
 * */
static void check_rope(const struct check *c)
{
    struct model_settings *m = &c->s->model;
    const struct model_lines *line = &c->s->lines.model;
    check_rope_uses(c);
    if (m->rope_scaling == ROPE_NONE) return;
    if (m->rope_original == 0)
        complain(c, line->rope_scaling,
                 "rope_scaling needs rope_original: the context that the model was first trained "
                 "for (original_max_position_embeddings)");
    if (m->rope_scaling == ROPE_LLAMA3 && m->rope_low >= m->rope_high)
        complain(c, line->rope_low ? line->rope_low : line->rope_high,
                 "rope_low %g is not below rope_high %g", m->rope_low, m->rope_high);
    if (m->rope_scaling == ROPE_YARN && m->rope_beta_slow >= m->rope_beta_fast)
        complain(c, line->rope_beta_slow ? line->rope_beta_slow : line->rope_beta_fast,
                 "rope_beta_slow %g is not below rope_beta_fast %g", m->rope_beta_slow,
                 m->rope_beta_fast);
    if (m->rope_scaling == ROPE_YARN && m->rope_theta <= 1)
        complain(c, line->rope_theta, "rope_scaling yarn needs a rope_theta above 1");
    if (m->rope_scaling == ROPE_YARN && m->rope_attention == 0)
        m->rope_attention = rope_attention(m->rope_factor, 0, 0);
}

/* Beyond it no cluster has the memory, and sizes in bytes do not fit their type. */
static const double most_parameters = 1e13;

/* An estimate in double: the exact sizes would overflow before they could be refused. */
static void check_size(const struct check *c)
{
    const struct model_settings *m = &c->s->model;
    double moe = m->experts > 0 ? layers_with_experts(c->s) : 0;
    double attention = 2.0 * (m->heads + (double)m->kv_heads) * m->head_dim;
    double dense = 3.0 * m->ffn * (m->layers - moe),
           experts = 3.0 * m->experts * m->expert_ffn * moe;
    double n = m->hidden * (m->layers * attention + dense + experts);
    if (n > most_parameters)
        complain(c, c->s->lines.model.layers,
                 "the model would have %.1e parameters, more than %.0e: lower layers, hidden, ffn "
                 "or experts",
                 n, most_parameters);
}

void settings_check_model(const struct check *c)
{
    struct model_settings *m = &c->s->model;
    if (m->ffn == 0) m->ffn = (m->hidden * 8 + 23) / 24 * 8; /* 8/3 hidden, up to a multiple of 8 */
    check_heads(c);
    check_rope(c);
    check_experts(c);
    check_size(c);
}
