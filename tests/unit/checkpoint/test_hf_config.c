/* Members of config.json, from the table in trainer/checkpoint/hf/config.c: each does in each
 * family what its row says, and docs/HUGGINGFACE.md lists the same. Runs from the root of the tree.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/file.h"
#include "comm/base/problems.h"
#include "tests/support/check_unit.h"
#include "trainer/checkpoint/hf/config.h"
#include "trainer/config/table.h"

enum { TEXT = 1 << 14 };

/* --- reading a file that was put together --- */

/* The least that a file of this family says. */
static json_t *least(int family)
{
    json_t *o = json_pack("{s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "architectures",
                          hf_families[family].architecture, "vocab_size", 50, "hidden_size", 16,
                          "intermediate_size", 24, "num_hidden_layers", 4, "num_attention_heads", 4,
                          "head_dim", 4, "max_position_embeddings", 64);
    if (family == HF_QWEN3_MOE) {
        json_object_set_new(o, "num_experts", json_integer(4));
        json_object_set_new(o, "num_experts_per_tok", json_integer(2));
        json_object_set_new(o, "moe_intermediate_size", json_integer(8));
    }
    return o;
}

/* Every setting of the model that the file leads to, a line each; problems are the caller's. Takes
 * the file over. */
static void read_file(char out[TEXT], json_t *file, struct problems *p)
{
    struct settings s;
    size_t n = (size_t)snprintf(out, TEXT, "\n");
    char *json = json_dumps(file, 0);
    settings_defaults(&s);
    hf_config_apply(&s, json, strlen(json), "config.json", p);
    struct place at = settings_place(&s, SECTION_MODEL, 0);
    for (int i = 0; i < at.section->n_settings; i++) {
        char text[256];
        setting_text(&at, &at.section->settings[i], text, sizeof text);
        n += (size_t)snprintf(out + n, TEXT - n, "%s: %s\n", at.section->settings[i].name, text);
        ck_assert_uint_lt(n, TEXT);
    }
    settings_free(&s);
    free(json);
    json_decref(file);
}

static json_t *value_of(const char *json)
{
    json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);
    ck_assert_msg(v != NULL, "%s", json);
    return v;
}

/* The least file with one member more. */
static void read_with(char out[TEXT], int family, const char *member, json_t *value,
                      struct problems *p)
{
    json_t *file = least(family);
    json_object_set_new(file, member, value);
    read_file(out, file, p);
}

static void check_refused(struct problems *p, int family, const char *member, const char *why)
{
    bool named = false;
    for (int i = 0; i < p->n; i++)
        named |= strstr(p->text[i], member) != NULL && strstr(p->text[i], why) != NULL;
    ck_assert_msg(named, "%s, %s: no problem names it, of %d: %s", hf_families[family].architecture,
                  member, p->n, p->n ? p->text[0] : "");
    problems_free(p);
}

/* Nothing comes of it. */
static void check_plain(int family, const char *member, json_t *value)
{
    static char base[TEXT], is[TEXT];
    struct problems p = {0};
    char *shown = json_dumps(value, JSON_ENCODE_ANY);
    read_file(base, least(family), &p);
    ck_assert_msg(p.n == 0, "%s", p.n ? p.text[0] : "");
    read_with(is, family, member, value, &p);
    ck_assert_msg(p.n == 0, "%s %s: %s", member, shown, p.n ? p.text[0] : "");
    ck_assert_msg(strcmp(base, is) == 0, "%s %s changes settings:\n%s\n%s", member, shown, base,
                  is);
    free(shown);
}

/* --- the rows --- */

#define FOR_ALL_ROWS(m)                                                    \
    for (const struct hf_member *m = hf_member_at(0), *const first = m; m; \
         m = hf_member_at((int)(m - first) + 1))

START_TEST(of_no_other_family)
{
    static char text[TEXT];
    FOR_ALL_ROWS(m)
    {
        struct problems p = {0};
        if (m->families >> _i & 1) continue;
        read_with(text, _i, m->name, json_integer(1), &p);
        check_refused(&p, _i, m->name, "unknown member of");
        check_plain(_i, m->name, json_null());
    }
}
END_TEST

START_TEST(passed_over)
{
    static const char *const values[] = {"null", "0", "1e-3", "true", "\"x\"", "[]", "{\"a\": 1}"};
    int rows = 0;
    FOR_ALL_ROWS(m)
    {
        if (m->use != HF_PASSED_OVER || !(m->families >> _i & 1)) continue;
        for (size_t k = 0; k < sizeof values / sizeof *values; k++)
            check_plain(_i, m->name, value_of(values[k]));
        rows++;
    }
    ck_assert_int_gt(rows, 20);
}
END_TEST

