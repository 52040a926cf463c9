/* A GGUF file as a Hugging Face folder: names and the order of rows against llama.cpp's converter
 * (tests/golden/tiny_llama.gguf), sizes, rotary scaling, the tokenizer; what no model of ours has
 * is refused by name. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/gguf/hf.h"
#include "trainer/gguf/keys.h"
#include "tests/support/made_gguf.h"

/* --- tensors --- */

static const char *const folder[] = {"model.embed_tokens.weight",
                                     "model.norm.weight",
                                     "model.layers.0.input_layernorm.weight",
                                     "model.layers.0.post_attention_layernorm.weight",
                                     "model.layers.0.self_attn.q_proj.weight",
                                     "model.layers.0.self_attn.k_proj.weight",
                                     "model.layers.0.self_attn.v_proj.weight",
                                     "model.layers.0.self_attn.q_proj.bias",
                                     "model.layers.0.self_attn.k_proj.bias",
                                     "model.layers.0.self_attn.v_proj.bias",
                                     "model.layers.0.self_attn.o_proj.bias",
                                     "model.layers.0.self_attn.o_proj.weight",
                                     "model.layers.0.mlp.gate_proj.weight",
                                     "model.layers.0.mlp.up_proj.weight",
                                     "model.layers.0.mlp.down_proj.weight"};

START_TEST(every_number_is_where_it_belongs)
{
    struct opened o = tiny_llama();
    struct gguf_names walk = {.g = o.g};
    struct gguf_place at;
    char name[GGUF_NAME];
    int k = 0;
    for (; gguf_next(&walk, name, &at); k++) {
        ck_assert_str_eq(name, folder[k]);
        for (uint64_t from = 0; from < at.numbers;) { /* in pieces that end anywhere */
            float part[7];
            size_t n = at.numbers - from < 7 ? (size_t)(at.numbers - from) : 7;
            gguf_read(&at, part, from, n);
            for (size_t i = 0; i < n; i++)
                ck_assert_msg(part[i] == (float)(k * 1000) + (float)(from + i), "%s[%d]: %g", name,
                              (int)(from + i), (double)part[i]);
            from += n;
        }
    }
    ck_assert_int_eq(k, 15);
    opened_close(&o);
}
END_TEST

START_TEST(names_go_both_ways)
{
    struct opened o = tiny_llama();
    struct gguf_names walk = {.g = o.g};
    struct gguf_place at;
    char name[GGUF_NAME], back[GGUF_NAME];
    int expert;
    enum gguf_heads heads;
    while (gguf_next(&walk, name, &at)) {
        ck_assert(gguf_name_of(back, &expert, &heads, name, "llama"));
        ck_assert_int_eq(expert, -1);
        ck_assert_uint_eq(strlen(back), at.tensor->name.n);
        ck_assert_mem_eq(back, at.tensor->name.at, at.tensor->name.n);
        ck_assert_int_eq(heads != GGUF_PLAIN, at.head > 0);
        ck_assert(gguf_name_of(back, &expert, &heads, name, "qwen2") && heads == GGUF_PLAIN);
    }
    ck_assert(!gguf_name_of(back, &expert, &heads, "model.layers.0.self_attn.w", "llama"));
    ck_assert(!gguf_name_of(back, &expert, &heads, "model.layers.x.mlp.gate.weight", "llama"));
    opened_close(&o);
}
END_TEST

START_TEST(experts_lie_in_one_tensor)
{
    struct made m = make("qwen3moe");
    tensor(&m, "blk.3.ffn_down_exps.weight", 3, (const uint64_t[]){3, 2, 4});
    struct opened o = done(&m, NULL);
    struct gguf_names walk = {.g = o.g};
    struct gguf_place at;
    char name[GGUF_NAME], want[GGUF_NAME];
    for (int e = 0; e < 3; e++) {
        float all[8];
        int expert;
        enum gguf_heads heads;
        ck_assert(gguf_next(&walk, name, &at));
        snprintf(want, sizeof want, "model.layers.3.mlp.experts.%d.down_proj.weight", e);
        ck_assert_str_eq(name, want);
        ck_assert(at.dims == 2 && at.shape[0] == 2 && at.shape[1] == 4 && at.numbers == 8);
        gguf_read(&at, all, 0, 8);
        for (int i = 0; i < 8; i++) ck_assert(all[i] == (float)(8 * e + i));
        ck_assert(gguf_name_of(name, &expert, &heads, want, "qwen3moe") && expert == e);
        ck_assert_str_eq(name, "blk.3.ffn_down_exps.weight");
    }
    ck_assert(!gguf_next(&walk, name, &at));
    opened_close(&o);
}
END_TEST

