/* A Hugging Face folder as the keys of a GGUF file: what such a file says of its folder, what
 * folders spell otherwise, folders that llama.cpp has no word for. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/gguf/describe.h"
#include "tests/support/made_gguf.h"

static int64_t whole(const struct gguf *g, const char *key, uint64_t i)
{
    int64_t value;
    const struct gguf_value *v = gguf_find(g, key);
    ck_assert_msg(v && gguf_whole(v, i, &value), "%s", key);
    return value;
}

static void check_text(const struct gguf *g, const char *key, int i, const char *want)
{
    const struct gguf_value *v = gguf_find(g, key);
    ck_assert_msg(v != NULL, "%s", key);
    const unsigned char *cursor = v->at;
    struct gguf_text t = {0};
    for (; i >= 0; i--) ck_assert(gguf_text(v, &cursor, &t));
    ck_assert_uint_eq(t.n, strlen(want));
    ck_assert_mem_eq(t.at, want, t.n);
}

static bool describe(struct gguf_described *d, struct gguf_head *h, const struct gguf_folder *f,
                     struct problems *p)
{
    return gguf_describe(d, h, f, quant_named("bf16"), p);
}

/* What a file says of its folder is what a file made of that folder says. */
START_TEST(folder_and_back)
{
    struct opened o = tiny_llama();
    struct problems p = {0};
    struct gguf_described d;
    char *text[3] = {gguf_config_text(o.g, "f", &p), gguf_tokenizer_text(o.g, "f", &p),
                     gguf_tokenizer_config_text(o.g)};
    struct made m = {.head = gguf_head_new()};
    const struct gguf_folder f = {
        .name = "x", .config = text[0], .tokenizer = text[1], .tokenizer_config = text[2]};
    ck_assert_msg(describe(&d, m.head, &f, &p), "%s", p.n ? p.text[0] : "");
    ck_assert_str_eq(d.architecture, "llama");
    ck_assert(d.heads == 4 && d.kv_heads == 2 && d.head == 4 && d.rope_factors == 0);
    tensor(&m, "token_embd.weight", 2, (const uint64_t[]){262, 8});
    tensor(&m, "blk.0.attn_q.bias", 1, (const uint64_t[]){16});
    struct opened again = done(&m, NULL);
    char *back[3] = {gguf_config_text(again.g, "f", &p), gguf_tokenizer_text(again.g, "f", &p),
                     gguf_tokenizer_config_text(again.g)};
    for (int i = 0; i < 3; i++) {
        ck_assert_str_eq(back[i], text[i]);
        free(back[i]);
        free(text[i]);
    }
    opened_close(&again);
    opened_close(&o);
}
END_TEST

static const char toy_tokenizer[] =
    "{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", "
    "\"individual_digits\": true}, {\"type\": \"ByteLevel\"}]}, \"added_tokens\": [{\"id\": 3, "
    "\"content\": \"<s>\", \"special\": true}], \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": "
    "0, \"b\": 1, \"ab\": 2}, \"merges\": [[\"a\", \"b\"]]}}";
static const char toy_config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 12, \"intermediate_size\": 16, "
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"max_position_embeddings\": 9, "
    "\"vocab_size\": 6, \"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 1e9, "
    "\"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
    "\"original_max_position_embeddings\": 8192}}";

/* Merges as pairs, ids without a token, a special token named by text, single digits, and Llama
 * 3's scaling as a tensor that the reader recognises. */
START_TEST(what_folders_spell_otherwise)
{
    struct problems p = {0};
    struct gguf_described d;
    struct made m = {.head = gguf_head_new()};
    const struct gguf_folder f = {.name = "x",
                                  .config = toy_config,
                                  .tokenizer = toy_tokenizer,
                                  .tokenizer_config = "{\"eos_token\": {\"content\": \"<s>\"}}",
                                  .generation = "{\"bos_token_id\": [2, 1]}",
                                  .chat_template = "t"};
    ck_assert_msg(describe(&d, m.head, &f, &p), "%s", p.n ? p.text[0] : "");
    ck_assert_int_eq(d.rope_factors, 3);
    float values[80] = {[72] = d.rope_factor[0], d.rope_factor[1], d.rope_factor[2]};
    tensor(&m, "token_embd.weight", 2, (const uint64_t[]){6, 12});
    tensor(&m, "rope_freqs.weight", 1, (const uint64_t[]){3});
    struct opened o = done(&m, values);
    static const int type[6] = {1, 1, 1, 3, 5, 5};
    for (uint64_t i = 0; i < 6; i++)
        ck_assert_int_eq(whole(o.g, "tokenizer.ggml.token_type", i), type[i]);
    ck_assert_int_eq(whole(o.g, "tokenizer.ggml.eos_token_id", 0), 3);
    ck_assert_int_eq(whole(o.g, "tokenizer.ggml.bos_token_id", 0), 2);
    check_text(o.g, "tokenizer.ggml.pre", 0, "smollm");
    check_text(o.g, "tokenizer.ggml.merges", 0, "a b");
    check_text(o.g, "tokenizer.ggml.tokens", 5, "[PAD5]");
    check_text(o.g, "tokenizer.chat_template", 0, "t");
    char *back = gguf_tokenizer_text(o.g, "f", &p);
    ck_assert_ptr_nonnull(strstr(back, "<s>"));
    ck_assert_ptr_null(strstr(back, "[PAD")); /* rows without a token have none again */
    free(back);
    json_t *root = config(o.g), *scaling = json_object_get(root, "rope_scaling");
    ck_assert(json_number_value(json_object_get(scaling, "factor")) == 8.0);
    json_decref(root);
    opened_close(&o);
}
END_TEST