START_TEST(one_value_only)
{
    static char text[TEXT];
    int rows = 0;
    FOR_ALL_ROWS(m)
    {
        struct problems p = {0};
        if (m->use != HF_MUST || !(m->families >> _i & 1)) continue;
        ck_assert_ptr_nonnull(m->must[0]);
        for (int k = 0; k < 2 && m->must[k]; k++) check_plain(_i, m->name, value_of(m->must[k]));
        check_plain(_i, m->name, json_null());
        read_with(text, _i, m->name, value_of("\"another\""), &p);
        check_refused(&p, _i, m->name, "is \"another\"; ");
        rows++;
    }
    ck_assert_int_gt(rows, 7);
}
END_TEST

START_TEST(what_no_row_has)
{
    static char text[TEXT];
    struct problems p = {0};
    read_with(text, _i, "attn_logit_softcapping", json_real(30), &p);
    check_refused(&p, _i, "attn_logit_softcapping", "unknown member of");
    read_with(text, _i, "hiden_size", json_integer(30), &p);
    check_refused(&p, _i, "hiden_size", "did you mean hidden_size?");
    check_plain(_i, "attn_logit_softcapping", json_null());
    check_plain(_i, "_commit", json_string("a note of who wrote it"));
}
END_TEST

/* --- members that are used --- */

enum { FAMILIES_ALL = (1 << HF_FAMILIES) - 1, MOE = 1 << HF_QWEN3_MOE, QWEN2 = 1 << HF_QWEN2 };
enum { MISTRAL = 1 << HF_MISTRAL, QWENS = QWEN2 | 1 << HF_QWEN3 | MOE };
#define LLAMA3                                                                               \
    "\"type\": \"llama3\", \"factor\": 4, \"low_freq_factor\": 2, \"high_freq_factor\": 8, " \
    "\"original_max_position_embeddings\": 16"
#define YARN "\"rope_type\": \"yarn\", \"factor\": 4"

/* The member among others of a file; `line` of the settings comes of it, and is not there without
 * it. line NULL: it changes nothing; refused: the file is refused for it, with these words. */