/* --- config.json --- */

START_TEST(sizes_and_tokens)
{
    static const char want[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_act\": "
        "\"silu\", \"hidden_size\": 8, \"num_hidden_layers\": 1, \"num_attention_heads\": 4, "
        "\"num_key_value_heads\": 2, \"head_dim\": 4, \"rms_norm_eps\": 1e-05, "
        "\"max_position_embeddings\": 512, \"vocab_size\": 262, \"tie_word_embeddings\": true, "
        "\"rope_theta\": 500000.0, \"bos_token_id\": 259, \"eos_token_id\": 260, "
        "\"intermediate_size\": 32, \"attention_bias\": true, \"mlp_bias\": false}";
    struct opened o = tiny_llama();
    json_t *is = config(o.g), *must = json_loads(want, 0, NULL);
    char *shown = json_dumps(is, JSON_SORT_KEYS);
    ck_assert_msg(json_equal(is, must), "%s", shown);
    free(shown);
    json_decref(is);
    json_decref(must);
    opened_close(&o);
}
END_TEST

static void put_embedding(struct made *m)
{
    tensor(m, "token_embd.weight", 2, (const uint64_t[]){3, 8});
}

/* Heads of 6 with theta 1e9 have wave lengths of 2 pi, 2000 pi and 2e6 pi: kept, in between (2048
 * to 8192), divided by the factor. */
START_TEST(llama3_scaling_is_recognised)
{
    double smooth = (8192 / (2000 * acos(-1)) - 1) / 3;
    float values[64] = {[24] = 1, [25] = (float)(1 / ((1 - smooth) / 8 + smooth)), [26] = 8};
    struct made m = make("llama");
    put_sizes(&m, "llama");
    put(&m, "llama", "attention.key_length", 6);
    gguf_put_f32(m.head, "llama.rope.freq_base", 1e9f);
    put_embedding(&m);
    tensor(&m, "rope_freqs.weight", 1, (const uint64_t[]){3});
    struct opened o = done(&m, values);
    json_t *root = config(o.g), *scaling = json_object_get(root, "rope_scaling");
    ck_assert_str_eq(json_string_value(json_object_get(scaling, "rope_type")), "llama3");
    ck_assert(json_number_value(json_object_get(scaling, "factor")) == 8.0);
    json_decref(root);
    opened_close(&o);
}
END_TEST

static void check_refused(struct opened *o, const char *want)
{
    struct problems p = {0};
    char *got = gguf_config_text(o->g, "f.gguf", &p);
    ck_assert_msg(!got && p.n > 0 && strstr(p.text[0], want), "%s", p.n ? p.text[0] : "accepted");
    problems_free(&p);
    opened_close(o);
}

START_TEST(foreign_models_are_refused)
{
    struct made m = make("gemma2");
    struct opened o = done(&m, NULL);
    check_refused(&o, "its architecture is \"gemma2\"");
    m = make("qwen2");
    put_embedding(&m);
    o = done(&m, NULL);
    check_refused(&o, "ARCHITECTURE.embedding_length");
    m = make("qwen2");
    put_sizes(&m, "qwen2");
    put(&m, "qwen2", "rope.dimension_count", 2);
    put_embedding(&m);
    o = done(&m, NULL);
    check_refused(&o, "rope.dimension_count is 2 of a head's 4");
    m = make("qwen2");
    put_sizes(&m, "qwen2");
    gguf_put_text(m.head, "qwen2.rope.scaling.type", text("linear"));
    put_embedding(&m);
    o = done(&m, NULL);
    check_refused(&o, "rope.scaling.type is linear");
    m = make("qwen2");
    put_sizes(&m, "qwen2");
    gguf_put_text(m.head, "qwen2.rope.scaling.type", text("yarn"));
    gguf_put_f32(m.head, "qwen2.rope.scaling.yarn_beta_slow", 1); /* as it is anyway */
    gguf_put_f32(m.head, "qwen2.rope.scaling.yarn_beta_fast", 16);
    put_embedding(&m);
    o = done(&m, NULL);
    check_refused(&o, "rope.scaling.yarn_beta_fast is 16; only 32 is read");
    m = make("llama");
    put_sizes(&m, "llama");
    gguf_put_i32s(m.head, "llama.attention.head_count_kv", (const int32_t[]){2, 1}, 2);
    put_embedding(&m);
    o = done(&m, NULL);
    check_refused(&o, "head_count_kv differs");
    m = make("llama");
    put_sizes(&m, "llama");
    put_embedding(&m);
    tensor(&m, "rope_freqs.weight", 1, (const uint64_t[]){2});
    o = done(&m, NULL);
    check_refused(&o, "not the factors of Llama 3.1's scaling");
}
END_TEST

/* --- tokenizer.json --- */

START_TEST(the_tokenizer)
{
    struct opened o = tiny_llama();
    struct problems p = {0};
    char *made = gguf_tokenizer_text(o.g, "f.gguf", &p);
    ck_assert_ptr_nonnull(made);
    json_t *root = json_loads(made, 0, NULL), *model = json_object_get(root, "model");
    json_t *vocab = json_object_get(model, "vocab"), *added = json_object_get(root, "added_tokens");
    ck_assert_uint_eq(json_object_size(vocab), 262);
    ck_assert_int_eq(json_integer_value(json_object_get(vocab, "\u0120the")), 258);
    ck_assert_int_eq(json_integer_value(json_object_get(vocab, "\u0100")), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(model, "merges")), 3);
    ck_assert(json_is_true(json_object_get(model, "ignore_merges")));
    ck_assert_uint_eq(json_array_size(added), 3);
    ck_assert(json_is_true(json_object_get(json_array_get(added, 1), "special")));
    ck_assert(json_is_false(json_object_get(json_array_get(added, 2), "special")));
    json_t *steps = json_object_get(json_object_get(root, "pre_tokenizer"), "pretokenizers");
    const char *pattern = json_string_value(
        json_object_get(json_object_get(json_array_get(steps, 0), "pattern"), "Regex"));
    ck_assert_str_eq(pattern,
                     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
                     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+");
    json_decref(root);
    free(made);
    made = gguf_tokenizer_config_text(o.g);
    root = json_loads(made, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(root, "eos_token")), "<|end|>");
    ck_assert_str_eq(json_string_value(json_object_get(root, "chat_template")), "{{ messages }}");
    ck_assert(json_is_true(json_object_get(root, "add_bos_token")));
    json_decref(root);
    free(made);
    opened_close(&o);
}
END_TEST

