/* config.json of a model that was born here: what is written is read back as the same model,
 * setting by setting, or no file is written; biases of attention, some of which are there, come
 * back as all of them (zeros, export.h). Every setting of the model has a row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"
#include "trainer/checkpoint/hf/config.h"
#include "trainer/checkpoint/hf/export.h"
#include "trainer/config/table.h"

enum { TOKENS = 60, END = 7 };

/* config.json of a recipe's model; NULL and a problem. */
static char *config_of(const struct settings *s, struct problems *p)
{
    const struct checkpoint run = {.folder = "run"};
    const struct hf_export x = {.from = &run,
                                .dims = settings_dims(s, TOKENS),
                                .end = {END},
                                .ends = 1,
                                .pad = -1,
                                .dtype = ST_F32};
    return hf_config_text(&x, p);
}

/* The settings that the file leads to, those that are derived included. */
static struct settings read_back(const char *json)
{
    struct settings s = recipe_of(0, "phases: [{kind: sft}]\n");
    struct problems p = {0};
    bool ok =
        hf_config_apply(&s, json, strlen(json), "config.json", &p) && settings_check(&s, 1, &p);
    ck_assert_msg(ok, "%s\n%s", p.text[0], json);
    return s;
}

/* What no config.json says, or not of the model: how it is trained and asked, other files, and the
 * number of tokens, which stands for a vocabulary of 0. */
static const char *const NOT_SAID[] = {"balance",      "tokenizer",   "from",       "end_tokens",
                                       "never_tokens", "rope_angles", "vocabulary", NULL};

static bool is_said(const char *name)
{
    for (int i = 0; NOT_SAID[i]; i++)
        if (strcmp(NOT_SAID[i], name) == 0) return false;
    return true;
}

static void check_same(const struct settings *was, const struct settings *is, const char *model)
{
    struct place a = settings_place(was, SECTION_MODEL, 0),
                 b = settings_place(is, SECTION_MODEL, 0);
    for (int i = 0; i < a.section->n_settings; i++) {
        const struct setting *k = &a.section->settings[i];
        char then[256], now[256];
        setting_text(&a, k, then, sizeof then);
        setting_text(&b, k, now, sizeof now);
        if (is_said(k->name))
            ck_assert_msg(strcmp(then, now) == 0, "{%s}: %s was %s, is read back as %s", model,
                          k->name, then, now);
    }
    ck_assert_str_eq(is->model.end_tokens, "7");
}

/* false: no architecture has it. */
static bool round_trip(const char *model)
{
    struct problems p = {0};
    struct settings was = recipe_of(1, "model: {%s}\nphases: [{kind: sft}]\n", model);
    char *json = config_of(&was, &p);
    if (json) {
        struct settings is = read_back(json);
        if (was.model.qkv_bias || was.model.o_bias) was.model.qkv_bias = was.model.o_bias = true;
        check_same(&was, &is, model);
        ck_assert_int_eq(is.model.vocabulary, was.model.vocabulary ? was.model.vocabulary : TOKENS);
        settings_free(&is);
    } else {
        ck_assert_int_eq(p.n, 1);
        ck_assert_msg(strstr(p.text[0], "no architecture of Hugging Face has this model's mixture"),
                      "%s", p.text[0]);
    }
    problems_free(&p);
    settings_free(&was);
    free(json);
    return json != NULL;
}