static const struct used {
    const char *member;
    unsigned families;
    const char *members, *line, *refused;
} USED[] = {
    {"architectures", FAMILIES_ALL, "\"architectures\": [\"Gemma\"]", NULL, "this program has"},
    {"vocab_size", FAMILIES_ALL, "\"vocab_size\": 70", "vocabulary: 70", NULL},
    {"hidden_size", FAMILIES_ALL, "\"hidden_size\": 32", "hidden: 32", NULL},
    {"intermediate_size", FAMILIES_ALL, "\"intermediate_size\": 40", "ffn: 40", NULL},
    {"num_hidden_layers", FAMILIES_ALL, "\"num_hidden_layers\": 6", "layers: 6", NULL},
    {"num_attention_heads", FAMILIES_ALL, "\"num_attention_heads\": 8", "heads: 8", NULL},
    {"num_key_value_heads", FAMILIES_ALL, "\"num_key_value_heads\": 2", "kv_heads: 2", NULL},
    {"head_dim", FAMILIES_ALL, "\"head_dim\": 10", "head_dim: 10", NULL},
    {"rms_norm_eps", FAMILIES_ALL, "\"rms_norm_eps\": 1e-5", "norm_eps: 1e-05", NULL},
    {"rope_theta", FAMILIES_ALL, "\"rope_theta\": 500000", "rope_theta: 5e+05", NULL},
    {"rope_scaling", FAMILIES_ALL, "\"rope_scaling\": {" YARN "}", "rope_scaling: yarn", NULL},
    {"rope_parameters", FAMILIES_ALL, "\"rope_parameters\": {\"rope_theta\": 7}", "rope_theta: 7",
     NULL},
    {"partial_rotary_factor", FAMILIES_ALL, "\"partial_rotary_factor\": 1.0", NULL, NULL},
    {"partial_rotary_factor", FAMILIES_ALL, "\"partial_rotary_factor\": 0.5", NULL,
     "rotates all of a head's channels"},
    {"original_max_position_embeddings", FAMILIES_ALL,
     "\"rope_scaling\": {" YARN "}, \"original_max_position_embeddings\": 32", "rope_original: 32",
     NULL},
    {"max_position_embeddings", FAMILIES_ALL, "\"max_position_embeddings\": 48", "max_context: 48",
     NULL},
    {"tie_word_embeddings", FAMILIES_ALL, "\"tie_word_embeddings\": true", "tied: true", NULL},
    {"initializer_range", FAMILIES_ALL, "\"initializer_range\": 0.1", "init_std: 0.1", NULL},
    {"eos_token_id", FAMILIES_ALL, "\"eos_token_id\": [3, 4]", "end_tokens: \"3,4\"", NULL},
    {"attention_bias", FAMILIES_ALL & ~(MISTRAL | QWEN2), "\"attention_bias\": true",
     "o_bias: true", NULL},
    {"attention_bias", QWEN2, "\"attention_bias\": true", NULL, NULL}, /* biases it has anyway */
    {"mlp_bias", 1 << HF_LLAMA, "\"mlp_bias\": true", "mlp_bias: true", NULL},
    {"num_experts", MOE, "\"num_experts\": 8", "experts: 8", NULL},
    {"num_local_experts", MOE, "\"num_experts\": null, \"num_local_experts\": 8", "experts: 8",
     NULL},
    {"num_experts_per_tok", MOE, "\"num_experts_per_tok\": 3", "experts_active: 3", NULL},
    {"moe_intermediate_size", MOE, "\"moe_intermediate_size\": 16", "expert_ffn: 16", NULL},
    {"norm_topk_prob", MOE, "\"norm_topk_prob\": true", "route_norm: true", NULL},
    {"decoder_sparse_step", MOE, "\"decoder_sparse_step\": 2", "expert_step: 2", NULL},
    {"mlp_only_layers", MOE, "\"mlp_only_layers\": [0, 2]", "dense_layers: \"2\"", NULL},
    {"mlp_only_layers", MOE, "\"mlp_only_layers\": [0, 2]", "first_dense: 1", NULL},
    {"rope_scaling", FAMILIES_ALL, "\"rope_scaling\": {" LLAMA3 "}", "rope_low: 2", NULL},
    {"rope_scaling", FAMILIES_ALL, "\"rope_scaling\": {" LLAMA3 "}", "rope_high: 8", NULL},
    {"rope_scaling", FAMILIES_ALL, "\"rope_scaling\": {" LLAMA3 "}", "rope_original: 16", NULL},
    {"rope_scaling", FAMILIES_ALL, "\"rope_scaling\": {" LLAMA3 ", \"beta_fast\": 2}", NULL,
     "has a member beta_fast, which \"llama3\" does not have"},
    {"rope_scaling", FAMILIES_ALL, "\"rope_scaling\": {" YARN ", \"beta_fast\": 16}",
     "rope_beta_fast: 16", NULL},
    {"rope_scaling", FAMILIES_ALL, "\"rope_scaling\": {" YARN ", \"beta_slow\": 2}",
     "rope_beta_slow: 2", NULL},
    {"rope_scaling", FAMILIES_ALL, "\"rope_scaling\": {" YARN ", \"truncate\": false}",
     "rope_truncate: false", NULL},
    {"rope_scaling", FAMILIES_ALL, "\"rope_scaling\": {" YARN ", \"attention_factor\": 1.5}",
     "rope_attention: 1.5", NULL},
    {"rope_scaling", FAMILIES_ALL, "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}", NULL,
     "its kind is \"dynamic\""},
    {"rope_parameters", FAMILIES_ALL, "\"rope_parameters\": {" YARN "}", "rope_factor: 4", NULL},
    {"layer_types", FAMILIES_ALL, "\"layer_types\": [\"full_attention\"]", NULL, NULL},
    {"layer_types", FAMILIES_ALL, "\"layer_types\": [\"full_attention\", \"chunked_attention\"]",
     NULL, "layer 1 has \"chunked_attention\""},
    {"sliding_window", MISTRAL, "\"sliding_window\": 4096", NULL, "over the whole sequence only"},
    {"sliding_window", QWENS, "\"sliding_window\": 4096", NULL, NULL}, /* use_sliding_window */
};
enum { N_USED = sizeof USED / sizeof *USED };

static json_t *file_with(int family, const struct used *u)
{
    char text[512];
    json_t *file = least(family);
    snprintf(text, sizeof text, "{%s}", u->members);
    json_t *more = value_of(text);
    ck_assert_ptr_nonnull(json_object_get(more, u->member));
    json_object_update(file, more);
    json_decref(more);
    return file;
}

static void check_used(int family, const struct used *u)
{
    static char with[TEXT], without[TEXT];
    struct problems p = {0};
    char line[64];
    read_file(with, file_with(family, u), &p);
    if (u->refused) {
        check_refused(&p, family, u->member, u->refused);
        return;
    }
    ck_assert_msg(p.n == 0, "%s: %s", u->members, p.n ? p.text[0] : "");
    json_t *file = least(family);
    read_file(without, file, &p);
    ck_assert_msg(u->line || strcmp(with, without) == 0, "%s changes settings", u->members);
    snprintf(line, sizeof line, "\n%s\n", u->line ? u->line : "");
    if (!u->line) return;
    ck_assert_msg(strstr(with, line) != NULL, "%s: no %s in\n%s", u->members, u->line, with);
    ck_assert_msg(strstr(without, line) == NULL, "%s: %s is there without it", u->members, u->line);
}

