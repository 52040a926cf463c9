/* config.json for a model that was born here (export.h). */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/config.h"
#include "trainer/checkpoint/hf/export.h"
#include "trainer/checkpoint/hf/side_files.h"

bool hf_was_imported(const struct hf_export *x)
{
    return attachments_find(&x->from->files, HF_SIDE_PREFIX "config.json") != NULL;
}

struct dims hf_export_dims(const struct hf_export *x)
{
    struct dims d = x->dims;
    if (!hf_was_imported(x) && (d.qkv_bias || d.o_bias)) d.qkv_bias = d.o_bias = true;
    return d;
}

/* HF_FAMILIES: none. Qwen2 is none for a model born here: transformers 5 gives it Qwen's tokenizer,
 * whatever stands in tokenizer_config.json. Its Llama wants heads to divide the hidden size, even
 * where head_dim is given; Mistral is the same model without biases. */
static enum hf_family family_of(const struct dims *d)
{
    bool bias = d->qkv_bias || d->o_bias || d->mlp_bias;
    if (d->qk_norm && !d->mlp_bias) return d->E > 0 ? HF_QWEN3_MOE : HF_QWEN3;
    if (d->E > 0 || d->qk_norm) return HF_FAMILIES;
    if (d->C % d->Hq == 0) return HF_LLAMA;
    return bias ? HF_FAMILIES : HF_MISTRAL;
}

static const char *dtype_name(enum st_dtype d)
{
    return d == ST_BF16 ? "bfloat16" : d == ST_F16 ? "float16" : "float32";
}

/* A number that is a float here: the shortest decimals that mean it, as the recipe had them. */
static json_t *real_of(float x)
{
    double back = (double)x;
    for (int digits = 1; digits <= 9; digits++) {
        char text[40];
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        back = strtod(text, NULL);
        if ((float)back >= x && (float)back <= x) break;
    }
    return json_real(back);
}

/* attention_factor is left out where it follows from the factor: readers compute it themselves. */
static json_t *rope_json(const struct dims *d)
{
    const struct rope *r = &d->rope;
    if (r->scaling == ROPE_NONE) return json_null();
    json_t *o =
        json_pack("{s:s, s:o, s:i}", "rope_type", r->scaling == ROPE_LLAMA3 ? "llama3" : "yarn",
                  "factor", json_real(r->factor), "original_max_position_embeddings", r->original);
    if (r->scaling == ROPE_LLAMA3) {
        json_object_set_new(o, "low_freq_factor", json_real(r->low));
        json_object_set_new(o, "high_freq_factor", json_real(r->high));
        return o;
    }
    json_object_set_new(o, "beta_fast", json_real(r->fast));
    json_object_set_new(o, "beta_slow", json_real(r->slow));
    json_object_set_new(o, "truncate", json_boolean(r->whole));
    if (r->attention > 0) json_object_set_new(o, "attention_factor", json_real(r->attention));
    return o;
}

static void put_experts(json_t *o, const struct dims *d)
{
    const struct expert_layers *e = &d->expert_layers;
    json_t *dense = json_array();
    int step = e->step > 1 ? e->step : 1;
    for (int i = 0; i < d->L; i++)
        if (!dims_moe(d, i) && (i + 1) % step == 0) json_array_append_new(dense, json_integer(i));
    json_object_set_new(o, "num_experts", json_integer(d->E));
    json_object_set_new(o, "num_experts_per_tok", json_integer(d->K));
    json_object_set_new(o, "moe_intermediate_size", json_integer(d->Fe));
    json_object_set_new(o, "norm_topk_prob", json_boolean(d->route_norm));
    json_object_set_new(o, "decoder_sparse_step", json_integer(step));
    json_object_set_new(o, "mlp_only_layers", dense);
}

static void put_token(json_t *o, const char *name, int id)
{
    json_object_set_new(o, name, id >= 0 ? json_integer(id) : json_null());
}

