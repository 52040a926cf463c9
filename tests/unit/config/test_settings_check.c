/* What settings mean together: zeros resolved, contradictions refused, all at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/config/settings.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"

/* The settings of a recipe written as printf does, checked for that many ranks: exactly `problems`
 * mistakes are found, the first of which holds `message` (NULL: not looked at). settings_free. */
__attribute__((format(printf, 5, 6))) static void expect(struct settings *s, int ranks,
                                                         int problems, const char *message,
                                                         const char *format, ...)
{
    char yaml[256];
    struct problems p = {0};
    va_list values;
    va_start(values, format);
    vsnprintf(yaml, sizeof yaml, format, values);
    va_end(values);
    ck_assert_msg(recipe_parse(s, yaml, &p), "%s: %s", yaml, p.n ? p.text[0] : "?");
    bool ok = settings_check(s, ranks, &p);
    ck_assert_int_eq(ok, problems == 0);
    ck_assert_msg(p.n == problems, "%s: %d problems, the first: %s", yaml, p.n,
                  p.n ? p.text[0] : "");
    if (message) ck_assert_msg(strstr(p.text[0], message) != NULL, "%s: %s", yaml, p.text[0]);
    problems_free(&p);
}

/* The same, of which nothing else is looked at. */
#define EXPECT(ranks, problems, message, ...)                     \
    do {                                                          \
        struct settings settings;                                 \
        expect(&settings, ranks, problems, message, __VA_ARGS__); \
        settings_free(&settings);                                 \
    } while (0)

START_TEST(check_resolves_zeros)
{
    struct settings s;
    struct problems p = {0};
    ck_assert(
        recipe_parse(&s,
                     "model: {hidden: 100, heads: 5}\nmesh: {pp: 2}\nphases: [{kind: sft}, {kind: "
                     "grpo}, {kind: grpo}]\n",
                     &p));
    ck_assert_msg(settings_check(&s, 6, &p), "%s", p.n ? p.text[0] : "");
    ck_assert_int_eq(s.model.ffn, 272); /* 266.7 up to a multiple of 8 */
    ck_assert_int_eq(s.model.kv_heads, 5);
    ck_assert_int_eq(s.model.head_dim, 20);
    ck_assert_int_eq(s.mesh.dp, 3);
    ck_assert_int_eq(s.run.schedule, SCHEDULE_AUTO); /* settled when V is known: schedule_choose */
    ck_assert_str_eq(s.phases[0].name, "sft");
    ck_assert_str_eq(s.phases[2].name, "grpo2");
    struct dims d = settings_dims(&s, 99);
    ck_assert_int_eq(d.V, 99);
    ck_assert_int_eq(d.F, 272);
    ck_assert_int_eq(d.D, 20);
    ck_assert_int_eq(d.precision, PRECISION_BF16);
    settings_free(&s);
}
END_TEST

/* Values that are each in their range, and what they make together or with what is left at its
 * default. */
