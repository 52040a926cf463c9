/* See config.h. */
#include "trainer/checkpoint/hf/config.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct hf_family_row hf_families[HF_FAMILIES] = {
    [HF_LLAMA] = {"LlamaForCausalLM", "llama"},
    [HF_MISTRAL] = {"MistralForCausalLM", "mistral"},
    [HF_QWEN2] = {"Qwen2ForCausalLM", "qwen2"},
    [HF_QWEN3] = {"Qwen3ForCausalLM", "qwen3"},
    [HF_QWEN3_MOE] = {"Qwen3MoeForCausalLM", "qwen3_moe"},
};

/* --- THE table of members --- */

enum {
    LLAMA = 1 << HF_LLAMA,
    MISTRAL = 1 << HF_MISTRAL,
    QWEN2 = 1 << HF_QWEN2,
    QWEN3 = 1 << HF_QWEN3,
    QWEN3_MOE = 1 << HF_QWEN3_MOE,
    QWENS = QWEN2 | QWEN3 | QWEN3_MOE,
    ALL = (1 << HF_FAMILIES) - 1
};

static const struct hf_member MEMBERS[] = {
    {"architectures", ALL, HF_USED, {0}},
    {"vocab_size", ALL, HF_USED, {0}},
    {"hidden_size", ALL, HF_USED, {0}},
    {"intermediate_size", ALL, HF_USED, {0}},
    {"num_hidden_layers", ALL, HF_USED, {0}},
    {"num_attention_heads", ALL, HF_USED, {0}},
    {"num_key_value_heads", ALL, HF_USED, {0}},
    {"head_dim", ALL, HF_USED, {0}},
    {"rms_norm_eps", ALL, HF_USED, {0}},
    {"rope_theta", ALL, HF_USED, {0}},
    {"rope_scaling", ALL, HF_USED, {0}},
    {"rope_parameters", ALL, HF_USED, {0}},
    {"partial_rotary_factor", ALL, HF_USED, {0}},
    {"original_max_position_embeddings", ALL, HF_USED, {0}},
    {"max_position_embeddings", ALL, HF_USED, {0}},
    {"tie_word_embeddings", ALL, HF_USED, {0}},
    {"initializer_range", ALL, HF_USED, {0}},
    {"eos_token_id", ALL, HF_USED, {0}},
    {"attention_bias", ALL & ~MISTRAL, HF_USED, {0}},
    {"mlp_bias", LLAMA, HF_USED, {0}},
    {"num_experts", QWEN3_MOE, HF_USED, {0}},
    {"num_local_experts", QWEN3_MOE, HF_USED, {0}},
    {"num_experts_per_tok", QWEN3_MOE, HF_USED, {0}},
    {"moe_intermediate_size", QWEN3_MOE, HF_USED, {0}},
    {"norm_topk_prob", QWEN3_MOE, HF_USED, {0}},
    {"decoder_sparse_step", QWEN3_MOE, HF_USED, {0}},
    {"mlp_only_layers", QWEN3_MOE, HF_USED, {0}},
    {"layer_types", ALL, HF_USED, {0}},
    {"sliding_window", ALL & ~LLAMA, HF_USED, {0}},
    {"hidden_act", ALL, HF_MUST, {"\"silu\""}},
    {"use_sliding_window", QWENS, HF_MUST, {"false"}},
    {"pretraining_tp", ALL, HF_MUST, {"1"}},
    {"rope_interleaved", ALL, HF_MUST, {"false"}},
    {"quantization_config", ALL, HF_MUST, {"{}"}},
    {"is_decoder", ALL, HF_MUST, {"true", "false"}},
    {"add_cross_attention", ALL, HF_MUST, {"false"}},
    {"is_encoder_decoder", ALL, HF_MUST, {"false"}},
    {"pruned_heads", ALL, HF_MUST, {"{}"}},
    {"max_window_layers", QWENS, HF_PASSED_OVER, {0}}, /* of use_sliding_window, which is false */
    {"attention_dropout", ALL, HF_PASSED_OVER, {0}},   /* training here has none */
    {"router_aux_loss_coef", QWEN3_MOE, HF_PASSED_OVER, {0}}, /* model.balance */
    {"output_router_logits", QWEN3_MOE, HF_PASSED_OVER, {0}},
    {"model_type", ALL, HF_PASSED_OVER, {0}}, /* architectures says it */
    {"bos_token_id", ALL, HF_PASSED_OVER, {0}},
    {"pad_token_id", ALL, HF_PASSED_OVER, {0}},
    {"unk_token_id", ALL, HF_PASSED_OVER, {0}},
    {"sep_token_id", ALL, HF_PASSED_OVER, {0}},
    {"use_cache", ALL, HF_PASSED_OVER, {0}},
    {"torch_dtype", ALL, HF_PASSED_OVER, {0}}, /* every tensor says its own */
    {"dtype", ALL, HF_PASSED_OVER, {0}},
    {"transformers_version", ALL, HF_PASSED_OVER, {0}},
    {"attn_implementation", ALL, HF_PASSED_OVER, {0}},
    {"is_llama_config", ALL, HF_PASSED_OVER, {0}},
    {"transformers.js_config", ALL, HF_PASSED_OVER, {0}},
    {"output_attentions", ALL, HF_PASSED_OVER, {0}},
    {"output_hidden_states", ALL, HF_PASSED_OVER, {0}},
    {"return_dict", ALL, HF_PASSED_OVER, {0}},
    {"return_dict_in_generate", ALL, HF_PASSED_OVER, {0}},
    {"problem_type", ALL, HF_PASSED_OVER, {0}},
    {"id2label", ALL, HF_PASSED_OVER, {0}},
    {"label2id", ALL, HF_PASSED_OVER, {0}},
    {"task_specific_params", ALL, HF_PASSED_OVER, {0}},
    {"chunk_size_feed_forward", ALL, HF_PASSED_OVER, {0}}, /* the same sums in pieces */
    {"torchscript", ALL, HF_PASSED_OVER, {0}},
    {"tf_legacy_loss", ALL, HF_PASSED_OVER, {0}},
    {"use_bfloat16", ALL, HF_PASSED_OVER, {0}},
};
enum { N_MEMBERS = sizeof MEMBERS / sizeof *MEMBERS };

