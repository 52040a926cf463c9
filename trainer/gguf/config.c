/* config.json of the folder that a file was made of. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "comm/base/die.h"
#include "trainer/gguf/describe.h"
#include "trainer/gguf/hf.h"
#include "trainer/gguf/keys.h"

struct config {
    const struct gguf *g;
    const char *file;
    struct problems *p;
    json_t *root;
};

static const struct architecture {
    const char *name, *architecture, *model_type;
} architectures[] = {
    {"llama", "LlamaForCausalLM", "llama"},
    {"qwen2", "Qwen2ForCausalLM", "qwen2"},
    {"qwen3", "Qwen3ForCausalLM", "qwen3"},
    {"qwen3moe", "Qwen3MoeForCausalLM", "qwen3_moe"},
};
enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };

static const struct architecture *architecture_of(const struct gguf *g)
{
    for (int i = 0; i < ARCHITECTURES; i++)
        if (gguf_is(g, architectures[i].name)) return &architectures[i];
    return NULL;
}

static void set(struct config *c, const char *member, json_t *value)
{
    SYS_OK(value, "free memory", "no memory for config.json");
    json_object_set_new(c->root, member, value);
}

/* A whole number of the model; it must be there unless `otherwise` is not negative. */
static int set_whole(struct config *c, const char *member, const char *key, int otherwise)
{
    int value = gguf_model_whole(c->g, key, otherwise);
    if (value < 0)
        problems_add(c->p, c->file, 0, "has no whole number under the key ARCHITECTURE.%s", key);
    else
        set(c, member, json_integer(value));
    return value;
}

/* Where a number is spelled as fp32, the shortest decimals that mean it: 1e-05, not
 * 9.99999975e-06. */
static double as_written(double value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        double back;
        snprintf(text, sizeof text, "%.*e", digits - 1, value);
        sscanf(text, "%lf", &back);
        if ((float)back >= (float)value && (float)back <= (float)value) return back;
    }
    return value;
}

static double real_key(const struct config *c, const char *key, double otherwise)
{
    const struct gguf_value *v = gguf_model_key(c->g, key);
    double value;
    return v && !v->array && gguf_real(v, 0, &value) ? as_written(value) : otherwise;
}

static bool has(const struct config *c, const char *name)
{
    return gguf_tensor(c->g, name) != NULL;
}

/* --- rotary embedding --- */

static struct gguf_text model_text(const struct config *c, const char *key)
{
    const struct gguf_value *v = gguf_model_key(c->g, key);
    struct gguf_text text = {"", 0};
    const unsigned char *cursor = v ? v->at : NULL;
    if (v && !v->array) gguf_text(v, &cursor, &text);
    return text;
}

/* The file holds the divisors themselves; the factor is the last of them. */
static bool is_llama3(const struct gguf_tensor *t, double theta, double *factor)
{
    int half = (int)t->numbers;
    float divisor[256], last;
    if (!t->quant || half < 1 || half > 256) return false;
    quant_read(t->quant, divisor, t->at, 0, (size_t)half);
    last = divisor[half - 1];
    const struct gguf_llama3 published = {(double)last, 1, 4, 8192};
    for (int i = 0; i < half; i++) {
        double want = gguf_llama3_divisor(theta, half, i, &published);
        if (!(fabs((double)divisor[i] - want) <= 1e-4 * want)) return false;
    }
    *factor = as_written((double)last);
    return true;
}

static void set_llama3(struct config *c, const struct gguf_tensor *t, double theta)
{
    double factor;
    if (!is_llama3(t, theta, &factor)) {
        problems_add(c->p, c->file, 0,
                     "tensor \"rope_freqs.weight\": these are not the factors of Llama 3.1's "
                     "scaling, the only one that is read from it");
        return;
    }
    set(c, "rope_scaling",
        json_pack("{s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3", "factor", factor,
                  "low_freq_factor", 1.0, "high_freq_factor", 4.0,
                  "original_max_position_embeddings", 8192));
}