/* A number or, of several, a list: both are read everywhere. */
static void put_ends(json_t *o, const struct hf_export *x)
{
    if (x->ends < 2) {
        put_token(o, "eos_token_id", x->ends ? x->end[0] : -1);
        return;
    }
    json_t *all = json_array();
    for (int i = 0; i < x->ends; i++) json_array_append_new(all, json_integer(x->end[i]));
    json_object_set_new(o, "eos_token_id", all);
}

static char *json_text(json_t *o)
{
    char *text = json_dumps(o, JSON_INDENT(2));
    json_decref(o);
    SYS_OK(text, "free memory", "no memory for a configuration");
    return text;
}

/* mlp_bias is Llama's alone, and Mistral has no biases; without its sliding_window transformers
 * takes one of 4,096 tokens. */
char *hf_config_text(const struct hf_export *x, struct problems *p)
{
    const struct dims written = hf_export_dims(x), *d = &written;
    enum hf_family family = family_of(d);
    if (family == HF_FAMILIES) {
        problems_add(p, x->from->folder, 0,
                     "no architecture of Hugging Face has this model's mixture of biases, qk_norm, "
                     "heads and experts: with experts qk_norm is needed, mlp_bias goes with "
                     "neither, and without qk_norm biases want heads to divide hidden");
        return NULL;
    }
    json_t *o = json_pack(
        "{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:i, s:o, s:o, s:o, s:o, s:b, s:s, "
        "s:b, s:f}",
        "architectures", hf_families[family].architecture, "model_type",
        hf_families[family].model_type, "vocab_size", d->V, "hidden_size", d->C,
        "intermediate_size", d->F, "num_hidden_layers", d->L, "num_attention_heads", d->Hq,
        "num_key_value_heads", d->Hkv, "head_dim", d->D, "hidden_act", "silu",
        "max_position_embeddings", d->max_context, "rms_norm_eps", real_of(d->norm_eps),
        "rope_theta", real_of(d->rope_theta), "rope_scaling", rope_json(d), "initializer_range",
        real_of(d->init_std), "tie_word_embeddings", d->tied, "torch_dtype", dtype_name(x->dtype),
        "use_cache", 1, "attention_dropout", 0.0);
    SYS_OK(o, "free memory", "no memory for a configuration");
    if (family == HF_MISTRAL)
        json_object_set_new(o, "sliding_window", json_null());
    else
        json_object_set_new(o, "attention_bias", json_boolean(d->qkv_bias));
    if (family == HF_LLAMA) json_object_set_new(o, "mlp_bias", json_boolean(d->mlp_bias));
    if (d->qk_norm) json_object_set_new(o, "use_sliding_window", json_false());
    if (family == HF_QWEN3_MOE) put_experts(o, d);
    put_ends(o, x);
    put_token(o, "pad_token_id", x->pad);
    put_token(o, "bos_token_id", -1);
    return json_text(o);
}

char *hf_config_with_dtype(const char *json, size_t n, enum st_dtype dtype)
{
    json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
    SYS_OK(o, "free memory", "no memory for a configuration");
    const char *name = json_object_get(o, "dtype") ? "dtype" : "torch_dtype";
    json_object_set_new(o, name, json_string(dtype_name(dtype)));
    return json_text(o);
}

char *hf_generation_text(const struct hf_export *x)
{
    json_t *o = json_object();
    put_ends(o, x);
    put_token(o, "pad_token_id", x->pad);
    return json_text(o);
}

char *hf_tokenizer_config_text(const struct hf_export *x)
{
    json_t *o =
        json_pack("{s:s, s:i, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                  "model_max_length", x->dims.max_context, "clean_up_tokenization_spaces", 0);
    if (x->ends > 0) json_object_set_new(o, "eos_token", json_string(x->end_text));
    if (x->pad >= 0) json_object_set_new(o, "pad_token", json_string("<pad>"));
    return json_text(o);
}