START_TEST(phases_make_sense)
{
    static const struct {
        const char *phase, *message; /* message NULL: nothing is wrong */
    } rows[] = {
        {"kind: grpo, prompts: 2, mini_batches: 2", NULL},
        {"kind: grpo, prompts: 2, mini_batches: 3", "mini_batches 3 split the step by prompts"},
        {"kind: grpo, prompts: 2, mini_batches: 32", "use 1 to 2"},
        {"kind: eval, temperature: 0", NULL},
        {"kind: eval, temperature: 0.001", NULL},
        {"kind: eval, temperature: 1e-300", "neither 0 (greedy) nor at least 0.001"},
        {"kind: sft, grad_clip: 1e-300", "neither 0 (no clipping) nor at least 1e-06"},
        {"kind: sft, max_new: 8", "sft: max_new has no effect without eval_every"},
        {"kind: sft, max_new: 8, eval_every: 5", NULL},
        {"kind: sft, max_new: 8, eval_every: 0", NULL},
        {"kind: sft, max_new: 128", NULL}, /* as a resolved recipe says */
        {"kind: grpo, eval_prompts: 3", "eval_prompts has no effect without eval_every"},
        {"kind: sft, lr_final: 0.5", "lr_final has no effect without lr_decay"},
        {"kind: grpo, gate_neg: 2", "gate_neg has no effect without policy_loss"},
        {"kind: grpo, kl_estimator: k2", "kl_estimator has no effect without kl"},
        {"kind: grpo, algorithm: cispo, dual_clip: 3", "dual_clip bounds the losses clip and gspo"},
        {"kind: eval, prompts: 1048576, samples: 4096", "too many for a step"},
        {"kind: grpo, prompts: 65536, samples: 128", "too many for a step"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        EXPECT(1, rows[i].message != NULL, rows[i].message,
               "model: {max_context: 2048}\ndata: {micro_batch_tokens: 2048}\nphases: [{%s}]\n",
               rows[i].phase);
    struct settings s;
    struct problems p = {0};
    ck_assert(!recipe_parse(&s, "phases: [{kind: eval, save_tokens: true}]\n", &p));
    ck_assert_ptr_nonnull(strstr(p.text[0], "save_tokens is not used by the phase kind eval"));
    settings_free(&s);
    problems_free(&p);
}
END_TEST

START_TEST(cache_has_room_for_one)
{
    static const struct {
        const char *mesh;
        int ranks;
        const char *message; /* NULL: none */
    } rows[] = {
        {"cache_tokens: 0", 1, NULL},
        {"cache_tokens: 111", 1, "cache_tokens 111: max_context 96 needs at least 112, so that"},
        {"cache_tokens: 112", 1, NULL},
        {"pp: 2, cache_tokens: 223", 2, "needs at least 224 in the two directions"},
        {"pp: 2, cache_tokens: 224", 2, NULL},
        {"pp: 2, directions: 1, cache_tokens: 112", 2, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        EXPECT(rows[i].ranks, rows[i].message != NULL, rows[i].message,
               "model: {max_context: 96}\nmesh: {%s}\nphases: [{kind: eval, max_new: 9}]\n",
               rows[i].mesh);
}
END_TEST

START_TEST(experts_are_checked)
{
    static const struct {
        const char *model;
        int expert_ffn;
        const char *message; /* NULL: none */
    } rows[] = {
        {"experts: 8, ffn: 344", 176, NULL},
        {"experts: 8, ffn: 344, expert_ffn: 64, first_dense: 3", 64, NULL},
        {"experts: 2, experts_active: 3", 0, "experts_active 3 is more than experts 2"},
        {"experts: 2, first_dense: 4", 0,
         "first_dense 4 makes all 4 layers dense, so that none has the 2 experts"},
        {"experts_active: 9, first_dense: 9", 0, NULL}, /* no experts: of no account */
        {"experts: 2, expert_step: 2, dense_layers: '1', ffn: 16", 8, NULL}, /* layer 3 alone */
        {"experts: 2, expert_step: 2, dense_layers: '1,3'", 0, "\"1,3\" make all 4 layers dense"},
        {"experts: 2, expert_step: 5", 0, "make all 4 layers dense"},
        {"experts: 2, dense_layers: '0,4'", 0, "no layer 4, layers are numbered 0 to 3"},
        {"experts: 2, dense_layers: '0;1'", 0, "\"0;1\" is not a list of layers like 3,11"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct settings s;
        expect(&s, 1, rows[i].message != NULL, rows[i].message,
               "model: {%s}\nphases: [{kind: sft}]\n", rows[i].model);
        if (!rows[i].message) ck_assert_int_eq(s.model.expert_ffn, rows[i].expert_ffn);
        settings_free(&s);
    }
}
END_TEST

/* Every number that bends the rotary embedding needs the kind that uses it. */
START_TEST(rope_is_checked)
{
    static const struct {
        const char *model;
        int problems;
        const char *message;
    } rows[] = {
        {"rope_scaling: llama3, rope_original: 64, rope_factor: 8, rope_low: 2", 0, NULL},
        {"rope_scaling: yarn, rope_original: 64, rope_truncate: false", 0, NULL},
        {"rope_factor: 8", 1, "rope_factor has no effect without rope_scaling llama3 or yarn: set"},
        {"rope_original: 8, rope_low: 2, rope_beta_fast: 3, rope_attention: 2", 4,
         "rope_original has no effect without rope_scaling llama3 or yarn"},
        {"rope_scaling: llama3, rope_original: 8, rope_truncate: false", 1,
         "rope_truncate has no effect without rope_scaling yarn: set"},
        {"rope_scaling: yarn, rope_original: 8, rope_high: 5", 1,
         "rope_high has no effect without rope_scaling llama3: set"},
        {"rope_scaling: yarn", 1, "rope_scaling needs rope_original"},
        {"rope_scaling: llama3, rope_original: 8, rope_low: 4", 1, "4 is not below rope_high 4"},
        {"rope_scaling: yarn, rope_original: 8, rope_beta_fast: 1", 1,
         "not below rope_beta_fast 1"},
        {"rope_scaling: yarn, rope_original: 8, rope_theta: 1", 1, "needs a rope_theta above 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        EXPECT(1, rows[i].problems, rows[i].message, "model: {%s}\nphases: [{kind: sft}]\n",
               rows[i].model);
}
END_TEST

/* They reach the model; yarn's factor of cosines is 0.1 ln(factor) + 1 unless it is given. */
START_TEST(rope_becomes_dims)
{
    struct settings s;
    struct problems p = {0};
    ck_assert(
        recipe_parse(&s,
                     "model: {layers: 70, experts: 2, expert_step: 3, first_dense: 2, "
                     "dense_layers: '68,5', o_bias: true, rope_scaling: yarn, rope_factor: 40, "
                     "rope_original: 4096, rope_beta_fast: 30, rope_beta_slow: 2, rope_truncate: "
                     "false, rope_angles: fp32}\nphases: [{kind: sft}]\n",
                     &p));
    ck_assert(settings_check(&s, 1, &p));
    struct dims d = settings_dims(&s, 99);
    ck_assert(d.o_bias && !d.mlp_bias && !d.qkv_bias);
    ck_assert(d.rope.scaling == ROPE_YARN && d.rope.angles == ROPE_FP32 && !d.rope.whole);
    ck_assert_double_eq(d.rope.factor, 40);
    ck_assert_int_eq(d.rope.original, 4096);
    ck_assert(d.rope.fast == 30 && d.rope.slow == 2 && d.rope.low == 1 && d.rope.high == 4);
    ck_assert_double_eq_tol(d.rope.attention, 1.3688879, 5e-8);
    for (int layer = 0; layer < 70; layer++)
        ck_assert_int_eq(dims_moe(&d, layer), layer % 3 == 2 && layer != 5 && layer != 68);
    settings_free(&s);
}
END_TEST

/* Every reason why experts cannot be shared, at once. */
START_TEST(shared_experts_are_checked)
{
    static const struct {
        const char *yaml;
        int problems;
        const char *has[2];
    } rows[] = {
        {"model: {experts: 8}\nmesh: {ep: 2, pp: 2}", 0, {0}},
        {"mesh: {ep: 2}", 1, {"ep 2 shares out experts, but the model has none"}},
        {"model: {experts: 9}\nmesh: {ep: 2, dp: 4, pp: 2}", 1, {"ep 2 does not divide the 9"}},
        {"model: {experts: 8}\nmesh: {ep: 3}", 2, {"ep 3 does not divide the 8", "divide dp 8"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct settings s;
        struct problems p = {0};
        char yaml[160];
        snprintf(yaml, sizeof yaml, "%s\nphases: [{kind: sft}]\n", rows[i].yaml);
        ck_assert(recipe_parse(&s, yaml, &p));
        settings_check(&s, 8, &p);
        ck_assert_msg(p.n == rows[i].problems, "%s: %d problems, the first: %s", yaml, p.n,
                      p.n ? p.text[0] : "");
        for (int k = 0; k < 2 && rows[i].has[k]; k++)
            ck_assert_ptr_nonnull(strstr(p.text[k], rows[i].has[k]));
        problems_free(&p);
        settings_free(&s);
    }
}
END_TEST

/* Sites share the ranks evenly; what is said of a mesh is said of one of them. */
START_TEST(sites_are_checked)
{
    static const struct {
        const char *yaml;
        int ranks, problems;
        const char *has;
    } rows[] = {
        {"mesh: {sites: 2, pp: 2}", 8, 0, NULL},
        {"mesh: {sites: 2, pp: 2}\nsites: {every: 2, delay: 1, wire: int8}", 4, 0, NULL},
        {"mesh: {sites: 3, dp: 2}", 8, 1,
         "sites 3 does not divide 8 ranks: all sites need the same number of ranks; start with "
         "mpirun -np 6"},
        {"mesh: {sites: 5}", 4, 1, "mpirun -np 5"},
        {"mesh: {sites: 2, pp: 2}", 6, 1,
         "does not divide 3 ranks of a site: start with mpirun -np 4"},
        {"mesh: {sites: 2, dp: 2, pp: 2}", 4, 1, "needs 4 ranks, not 2: start with mpirun -np 8"},
        {"mesh: {sites: 2}\nsites: {delay: 50}", 2, 1,
         "r.yaml:2: delay 50 is not less than every 50"},
        {"mesh: {sites: 2}\nsites: {every: 1}", 2, 1, "r.yaml:2: delay 1 is not less than every 1"},
        {"mesh: {sites: 2, tp: 2}\nsites: {wire: int8}", 4, 0, NULL},
        {"sites: {delay: 50}", 2, 0, NULL}, /* one site: of no account */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        EXPECT(rows[i].ranks, rows[i].problems, rows[i].has, "%s\nphases: [{kind: sft}]\n",
               rows[i].yaml);
}
END_TEST

START_TEST(schedule_auto)
{
    static const struct {
        int pp, directions, schedule;
    } rows[] = {{1, 2, SCHEDULE_SERIAL},
                {2, 2, SCHEDULE_AUTO}, /* settled when V is known: schedule_choose */
                {3, 2, SCHEDULE_AUTO},
                {4, 1, SCHEDULE_AUTO}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct settings s;
        struct problems p = {0};
        ck_assert(recipe_parse(&s, "phases: [{kind: sft}]\n", &p));
        s.mesh.pp = rows[i].pp;
        s.mesh.directions = rows[i].directions;
        ck_assert(settings_check(&s, rows[i].pp, &p));
        ck_assert_int_eq(s.run.schedule, rows[i].schedule);
        settings_free(&s);
    }
}
END_TEST

START_TEST(splits)
{
    static const struct {
        const char *split;
        int schedule, pp;
        const char *said[3];
    } rows[] = {
        {"3,2,2,1", SCHEDULE_1F1B, 4, {NULL}},
        {"8", SCHEDULE_SERIAL, 1, {NULL}},
        {"1,1,1,1,1,1,1,1", SCHEDULE_DUALPIPEV, 4, {NULL}},
        {"", SCHEDULE_DUALPIPEV, 4, {NULL}},
        {"",
         SCHEDULE_DUALPIPEV,
         5,
         {"r.yaml: the schedule dualpipev has two chunks a stage, so pp 5 needs at least 10 "
          "layers"}},
        {"3,2,2,1",
         SCHEDULE_DUALPIPEV,
         4,
         {"--set: split 3,2,2,1 has 4 numbers, but pp 4 makes 8"}},
        {"9,0",
         SCHEDULE_1F1B,
         4,
         {"--set: split 9,0 has 2 numbers, but pp 4 makes 4 chunks",
          "--set: split 9,0 adds up to 9, but layers is 8",
          "--set: split 9,0: every chunk needs at least one"}},
        {"4,4,", SCHEDULE_1F1B, 2, {"--set: split \"4,4,\" is not a list of numbers like 3,2,2,1"}},
        {"4;4", SCHEDULE_1F1B, 2, {"--set: split \"4;4\" is not a list"}},
        {"-4,12", SCHEDULE_1F1B, 2, {"--set: split \"-4,12\" is not a list"}},
        {"99999999999,1", SCHEDULE_1F1B, 2, {"--set: split \"99999999999,1\" is not a list"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char set[64];
        int n = 0;
        struct settings s;
        struct problems p = {0};
        snprintf(set, sizeof set, "mesh.split=%s", rows[i].split);
        ck_assert(recipe_parse(&s, "model: {layers: 8}\nphases: [{kind: sft}]\n", &p));
        if (*rows[i].split) ck_assert(settings_set(&s, set, &p));
        s.run.schedule = rows[i].schedule;
        s.mesh.pp = rows[i].pp;
        settings_check(&s, rows[i].pp, &p);
        for (; n < 3 && rows[i].said[n]; n++)
            ck_assert_msg(n < p.n &&
                              strncmp(p.text[n], rows[i].said[n], strlen(rows[i].said[n])) == 0,
                          "%s: %s", rows[i].split, n < p.n ? p.text[n] : "nothing");
        ck_assert_msg(p.n == n, "%s: %s", rows[i].split, p.n > n ? p.text[n] : "");
        problems_free(&p);
        settings_free(&s);
    }
}
END_TEST

START_TEST(contradictions_at_once)
{
    static const char *const yaml = "schedule: dualpipe\n"
                                    "model:\n"
                                    "  heads: 6\n"
                                    "  kv_heads: 4\n"
                                    "  hidden: 54\n"
                                    "  layers: 2\n"
                                    "mesh:\n"
                                    "  dp: 2\n"
                                    "  pp: 3\n"
                                    "data:\n"
                                    "  file: x.jsonl\n"
                                    "  micro_batch_tokens: 100\n"
                                    "phases:\n"
                                    "  - kind: grpo\n"
                                    "    max_new: 256\n"
                                    "    temperature: 0\n"
                                    "    dual_clip: 0.5\n"
                                    "    ref_every: 5\n"
                                    "    samples: 1\n"
                                    "  - kind: eval\n"
                                    "    name: grpo\n";
    static const char *const expected[] = {
        "r.yaml:4: kv_heads 4 does not divide heads 6",
        "r.yaml:3: head_dim 9 is odd",
        "r.yaml:9: pp 3 stages need at least one layer each, but layers is 2",
        "r.yaml:8: a mesh of dp 2 x pp 3 needs 6 ranks, not 4: start with mpirun -np 6, or use",
        "r.yaml:1: the schedule dualpipe needs an even number of stages",
        "r.yaml:11: data.file is used only with task: file",
        "r.yaml:12: micro_batch_tokens 100 is less than max_context 256",
        "r.yaml:16: grpo: temperature 0 is greedy",
        "r.yaml:19: grpo: samples is 1, but a group of one answer",
        "r.yaml:17: grpo: dual_clip 0.5 is neither",
        "r.yaml:18: grpo: ref_every has no effect without kl",
        "r.yaml:15: grpo: max_new 256 leaves no room",
        "r.yaml:21: two phases are called \"grpo\"",
    };
    enum { N = sizeof expected / sizeof *expected };
    struct settings s;
    struct problems p = {0};
    ck_assert_msg(recipe_parse(&s, yaml, &p), "%s", p.n ? p.text[0] : "");
    ck_assert(!settings_check(&s, 4, &p));
    for (int i = 0; i < p.n && i < N; i++)
        ck_assert_msg(strncmp(p.text[i], expected[i], strlen(expected[i])) == 0, "%s\n%s",
                      p.text[i], expected[i]);
    ck_assert_int_eq(p.n, N);
    problems_free(&p);
    settings_free(&s);
}
END_TEST

START_TEST(check_names_set)
{
    struct settings s;
    struct problems p = {0};
    ck_assert(recipe_parse(&s, "mesh: {pp: 3}\nphases:\n- {kind: grpo, kl: 0.1}\n", &p));
    ck_assert(settings_set(&s, "phases.0.kind=sft", &p));
    ck_assert(settings_set(&s, "model.heads=5", &p));
    ck_assert(!settings_check(&s, 4, &p));
    ck_assert_int_eq(p.n, 3);
    ck_assert_str_eq(
        p.text[0], "--set: heads 5 does not divide hidden 128: change one of them or set head_dim");
    ck_assert_str_eq(p.text[1], "r.yaml:1: pp 3 does not divide 4 ranks: start with mpirun -np 3, "
                                "or use dp 1 x pp 4");
    ck_assert_str_eq(p.text[2], "r.yaml:3: kl is not used by the phase kind sft, only by grpo");
    problems_free(&p);
    settings_free(&s);
}
END_TEST

START_TEST(no_phases)
{
    struct settings s;
    struct problems p = {0};
    ck_assert(recipe_parse(&s, "seed: 3\n", &p));
    ck_assert(!settings_check(&s, 1, &p));
    ck_assert_int_eq(p.n, 1);
    ck_assert_ptr_nonnull(strstr(p.text[0], "no phases"));
    problems_free(&p);
    settings_free(&s);
}
END_TEST

/* Sizes that are each in their range: 2^32 ranks are 0 in an int, 2^31 less than none. */
START_TEST(meshes_that_multiply)
{
    static const struct {
        const char *mesh;
        int ranks; /* 0: too many */
    } rows[] = {
        {"dp: 4, pp: 4, tp: 4", 64},          {"dp: 65536, pp: 16", 1 << 20},
        {"dp: 65536, pp: 16, sites: 2", 0},   {"dp: 65536, pp: 1024, tp: 32", 0},
        {"dp: 65536, pp: 1024, tp: 64", 0},   {"dp: 65536, pp: 1024, tp: 64, sites: 1024", 0},
        {"pp: 1024, tp: 64, sites: 1024", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct settings s;
        struct problems p = {0};
        char yaml[512];
        snprintf(yaml, sizeof yaml,
                 "mesh: {%s}\nmodel: {layers: 1024, heads: 64, hidden: 512, ffn: 1024}\n"
                 "phases: [{kind: sft}]\n",
                 rows[i].mesh);
        ck_assert(recipe_parse(&s, yaml, &p));
        int ranks = settings_ranks(&s);
        ck_assert_int_eq(ranks, rows[i].ranks ? rows[i].ranks : 1);
        ck_assert_msg(settings_check(&s, ranks, &p) == (rows[i].ranks > 0), "%s: %s", yaml,
                      p.n ? p.text[0] : "accepted");
        bool said =
            p.n == 1 && strstr(p.text[0], "ranks, more than the limit of 1048576: lower one of");
        ck_assert_msg(said == (rows[i].ranks == 0), "%s: %s", yaml, p.n ? p.text[0] : "nothing");
        settings_free(&s);
        problems_free(&p);
    }
}
END_TEST

#define TESTS(X)                  \
    X(check_resolves_zeros)       \
    X(phases_make_sense)          \
    X(cache_has_room_for_one)     \
    X(experts_are_checked)        \
    X(rope_is_checked)            \
    X(rope_becomes_dims)          \
    X(shared_experts_are_checked) \
    X(sites_are_checked)          \
    X(schedule_auto)              \
    X(splits)                     \
    X(meshes_that_multiply)       \
    X(contradictions_at_once)     \
    X(check_names_set)            \
    X(no_phases)

UNIT_MAIN("settings_check", .timeout_s = 30)