/* Keys of llama.cpp that config.json spells otherwise or not at all. */
static void refuse_other_yarn(struct config *c)
{
    static const struct {
        const char *key;
        double is;
    } rows[] = {{"rope.scaling.yarn_beta_fast", 32}, {"rope.scaling.yarn_beta_slow", 1},
                {"rope.scaling.yarn_ext_factor", 1}, {"rope.scaling.yarn_attn_factor", 1},
                {"rope.scaling.attn_factor", 1},     {"rope.scaling.yarn_log_multiplier", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double value = real_key(c, rows[i].key, rows[i].is);
        if (fabs(value - rows[i].is) > 1e-6)
            problems_add(c->p, c->file, 0, "%s is %g; only %g is read", rows[i].key, value,
                         rows[i].is);
    }
}

/* llama.cpp keeps llama3's scaling as a tensor of divisors and no key tells of it, so the tensor
 * decides before rope.scaling.type. */
static void set_rope(struct config *c)
{
    double theta = real_key(c, "rope.freq_base", 10000);
    int head = gguf_head_size(c->g), rotated = gguf_model_whole(c->g, "rope.dimension_count", head);
    if (rotated != head)
        problems_add(c->p, c->file, 0,
                     "rope.dimension_count is %d of a head's %d: heads that are rotated in part "
                     "are not read",
                     rotated, head);
    set(c, "rope_theta", json_real(theta));
    const struct gguf_tensor *factors = gguf_tensor(c->g, "rope_freqs.weight");
    struct gguf_text kind = model_text(c, "rope.scaling.type");
    if (factors) {
        set_llama3(c, factors, theta);
    } else if (gguf_text_is(kind, "yarn")) {
        int original = gguf_model_whole(c->g, "rope.scaling.original_context_length", 0);
        refuse_other_yarn(c);
        set(c, "rope_scaling",
            json_pack("{s:s, s:f, s:i}", "rope_type", "yarn", "factor",
                      real_key(c, "rope.scaling.factor", 1), "original_max_position_embeddings",
                      original));
    } else if (kind.n > 0 && !gguf_text_is(kind, "none")) {
        problems_add(c->p, c->file, 0, "rope.scaling.type is %.*s; none and yarn are read",
                     kind.n < 40 ? (int)kind.n : 40, kind.at);
    }
}

/* --- the rest --- */

/* The number of key/value heads may be told for each layer; ours are all alike. */
static void set_kv_heads(struct config *c)
{
    const struct gguf_value *v = gguf_model_key(c->g, "attention.head_count_kv");
    int64_t first = 0, next;
    if (!v) return; /* as many as query heads */
    for (uint64_t i = 0; i < v->n; i++) {
        if (!gguf_whole(v, i, &next) || (i > 0 && next != first)) {
            problems_add(c->p, c->file, 0,
                         "attention.head_count_kv differs between layers: not a model of ours");
            return;
        }
        first = next;
    }
    set(c, "num_key_value_heads", json_integer(first));
}

static void set_experts(struct config *c)
{
    int width = gguf_model_whole(c->g, "feed_forward_length", 0);
    set_whole(c, "num_experts", "expert_count", -1);
    set_whole(c, "num_experts_per_tok", "expert_used_count", -1);
    set_whole(c, "moe_intermediate_size", "expert_feed_forward_length", -1);
    set(c, "intermediate_size", json_integer(width));
    set(c, "norm_topk_prob", json_true()); /* as every file of this architecture means it */
    set(c, "decoder_sparse_step", json_integer(1));
}

/* The vocabulary is the embedding's rows: the tokenizer may have fewer tokens. There is no key for
 * a tied head; a file without output.weight has one. */
static void set_sizes(struct config *c)
{
    const struct gguf_tensor *embedding = gguf_tensor(c->g, "token_embd.weight");
    set_whole(c, "hidden_size", "embedding_length", -1);
    set_whole(c, "num_hidden_layers", "block_count", -1);
    set_whole(c, "num_attention_heads", "attention.head_count", -1);
    set_whole(c, "max_position_embeddings", "context_length", -1);
    set_kv_heads(c);
    set(c, "head_dim", json_integer(gguf_head_size(c->g)));
    set(c, "rms_norm_eps", json_real(real_key(c, "attention.layer_norm_rms_epsilon", 1e-6)));
    if (embedding && embedding->dims == 2 && embedding->shape[0] <= INT32_MAX)
        set(c, "vocab_size", json_integer((json_int_t)embedding->shape[0]));
    else
        problems_add(c->p, c->file, 0, "has no tensor token_embd.weight of two dimensions");
    set(c, "tie_word_embeddings", json_boolean(!has(c, "output.weight")));
}

static void set_tokens(struct config *c)
{
    static const char *const keys[][2] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"},
                                          {"tokenizer.ggml.eos_token_id", "eos_token_id"},
                                          {"tokenizer.ggml.padding_token_id", "pad_token_id"}};
    for (int i = 0; i < 3; i++) {
        const struct gguf_value *v = gguf_find(c->g, keys[i][0]);
        int64_t id;
        if (v && gguf_whole(v, 0, &id)) set(c, keys[i][1], json_integer(id));
    }
}

/* Biases have no keys: whether the tensors of the first layer are there tells. Other architectures
 * either always have them or never. */
char *gguf_config_text(const struct gguf *g, const char *file, struct problems *p)
{
    struct config c = {g, file, p, json_object()};
    int before = p->n;
    const struct architecture *a = architecture_of(g);
    struct gguf_text is = gguf_key_text(g, "general.architecture");
    if (!a)
        problems_add(p, file, 0,
                     "its architecture is \"%.*s\"; llama, qwen2, qwen3 and qwen3moe "
                     "are read",
                     is.n < 40 ? (int)is.n : 40, is.at);
    if (a) {
        set(&c, "architectures", json_pack("[s]", a->architecture));
        set(&c, "model_type", json_string(a->model_type));
        set(&c, "hidden_act", json_string("silu"));
        set_sizes(&c);
        set_rope(&c);
        set_tokens(&c);
        if (strcmp(a->name, "qwen3moe") == 0)
            set_experts(&c);
        else
            set_whole(&c, "intermediate_size", "feed_forward_length", -1);
        if (strcmp(a->name, "llama") == 0) {
            set(&c, "attention_bias", json_boolean(has(&c, "blk.0.attn_q.bias")));
            set(&c, "mlp_bias", json_boolean(has(&c, "blk.0.ffn_gate.bias")));
        }
    }
    char *text = p->n == before ? json_dumps(c.root, JSON_INDENT(2)) : NULL;
    json_decref(c.root);
    return text;
}