static void check_tokenizer(const char *model, const char *pre, const struct gguf_text *tokens,
                            int n, const char *want)
{
    struct made m = make("llama");
    gguf_put_text(m.head, "tokenizer.ggml.model", text(model));
    if (pre) gguf_put_text(m.head, "tokenizer.ggml.pre", text(pre));
    if (tokens) gguf_put_texts(m.head, "tokenizer.ggml.tokens", tokens, (uint64_t)n);
    struct opened o = done(&m, NULL);
    struct problems p = {0};
    char *got = gguf_tokenizer_text(o.g, "f.gguf", &p);
    ck_assert_msg(!got && p.n > 0 && strstr(p.text[0], want), "%s", p.n ? p.text[0] : "accepted");
    problems_free(&p);
    opened_close(&o);
}

START_TEST(foreign_tokenizers_are_refused)
{
    const struct gguf_text twice[] = {{"a", 1}, {"b", 1}, {"a", 1}}, bytes[] = {{"\xff", 1}};
    check_tokenizer("llama", NULL, NULL, 0, "of kind \"llama\"");
    check_tokenizer("gpt2", NULL, NULL, 0, "tokenizer.ggml.pre is \"\"");
    check_tokenizer("gpt2", "tekken", NULL, 0, "tokenizer.ggml.pre is \"tekken\"");
    check_tokenizer("gpt2", "qwen2", NULL, 0, "has no tokens");
    check_tokenizer("gpt2", "qwen2", twice, 3, "\"a\" is there twice");
    check_tokenizer("gpt2", "qwen2", bytes, 1, "token 0 is not UTF-8");
    check_tokenizer("gpt2", "qwen2", twice, 2, "has no merges");
}
END_TEST

#define TESTS(X)                        \
    X(every_number_is_where_it_belongs) \
    X(names_go_both_ways)               \
    X(experts_lie_in_one_tensor)        \
    X(sizes_and_tokens)                 \
    X(llama3_scaling_is_recognised)     \
    X(foreign_models_are_refused)       \
    X(the_tokenizer)                    \
    X(foreign_tokenizers_are_refused)
UNIT_MAIN("gguf as a folder")