const struct hf_member *hf_member_at(int i)
{
    return i < N_MEMBERS ? &MEMBERS[i] : NULL;
}

static const struct hf_member *member_find(const char *name)
{
    for (int i = 0; i < N_MEMBERS; i++)
        if (strcmp(MEMBERS[i].name, name) == 0) return &MEMBERS[i];
    return NULL;
}

static bool has_value(const struct hf_member *m, const json_t *v)
{
    bool same = json_is_null(v);
    for (int i = 0; i < 2 && m->must[i]; i++) {
        json_t *must = json_loads(m->must[i], JSON_DECODE_ANY, NULL);
        same |= json_equal(must, v);
        json_decref(must);
    }
    return same;
}

static void check_value(struct hf_config *c, const struct hf_member *m, const json_t *v)
{
    if (m->use != HF_MUST || has_value(m, v)) return;
    char *is = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    bool quantised = strcmp(m->name, "quantization_config") == 0;
    hf_complain(c, m->name, "is %.60s; %s%s", is ? is : "?",
                quantised ? "quantised weights are not read: take the folder in bf16, fp16 or fp32"
                          : "this program computes only ",
                quantised ? "" : m->must[0]);
    free(is);
}

/* A member that is not known is refused and not passed over: what it changes in the model would go
 * unnoticed in the numbers. Null means absent. */
static void check_members(struct hf_config *c)
{
    const char *names[N_MEMBERS], *name;
    json_t *v;
    for (int i = 0; i < N_MEMBERS; i++) names[i] = MEMBERS[i].name;
    json_object_foreach(c->root, name, v)
    {
        const struct hf_member *m = member_find(name);
        if (m && m->families & 1u << c->family) {
            check_value(c, m, v);
        } else if (!json_is_null(v) && name[0] != '_') { /* _x: notes of the program that wrote */
            const char *near = m ? NULL : nearest_name(name, names, N_MEMBERS);
            hf_complain(c, name,
                        "unknown member of %s, which may change what the model computes%s%s%s; if "
                        "it does not, remove it from a copy of the file",
                        hf_families[c->family].architecture, near ? " (did you mean " : "",
                        near ? near : "", near ? "?)" : "");
        }
    }
}

/* --- sizes --- */

/* head_dim is hidden / heads unless the file says it; Qwen3 has a default of its own, so there the
 * file must say it. */