/* One member of a folder that llama.cpp has no word for. */
static void check_folder(const char *config_text, const char *tokenizer, const char *want)
{
    struct problems p = {0};
    struct gguf_described d;
    struct gguf_head *h = gguf_head_new();
    const struct gguf_folder f = {.name = "x", .config = config_text, .tokenizer = tokenizer};
    ck_assert(!describe(&d, h, &f, &p));
    ck_assert_msg(strstr(p.text[p.n - 1], want) != NULL, "%s", p.text[p.n - 1]);
    problems_free(&p);
    gguf_head_free(h);
}

START_TEST(folders_without_a_file)
{
    check_folder("{\"architectures\": [\"Gemma2ForCausalLM\"]}", toy_tokenizer,
                 "Gemma2ForCausalLM");
    check_folder("{", toy_tokenizer, "is no JSON");
    check_folder(toy_config, "{\"model\": {\"type\": \"WordLevel\"}}",
                 "tokenizer of this kind (WordLevel)");
    check_folder(toy_config,
                 "{\"pre_tokenizer\": {\"type\": \"Metaspace\"}, \"model\": {\"type\": \"BPE\"}}",
                 "tokenizer of this kind (BPE)");
    check_folder(
        toy_config,
        "{\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"model\": {\"vocab\": {\"a\": 6}}}",
        "token \"a\" has number 6, but the embedding has 6 rows");
}
END_TEST

/* Members that change the model, and that a file has no word for: with them no file is written,
 * though llama.cpp would load it. */
static const struct {
    const char *architecture, *members, *want; /* want NULL: it can be said */
} MEMBERS[] = {
    {"LlamaForCausalLM", "\"attention_bias\": true", NULL},
    {"Qwen3ForCausalLM", "\"attention_bias\": false", NULL},
    {"Qwen3ForCausalLM", "\"attention_bias\": true", "llama.cpp's qwen3 has no biases"},
    {"LlamaForCausalLM",
     "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0, \"beta_fast\": 32, "
     "\"attention_factor\": 1.138629436}",
     NULL},
    {"LlamaForCausalLM", "\"rope_scaling\": {\"type\": \"yarn\", \"beta_fast\": 16}",
     "beta_fast ("},
    {"LlamaForCausalLM", "\"rope_scaling\": {\"type\": \"yarn\", \"beta_slow\": 2}", "beta_slow ("},
    {"LlamaForCausalLM", "\"rope_scaling\": {\"type\": \"yarn\", \"truncate\": false}",
     "truncate ("},
    {"LlamaForCausalLM", "\"rope_scaling\": {\"type\": \"yarn\", \"attention_factor\": 1.5}",
     "attention_factor, mscale ("},
    {"LlamaForCausalLM", "\"rope_scaling\": {\"type\": \"yarn\", \"mscale\": 0.7}",
     "attention_factor, mscale ("},
    {"Qwen3MoeForCausalLM",
     "\"num_local_experts\": 4, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 8, "
     "\"norm_topk_prob\": true, \"mlp_only_layers\": []",
     NULL},
    {"Qwen3MoeForCausalLM",
     "\"num_experts\": 4, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 8, "
     "\"norm_topk_prob\": false",
     "norm_topk_prob (model.route_norm)"},
    {"Qwen3MoeForCausalLM",
     "\"num_experts\": 4, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 8, "
     "\"norm_topk_prob\": true, \"mlp_only_layers\": [0]",
     "experts in every layer"},
};

START_TEST(members_without_a_word)
{
    char text[1024];
    struct problems p = {0};
    struct gguf_described d;
    struct gguf_head *h = gguf_head_new();
    snprintf(text, sizeof text,
             "{\"architectures\": [\"%s\"], \"hidden_size\": 12, \"intermediate_size\": 16, "
             "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"vocab_size\": 6, "
             "\"max_position_embeddings\": 9, %s}",
             MEMBERS[_i].architecture, MEMBERS[_i].members);
    const struct gguf_folder f = {.name = "x", .config = text, .tokenizer = toy_tokenizer};
    ck_assert_int_eq(describe(&d, h, &f, &p), MEMBERS[_i].want == NULL);
    ck_assert_int_eq(p.n, MEMBERS[_i].want != NULL);
    if (p.n > 0) ck_assert_msg(strstr(p.text[0], MEMBERS[_i].want) != NULL, "%s", p.text[0]);
    problems_free(&p);
    gguf_head_free(h);
}
END_TEST

#define TESTS(X)                    \
    X(folder_and_back)              \
    X(what_folders_spell_otherwise) \
    X(folders_without_a_file)       \
    X(members_without_a_word, .to = sizeof MEMBERS / sizeof *MEMBERS)
UNIT_MAIN("gguf of a folder")
