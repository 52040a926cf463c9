#include "trainer/gguf/describe.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

double gguf_llama3_divisor(double theta, int half, int i, const struct gguf_llama3 *s)
{
    double length = 2 * acos(-1) * pow(theta, (double)i / half);
    if (length < s->original / s->high) return 1;
    if (length > s->original / s->low) return s->factor;
    double smooth = (s->original / length - s->low) / (s->high - s->low);
    return 1 / ((1 - smooth) / s->factor + smooth);
}

/* --- sizes --- */

struct describer {
    struct gguf_described *d;
    struct gguf_head *h;
    const json_t *config;
    struct problems *p;
};

static const char file[] = "config.json";

static const struct architecture_name {
    const char *architecture, *name;
} architectures[] = {
    {"LlamaForCausalLM", "llama"},       {"MistralForCausalLM", "llama"},
    {"Qwen2ForCausalLM", "qwen2"},       {"Qwen3ForCausalLM", "qwen3"},
    {"Qwen3MoeForCausalLM", "qwen3moe"},
};
enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };

static bool take_architecture(struct describer *x)
{
    const char *is =
        json_string_value(json_array_get(json_object_get(x->config, "architectures"), 0));
    for (int i = 0; is && i < ARCHITECTURES; i++)
        if (strcmp(architectures[i].architecture, is) == 0)
            x->d->architecture = architectures[i].name;
    if (x->d->architecture) return true;
    problems_add(x->p, file, 0,
                 "architectures: %.60s: no architecture of llama.cpp is known for it",
                 is ? is : "none");
    return false;
}

/* A whole number of config.json, `otherwise` where it is absent or null; -1: it is needed. */
static int whole(const struct describer *x, const char *member, int otherwise)
{
    const json_t *v = json_object_get(x->config, member);
    if ((!v || json_is_null(v)) && otherwise >= 0) return otherwise;
    if (json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= INT32_MAX)
        return (int)json_integer_value(v);
    problems_add(x->p, file, 0, "%s: is missing, or no whole number", member);
    return 0;
}