static void take_sizes(struct hf_config *c)
{
    const json_t *o = c->root;
    double heads = hf_whole(c, o, "num_attention_heads", NAN),
           hidden = hf_whole(c, o, "hidden_size", NAN);
    double quotient = c->family == HF_QWEN3 ? NAN : floor(hidden / heads);
    hf_take_number(c, "vocabulary", hf_whole(c, o, "vocab_size", NAN), "vocab_size");
    hf_take_number(c, "layers", hf_whole(c, o, "num_hidden_layers", NAN), "num_hidden_layers");
    hf_take_number(c, "hidden", hidden, "hidden_size");
    hf_take_number(c, "ffn", hf_whole(c, o, "intermediate_size", NAN), "intermediate_size");
    hf_take_number(c, "heads", heads, "num_attention_heads");
    if (isnan(heads)) return;
    hf_take_number(c, "kv_heads", hf_whole(c, o, "num_key_value_heads", heads),
                   "num_key_value_heads");
    hf_take_number(c, "head_dim", hf_whole(c, o, "head_dim", quotient), "head_dim");
}

static void take_kinds(struct hf_config *c)
{
    const json_t *o = c->root;
    bool bias = hf_flag(c, o, "attention_bias", false) && c->family != HF_QWEN2;
    hf_take_number(c, "norm_eps", hf_number(c, o, "rms_norm_eps", 1e-6), "rms_norm_eps");
    hf_take_flag(c, "tied", hf_flag(c, o, "tie_word_embeddings", false), "tie_word_embeddings");
    hf_take_flag(c, "qkv_bias", bias || c->family == HF_QWEN2,
                 bias ? "attention_bias" : "architectures");
    hf_take_flag(c, "o_bias", bias, "attention_bias");
    hf_take_flag(c, "mlp_bias", hf_flag(c, o, "mlp_bias", false), "mlp_bias");
    hf_take_flag(c, "qk_norm", c->family == HF_QWEN3 || c->family == HF_QWEN3_MOE, "architectures");
}

/* A choice of the user, not of the file: any that the positions allow. */
static void take_context(struct hf_config *c)
{
    enum { USUAL = 2048 };
    struct model_settings *m = &c->s->model;
    double most = hf_whole(c, c->root, "max_position_embeddings", NAN);
    int line = c->s->lines.model.max_context;
    if (isnan(most)) return;
    if (line == 0) m->max_context = most < USUAL ? (int)most : USUAL;
    if (m->max_context < 16) hf_complain(c, "max_position_embeddings", "is %.0f", most);
    if (m->max_context > most)
        problems_add(c->p, line == LINE_SET ? "--set" : c->s->file, line > 0 ? line : 0,
                     "model.max_context is %d, but %s says max_position_embeddings %.0f: the model "
                     "has no positions beyond",
                     m->max_context, c->file, most);
    if (c->s->lines.model.init_std == 0)
        hf_take_number(c, "init_std", hf_number(c, c->root, "initializer_range", 0.02),
                       "initializer_range");
}

/* --- experts --- */

/* mlp_only_layers: those at the beginning are first_dense, the others a list. */
static void take_dense_layers(struct hf_config *c, const json_t *list)
{
    char text[4096] = "";
    size_t used = 0, n = json_array_size(list);
    int leading = 0;
    if (list && !json_is_null(list) && !json_is_array(list)) n = 1; /* which has no such layer */
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        json_int_t layer = json_is_integer(v) ? json_integer_value(v) : -1;
        if (layer < 0 || layer >= 1 << 20 || used > sizeof text - 16) {
            hf_complain(c, "mlp_only_layers", "is not a list of layers");
            return;
        }
        if (layer == leading)
            leading++;
        else
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%d", used ? "," : "",
                                     (int)layer);
    }
    hf_take_number(c, "first_dense", leading, "mlp_only_layers");
    hf_take_text(c->s, "dense_layers", text, c->file, c->p);
}

/* Newer files say num_local_experts for num_experts. */
static void take_experts(struct hf_config *c)
{
    const json_t *o = c->root;
    if (c->family != HF_QWEN3_MOE) {
        hf_take_number(c, "experts", 0, "architectures");
        return;
    }
    double local = hf_whole(c, o, "num_local_experts", 0);
    hf_take_number(c, "experts", hf_whole(c, o, "num_experts", local > 0 ? local : NAN),
                   "num_experts");
    hf_take_number(c, "experts_active", hf_whole(c, o, "num_experts_per_tok", NAN),
                   "num_experts_per_tok");
    hf_take_number(c, "expert_ffn", hf_whole(c, o, "moe_intermediate_size", NAN),
                   "moe_intermediate_size");
    hf_take_flag(c, "route_norm", hf_flag(c, o, "norm_topk_prob", false), "norm_topk_prob");
    take_dense_layers(c, json_object_get(o, "mlp_only_layers"));
    hf_take_number(c, "expert_step", hf_whole(c, o, "decoder_sparse_step", 1),
                   "decoder_sparse_step");
}