/* A value of a kind that no member has: an object with a member that none has. */
static void check_kind(int family, const struct used *u)
{
    static char text[TEXT];
    struct problems p = {0};
    if (strcmp(u->member, "sliding_window") == 0 && family != HF_MISTRAL)
        return; /* not looked at */
    json_t *file = file_with(family, u);
    json_object_set_new(file, u->member, value_of("{\"x\": \"y\"}"));
    read_file(text, file, &p);
    check_refused(&p, family, u->member, "");
}

/* A row of the table without one here is a member that no test reads. */
START_TEST(used)
{
    FOR_ALL_ROWS(m)
    {
        unsigned seen = 0;
        for (int k = 0; k < N_USED; k++) {
            const struct used *u = &USED[k];
            if (strcmp(u->member, m->name) != 0) continue;
            seen |= u->families;
            if (!(u->families >> _i & 1)) continue;
            check_used(_i, u);
            check_kind(_i, u);
        }
        ck_assert_msg(
            m->use != HF_USED || seen == m->families,
            "%s is used, but its effect is not told here for all of its families (%x, %x)", m->name,
            seen, m->families);
    }
}
END_TEST

/* --- the page --- */

static char *read_page(void)
{
    char why[FILE_WHY];
    size_t n;
    char *page = file_read("docs/HUGGINGFACE.md", FILE_REGULAR, 1 << 20, &n, why);
    ck_assert_msg(page != NULL, "%s", why);
    return page;
}

/* The paragraph that begins so, without what stands in parentheses. */
static void paragraph(char out[TEXT], const char *page, const char *beginning)
{
    const char *at = strstr(page, beginning), *end = at ? strstr(at, "\n\n") : NULL;
    int depth = 0;
    size_t n = 0;
    ck_assert_msg(at && end, "docs/HUGGINGFACE.md has no paragraph \"%s\"", beginning);
    for (; at < end && n < TEXT - 1; at++) {
        depth += *at == '(';
        if (depth == 0) out[n++] = *at;
        depth -= *at == ')';
    }
    out[n] = 0;
}

/* The names in backticks are those of the rows of this use, each once. */
static void check_list(const char *page, const char *beginning, enum hf_member_use use)
{
    static char text[TEXT];
    int listed = 0, rows = 0;
    paragraph(text, page, beginning);
    FOR_ALL_ROWS(m)
    {
        char name[80];
        snprintf(name, sizeof name, "`%s`", m->name);
        const char *at = strstr(text, name);
        rows += m->use == use;
        ck_assert_msg((at != NULL) == (m->use == use), "docs/HUGGINGFACE.md: %s %s under \"%s\"",
                      m->name, at ? "does not belong" : "is missing", beginning);
        ck_assert_msg(!at || !strstr(at + 1, name), "%s stands twice", name);
    }
    for (const char *at = text; (at = strchr(at, '`')); at = strchr(at + 1, '`') + 1)
        listed += strncmp(at, "`_`", 3) != 0; /* names that begin with _ */
    ck_assert_msg(listed == rows, "docs/HUGGINGFACE.md: %d names under \"%s\", the table has %d",
                  listed, beginning, rows);
}

START_TEST(the_page_lists_the_table)
{
    char *page = read_page();
    check_list(page, "Used: `architectures`", HF_USED);
    check_list(page, "Only one value is computed", HF_MUST);
    check_list(page, "Passed over, because", HF_PASSED_OVER);
    for (int i = 0; i < HF_FAMILIES; i++) {
        char row[64];
        snprintf(row, sizeof row, "\n| `%s` |", hf_families[i].architecture);
        ck_assert_msg(strstr(page, row) != NULL, "docs/HUGGINGFACE.md has no row%s", row + 1);
    }
    free(page);
}
END_TEST

#define TESTS(X)                             \
    X(of_no_other_family, .to = HF_FAMILIES) \
    X(passed_over, .to = HF_FAMILIES)        \
    X(one_value_only, .to = HF_FAMILIES)     \
    X(what_no_row_has, .to = HF_FAMILIES)    \
    X(used, .to = HF_FAMILIES)               \
    X(the_page_lists_the_table)

UNIT_MAIN("hf_config", .timeout_s = 30)