static double number(const json_t *object, const char *member, double otherwise)
{
    const json_t *v = json_object_get(object, member);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

static const char *key(char out[96], const struct describer *x, const char *name)
{
    snprintf(out, 96, "%s.%s", x->d->architecture, name);
    return out;
}

static void put_whole(struct describer *x, const char *name, int value)
{
    char text[96];
    gguf_put_u32(x->h, key(text, x, name), (uint32_t)value);
}

static void put_real(struct describer *x, const char *name, double value)
{
    char text[96];
    gguf_put_f32(x->h, key(text, x, name), (float)value);
}

static struct gguf_text whole_text(const char *s)
{
    return (struct gguf_text){s, strlen(s)};
}

/* The length of a head is written even where it is hidden / heads: readers differ in what they
 * assume. */
static void put_sizes(struct describer *x)
{
    int hidden = whole(x, "hidden_size", -1), heads = whole(x, "num_attention_heads", -1);
    x->d->heads = heads;
    x->d->kv_heads = whole(x, "num_key_value_heads", heads);
    x->d->head = whole(x, "head_dim", heads > 0 ? hidden / heads : 0);
    put_whole(x, "block_count", whole(x, "num_hidden_layers", -1));
    put_whole(x, "context_length", whole(x, "max_position_embeddings", -1));
    put_whole(x, "embedding_length", hidden);
    put_whole(x, "feed_forward_length", whole(x, "intermediate_size", -1));
    put_whole(x, "attention.head_count", heads);
    put_whole(x, "attention.head_count_kv", x->d->kv_heads);
    put_whole(x, "attention.key_length", x->d->head);
    put_whole(x, "attention.value_length", x->d->head);
    put_whole(x, "vocab_size", whole(x, "vocab_size", -1));
    put_whole(x, "rope.dimension_count", x->d->head);
    put_real(x, "attention.layer_norm_rms_epsilon", number(x->config, "rms_norm_eps", 1e-6));
    if (strcmp(x->d->architecture, "qwen3moe") != 0) return;
    const char *experts =
        json_object_get(x->config, "num_experts") ? "num_experts" : "num_local_experts";
    put_whole(x, "expert_count", whole(x, experts, -1)); /* newer configurations: the latter */
    put_whole(x, "expert_used_count", whole(x, "num_experts_per_tok", -1));
    put_whole(x, "expert_feed_forward_length", whole(x, "moe_intermediate_size", -1));
}

/* What a file of this architecture cannot say: llama.cpp would not load it, or compute another
 * model without a word. */
static void refuse_the_rest(struct describer *x)
{
    const json_t *c = x->config;
    bool qwen3 = strncmp(x->d->architecture, "qwen3", 5) == 0,
         moe = strcmp(x->d->architecture, "qwen3moe") == 0;
    bool all_experts = number(c, "decoder_sparse_step", 1) <= 1 &&
                       json_array_size(json_object_get(c, "mlp_only_layers")) == 0;
    if (qwen3 && json_is_true(json_object_get(c, "attention_bias")))
        problems_add(x->p, file, 0,
                     "attention_bias (model.qkv_bias, o_bias): llama.cpp's %s has no biases",
                     x->d->architecture);
    if (moe && !json_is_true(json_object_get(c, "norm_topk_prob")))
        problems_add(x->p, file, 0,
                     "norm_topk_prob (model.route_norm): llama.cpp always normalises the weights "
                     "of a row's experts");
    if (moe && !all_experts)
        problems_add(x->p, file, 0,
                     "decoder_sparse_step, mlp_only_layers (model.first_dense, expert_step, "
                     "dense_layers): llama.cpp's qwen3moe has experts in every layer");
}

/* --- rotary embedding --- */

/* The file gets the divisors, one for each pair of channels, as fp32: from them is_llama3
 * (config.c) finds the factor again. */
static void take_llama3(struct describer *x, const json_t *scaling, double theta)
{
    struct gguf_llama3 s = {number(scaling, "factor", 1), number(scaling, "low_freq_factor", 1),
                            number(scaling, "high_freq_factor", 4),
                            number(scaling, "original_max_position_embeddings", 8192)};
    int half = x->d->head / 2;
    if (half > GGUF_ROPE_FACTORS) {
        problems_add(x->p, file, 0, "head_dim: heads of %d are larger than any that llama.cpp has",
                     x->d->head);
        return;
    }
    x->d->rope_factors = half;
    for (int i = 0; i < half; i++)
        x->d->rope_factor[i] = (float)gguf_llama3_divisor(theta, half, i, &s);
}

/* transformers computes the factor of cosines from `factor` where it is not given. */
static bool is_default_attention(const json_t *scaling)
{
    double factor = number(scaling, "factor", 1),
           attention = number(scaling, "attention_factor", 0.1 * log(factor) + 1);
    return fabs(attention - (0.1 * log(factor) + 1)) < 1e-6 &&
           !json_is_number(json_object_get(scaling, "mscale")) &&
           !json_is_number(json_object_get(scaling, "mscale_all_dim"));
}

/* Numbers that files have no key for, or one that llama.cpp reads only since late 2025: with others
 * than its own it would rotate otherwise, without a word. */
static void refuse_other_yarn(struct describer *x, const json_t *scaling)
{
    const char *which = NULL;
    if (fabs(number(scaling, "beta_fast", 32) - 32) > 0) which = "beta_fast (model.rope_beta_fast)";
    if (fabs(number(scaling, "beta_slow", 1) - 1) > 0) which = "beta_slow (model.rope_beta_slow)";
    if (json_is_false(json_object_get(scaling, "truncate")))
        which = "truncate (model.rope_truncate)";
    if (!is_default_attention(scaling)) which = "attention_factor, mscale (model.rope_attention)";
    if (which)
        problems_add(x->p, file, 0,
                     "%s: llama.cpp's yarn has beta_fast 32, beta_slow 1, truncate and the "
                     "attention_factor 0.1 ln(factor) + 1",
                     which);
}

static void put_yarn(struct describer *x, const json_t *scaling)
{
    char text[96];
    double original = number(scaling, "original_max_position_embeddings",
                             number(x->config, "max_position_embeddings", 0));
    refuse_other_yarn(x, scaling);
    gguf_put_text(x->h, key(text, x, "rope.scaling.type"), whole_text("yarn"));
    put_real(x, "rope.scaling.factor", number(scaling, "factor", 1));
    put_whole(x, "rope.scaling.original_context_length", (int)original);
}

/* Either spelling: the older one, or the object rope_parameters. */
static void put_rope(struct describer *x)
{
    const json_t *c = x->config, *newer = json_object_get(c, "rope_parameters");
    const json_t *scaling = json_object_get(c, "rope_scaling");
    if (!json_is_object(scaling)) scaling = newer;
    double theta = number(scaling, "rope_theta", number(c, "rope_theta", 10000));
    const char *kind = json_string_value(json_object_get(scaling, "rope_type"));
    if (!kind) kind = json_string_value(json_object_get(scaling, "type"));
    put_real(x, "rope.freq_base", theta);
    if (!kind || strcmp(kind, "default") == 0) return;
    if (strcmp(kind, "llama3") == 0)
        take_llama3(x, scaling, theta);
    else if (strcmp(kind, "yarn") == 0)
        put_yarn(x, scaling);
    else
        problems_add(x->p, file, 0, "rope_type: %.40s: not written to GGUF files", kind);
}

/* Keys go to the head as they are found; the caller writes no file after a problem. */
bool gguf_describe(struct gguf_described *d, struct gguf_head *h, const struct gguf_folder *f,
                   const struct quant *matrices, struct problems *p)
{
    json_error_t error;
    json_t *config = json_loads(f->config, 0, &error);
    struct describer x = {d, h, config, p};
    int before = p->n;
    *d = (struct gguf_described){0};
    if (!config) problems_add(p, file, error.line, "is no JSON: %s", error.text);
    if (config && take_architecture(&x)) {
        gguf_put_text(h, "general.architecture", whole_text(d->architecture));
        gguf_put_text(h, "general.name", whole_text(f->name));
        gguf_put_u32(h, "general.file_type", matrices->file);
        gguf_put_u32(h, "general.quantization_version", 2);
        put_sizes(&x);
        refuse_the_rest(&x);
        put_rope(&x);
        gguf_describe_tokenizer(h, f, (uint64_t)whole(&x, "vocab_size", -1), p);
    }
    json_decref(config);
    return p->n == before;
}