/* --- attention --- */

/* One layer is named, not all that have the same kind. Qwen's sliding_window counts only with
 * use_sliding_window, which is in the table. */
static void check_attention(struct hf_config *c)
{
    const json_t *types = json_object_get(c->root, "layer_types"), *v;
    const json_t *window = json_object_get(c->root, "sliding_window");
    size_t i;
    json_array_foreach(types, i, v)
    {
        const char *type = json_string_value(v);
        if (type && strcmp(type, "full_attention") == 0) continue;
        hf_complain(c, "layer_types",
                    "layer %zu has \"%.60s\"; this program computes only full_attention", i,
                    type ? type : "?");
        break;
    }
    if (types && !json_is_null(types) && !json_is_array(types))
        hf_complain(c, "layer_types", "is not a list");
    if (c->family == HF_MISTRAL && window && !json_is_null(window))
        hf_complain(c, "sliding_window",
                    "is not null; this program computes attention over the whole sequence only");
}

/* --- the whole --- */

/* The family first: which members are known, and what is their default, depends on it. */
static bool find_family(struct hf_config *c)
{
    const json_t *list = json_object_get(c->root, "architectures");
    const char *name = json_string_value(json_array_get(list, 0));
    char all[256] = "";
    for (int i = 0; i < HF_FAMILIES; i++) {
        c->family = (enum hf_family)i;
        if (name && strcmp(name, hf_families[i].architecture) == 0) return true;
        size_t n = strlen(all);
        snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", hf_families[i].architecture);
    }
    if (name)
        hf_complain(c, "architectures", "is \"%.60s\"; this program has %s", name, all);
    else
        hf_complain(c, "architectures",
                    "is missing, or no list of names; it says which model it is");
    return false;
}

/* A name that stands twice is refused: readers differ in which of the two they take. */
static json_t *parse_object(const void *json, size_t n, const char *file, struct problems *p)
{
    json_error_t e;
    json_t *root =
        n > 0 && n <= HF_MOST_CONFIG ? json_loadb(json, n, JSON_REJECT_DUPLICATES, &e) : NULL;
    if (!root && n > 0 && n <= HF_MOST_CONFIG)
        problems_add(p, file, e.line > 0 ? e.line : 0, "not JSON: %s", e.text);
    else if (!root)
        problems_add(p, file, 0, "has %zu bytes; 1 to %d are read", n, HF_MOST_CONFIG);
    else if (!json_is_object(root))
        problems_add(p, file, 0, "is not a JSON object");
    if (json_is_object(root)) return root;
    json_decref(root);
    return NULL;
}

/* --- tokens that end an answer --- */

static bool ids_text(char *text, size_t size, const json_t *v)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 1, used = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX || used > size - 16)
            return false;
        used += (size_t)snprintf(text + used, size - used, "%s%d", i ? "," : "",
                                 (int)json_integer_value(id));
    }
    return true;
}

static void take_ends(struct settings *s, const json_t *root, const char *file, struct problems *p)
{
    char text[512] = "";
    const json_t *v = json_object_get(root, "eos_token_id");
    if (!v || json_is_null(v) || *s->model.end_tokens) return;
    if (ids_text(text, sizeof text, v))
        hf_take_text(s, "end_tokens", text, file, p);
    else
        problems_add(p, file, 0, "eos_token_id: is neither a token's number nor a list of some");
}

bool hf_generation_apply(struct settings *s, const void *json, size_t n, const char *file,
                         struct problems *p)
{
    int before = p->n;
    json_t *root = parse_object(json, n, file, p);
    take_ends(s, root, file, p);
    json_decref(root);
    return p->n == before;
}

/* Goes on after a complaint: all that is wrong with a file is said at once. */
bool hf_config_apply(struct settings *s, const void *json, size_t n, const char *file,
                     struct problems *p)
{
    int before = p->n;
    struct hf_config c = {.root = parse_object(json, n, file, p), .file = file, .s = s, .p = p};
    if (c.root && find_family(&c)) {
        check_members(&c);
        take_sizes(&c);
        take_kinds(&c);
        take_context(&c);
        take_experts(&c);
        check_attention(&c);
        hf_rope_apply(&c);
        take_ends(s, c.root, file, p);
    }
    json_decref(c.root);
    return p->n == before;
}