#define MOE "qk_norm: true, experts: 6, "
/* A setting and a model in which it is not at its default. */
static const struct row {
    const char *setting, *model;
} ROWS[] = {
    {"layers", "layers: 6"},
    {"hidden", "hidden: 64"},
    {"ffn", "ffn: 80"},
    {"experts", MOE "expert_ffn: 16"},
    {"experts_active", MOE "experts_active: 3"},
    {"expert_ffn", MOE "expert_ffn: 24"},
    {"first_dense", MOE "first_dense: 2"},
    {"expert_step", MOE "expert_step: 2"},
    {"dense_layers", MOE "layers: 8, expert_step: 2, dense_layers: '3,7'"},
    {"route_norm", MOE "route_norm: false"},
    {"balance", MOE "balance: 0.1"},
    {"heads", "heads: 8"},
    {"heads", "hidden: 64, heads: 6, kv_heads: 3, head_dim: 32"}, /* Mistral */
    {"kv_heads", "kv_heads: 2"},
    {"head_dim", "head_dim: 20"},
    {"max_context", "max_context: 100"},
    {"rope_theta", "rope_theta: 12345.678"},
    {"rope_scaling", "rope_scaling: llama3, rope_original: 64, rope_factor: 4"},
    {"rope_factor", "rope_scaling: yarn, rope_original: 64, rope_factor: 2.5"},
    {"rope_original", "rope_scaling: yarn, rope_original: 48"},
    {"rope_low", "rope_scaling: llama3, rope_original: 64, rope_low: 2"},
    {"rope_high", "rope_scaling: llama3, rope_original: 64, rope_high: 7"},
    {"rope_beta_fast", "rope_scaling: yarn, rope_original: 64, rope_beta_fast: 16"},
    {"rope_beta_slow", "rope_scaling: yarn, rope_original: 64, rope_beta_slow: 2"},
    {"rope_truncate", "rope_scaling: yarn, rope_original: 64, rope_truncate: false"},
    {"rope_attention", "rope_scaling: yarn, rope_original: 64, rope_attention: 1.25"},
    {"rope_angles", "rope_angles: fp32"},
    {"norm_eps", "norm_eps: 3e-5"},
    {"init_std", "init_std: 0.0123"},
    {"qkv_bias", "qkv_bias: true"},
    {"o_bias", "o_bias: true"},
    {"mlp_bias", "mlp_bias: true"},
    {"qk_norm", "qk_norm: true"},
    {"tied", "tied: true"},
    {"vocabulary", "vocabulary: 77"},
    {"end_tokens", "end_tokens: '3'"},
    {"never_tokens", "never_tokens: '5'"},
    {"tokenizer", "tokenizer: x.json"},
    {"from", "from: x"},
};
enum { N_ROWS = sizeof ROWS / sizeof *ROWS };

START_TEST(reads_back_as_the_same_model)
{
    ck_assert_msg(round_trip(ROWS[_i].model), "{%s}: not written", ROWS[_i].model);
}
END_TEST

/* The rows above are no list of what somebody thought of. */
START_TEST(every_setting_has_a_row)
{
    const struct section *model = &sections[SECTION_MODEL];
    for (int i = 0; i < model->n_settings; i++) {
        struct settings s;
        bool found = false;
        for (int k = 0; k < N_ROWS; k++) {
            if (strcmp(ROWS[k].setting, model->settings[i].name) != 0) continue;
            s = recipe_of(1, "model: {%s}\nphases: [{kind: sft}]\n", ROWS[k].model);
            struct place at = settings_place(&s, SECTION_MODEL, 0);
            ck_assert_msg(!setting_is_default(&at, &model->settings[i]), "%s", ROWS[k].model);
            settings_free(&s);
            found = true;
        }
        ck_assert_msg(found, "is model.%s written to config.json? Add a row",
                      model->settings[i].name);
    }
}
END_TEST

/* Each mixture of what architectures differ in is written and read back, or refused. */
START_TEST(mixtures)
{
    static const char *const parts[] = {"qkv_bias: true", "o_bias: true", "mlp_bias: true",
                                        "qk_norm: true", "experts: 4"};
    int written = 0;
    for (int mix = 0; mix < 32; mix++) {
        char model[128] = "layers: 2";
        for (int k = 0; k < 5; k++)
            if (mix >> k & 1) {
                size_t n = strlen(model);
                snprintf(model + n, sizeof model - n, ", %s", parts[k]);
            }
        written += round_trip(model);
    }
    /* each mixture of biases of attention: Llama with those of the FFN or without, Qwen3,
     * Qwen3-MoE */
    ck_assert_int_eq(written, 4 * (2 + 1 + 1));
}
END_TEST

#define TESTS(X)                                  \
    X(reads_back_as_the_same_model, .to = N_ROWS) \
    X(every_setting_has_a_row)                    \
    X(mixtures)

UNIT_MAIN("hf_config_write", .timeout_s = 30)
