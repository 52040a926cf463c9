/* Recipes: what is read, what is refused, and where the message points. */
#include "comm/base/problems.h"
#include "trainer/config/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "trainer/config/table.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"

/* One mistake, and this message of it. */
static void refused(const char *yaml, const char *message)
{
    struct settings s;
    struct problems p = {0};
    ck_assert(!recipe_parse(&s, yaml, &p));
    ck_assert_msg(p.n == 1, "%d problems of %s: %s", p.n, yaml, p.n ? p.text[p.n - 1] : "");
    ck_assert_str_eq(p.text[0], message);
    problems_free(&p);
    settings_free(&s);
}

START_TEST(reads_a_recipe)
{
    struct settings s;
    struct problems p = {0};
    ck_assert_msg(recipe_parse(&s, RECIPE_OF_ALL, &p), "%s", p.n ? p.text[0] : "");
    ck_assert_int_eq(s.run.seed, 7);
    ck_assert_str_eq(s.run.out, "runs/x");
    ck_assert_int_eq(s.run.precision, PRECISION_FP32);
    ck_assert_int_eq(s.model.layers, 6);
    ck_assert(s.model.tied);
    ck_assert(s.model.norm_eps == 1e-5);
    ck_assert_int_eq(s.mesh.pp, 2);
    ck_assert_int_eq(s.data.task, TASK_EQUATIONS);
    ck_assert_int_eq(s.n_phases, 4);
    ck_assert(s.phases[0].lr == 2e-4);
    ck_assert_int_eq(s.phases[1].kind, PHASE_GRPO);
    ck_assert_int_eq(s.phases[1].advantage, ADVANTAGE_MEAN);
    ck_assert_str_eq(s.phases[2].name, "late");
    ck_assert_int_eq(s.phases[3].samples, 4);
    ck_assert_int_eq(s.model.hidden, 128); /* a default */
    ck_assert_int_eq(s.lines.model.layers, 5);
    ck_assert_int_eq(s.lines.phases[1].kind, 18);
    settings_free(&s);
}
END_TEST

/* The name of a choice and its enumerator, which stand in one row, mean the same; so do the kinds
 * of phase. */
START_TEST(choices_by_name)
{
    static const struct {
        enum section_id section;
        const char *setting, *name;
        int value;
    } rows[] = {
        {SECTION_DATA, "task", "file", TASK_FILE},
        {SECTION_DATA, "task", "arithmetic", TASK_ARITHMETIC},
        {SECTION_RUN, "schedule", "1f1b", SCHEDULE_1F1B},
        {SECTION_RUN, "schedule", "dualpipe", SCHEDULE_DUALPIPE},
        {SECTION_RUN, "precision", "bf16", PRECISION_BF16},
        {SECTION_PHASE, "kind", "grpo", PHASE_GRPO},
        {SECTION_PHASE, "kind", "eval", PHASE_EVAL},
        {SECTION_PHASE, "lr_decay", "cosine", LR_COSINE},
        {SECTION_PHASE, "advantage", "mean", ADVANTAGE_MEAN},
        {SECTION_PHASE, "aggregate", "constant", AGGREGATE_CONSTANT},
        {SECTION_PHASE, "aggregate", "sequence_mean", AGGREGATE_SEQUENCE},
        {SECTION_PHASE, "zero_spread", "keep", ZERO_SPREAD_KEEP},
        {SECTION_PHASE, "zero_spread", "drop", ZERO_SPREAD_DROP},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct setting *k = setting_find(&sections[rows[i].section], rows[i].setting);
        const struct choice *c = choice_named(k, rows[i].name);
        ck_assert_ptr_nonnull(c);
        ck_assert_int_eq(c->value, rows[i].value);
        ck_assert_ptr_eq(c, choice_of(k, rows[i].value));
    }
    ck_assert_uint_eq(setting_find(&sections[SECTION_PHASE], "batch")->kinds,
                      1u << PHASE_SFT | 1u << PHASE_REWARD_MODEL);
    ck_assert_uint_eq(setting_find(&sections[SECTION_PHASE], "samples")->kinds,
                      1u << PHASE_GRPO | 1u << PHASE_EVAL);
    ck_assert_uint_eq(setting_find(&sections[SECTION_PHASE], "name")->kinds, ~0u);
}
END_TEST

/* Every default is in its range, every ENUM's default has a name. */
START_TEST(table_is_sound)
{
    for (int a = 0; a < SECTIONS; a++)
        for (int i = 0; i < sections[a].n_settings; i++) {
            const struct setting *k = &sections[a].settings[i];
            if (k->type == SETTING_INT || k->type == SETTING_REAL)
                ck_assert_msg(k->initial >= k->low && k->initial <= k->high, "%s", k->name);
            if (k->type == SETTING_ENUM) ck_assert_ptr_nonnull(choice_of(k, (int)k->initial));
        }
}
END_TEST

START_TEST(five_mistakes_at_once)
{
    static const char *const yaml = "sed: 1\n"
                                    "model:\n"
                                    "  layers: 0\n"
                                    "  hiden: 64\n"
                                    "  lr: 1e-3\n"
                                    "phases:\n"
                                    "  - kind: sft\n"
                                    "    clip_low: 0.1\n"
                                    "    steps: 1e3\n";
    static const char *const expected[] = {
        "r.yaml:1: unknown setting sed; did you mean seed?",
        "r.yaml:3: layers: 0 is not in the range 1 to 1024",
        "r.yaml:4: unknown setting hiden; did you mean hidden?",
        "r.yaml:5: lr is a phase setting; put it in phases",
        "r.yaml:8: clip_low is not used by the phase kind sft, only by grpo",
        "r.yaml:9: steps: \"1e3\" is not a whole number such as 100",
    };
    struct settings s;
    struct problems p = {0};
    ck_assert(!recipe_parse(&s, yaml, &p));
    ck_assert_int_eq(p.n, 6);
    for (int i = 0; i < p.n; i++) ck_assert_str_eq(p.text[i], expected[i]);
    problems_free(&p);
    settings_free(&s);
}
END_TEST

START_TEST(values_are_strict)
{
    refused("seed: 1_000\n", "r.yaml:1: seed: \"1_000\" is not a whole number such as 100");
    refused("seed: 0x10\n", "r.yaml:1: seed: \"0x10\" is not a whole number such as 100");
    refused("seed: 99999999999999999999\n",
            "r.yaml:1: seed: 99999999999999999999 is not in the range 0 to 2147483647");
    refused("seed:\n", "r.yaml:1: seed has no value: it needs a whole number such as 100");
    refused("watchdog_s: nan\n",
            "r.yaml:1: watchdog_s: \"nan\" is not a number such as 0.1 or 1e-4");
    refused("watchdog_s: 1e\n", "r.yaml:1: watchdog_s: \"1e\" is not a number such as 0.1 or 1e-4");
    refused("watchdog_s: 1e999\n", "r.yaml:1: watchdog_s: 1e999 is not in the range 0 to 1000000");
    refused("model: {tied: yes}\n", "r.yaml:1: tied: \"yes\" is not true or false");
    refused("precision: bf61\n",
            "r.yaml:1: precision: \"bf61\" is not one of fp32|bf16; did you mean bf16?");
    refused("out: \"a\\0b\"\n", "r.yaml:1: out: the value is too long or contains a NUL byte");
    refused("out: \"a\\nb\"\n", "r.yaml:1: out: the text must be a single line of UTF-8");
    refused("seed: [1]\n", "r.yaml:1: seed takes one value, not a list");
}
END_TEST

/* Settings that may be lists are the text that --set takes for them. */
START_TEST(lists)
{
    static const struct {
        const char *yaml, *file, *fields;
    } rows[] = {
        {"data: {task: file, file: a.jsonl}\n", "a.jsonl", "auto"},
        {"data: {task: file, file: [a.jsonl]}\n", "a.jsonl", "auto"},
        {"data: {task: file, file: [a.jsonl, 'b c.jsonl'], fields: math}\n", "a.jsonl, b c.jsonl",
         "math"},
        {"data:\n  task: file\n  file:\n    - {path: a.jsonl, weight: 3}\n"
         "    - {weight: 0.5, path: b.jsonl}\n  fields: {prompt: q, answer: 'a[####]'}\n",
         "a.jsonl=3, b.jsonl=0.5", "prompt=q, answer=a[####]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct settings s;
        struct problems p = {0};
        char text[400];
        snprintf(text, sizeof text, "%sphases: [{kind: sft}]\n", rows[i].yaml);
        ck_assert_msg(recipe_parse(&s, text, &p), "%s", p.n ? p.text[0] : "");
        ck_assert_str_eq(s.data.file, rows[i].file);
        ck_assert_str_eq(s.data.fields, rows[i].fields);
        settings_free(&s);
    }
    static const char says[] =
        "r.yaml:1: file: a list holds names, or {path: NAME, weight: W}; a mapping names; none "
        "empty, all together at most 4095 bytes";
    refused("data: {task: file, file: [[a]]}\n", says);
    refused("data: {task: file, file: [{path: a, wieght: 1}]}\n", says);
    refused("data: {task: file, file: [{weight: 1}]}\n", says);
    refused("data: {task: file, file: ['']}\n", says);
}
END_TEST

START_TEST(places_are_checked)
{
    refused("layers: 4\n", "r.yaml:1: layers is a model setting; put it in model");
    refused("data: {wire: bf16}\n",
            "r.yaml:1: wire is a sites setting; put it in sites (reduction has one too)");
    refused("model: {seed: 4}\n", "r.yaml:1: seed is a run setting; put it at the top level");
    refused("modle: {layers: 4}\n", "r.yaml:1: unknown setting modle; did you mean model?");
    refused("model: {learn_rate: 4}\n", "r.yaml:1: unknown setting learn_rate in model");
    refused("model: {max_nwe: 4}\n",
            "r.yaml:1: unknown setting max_nwe; did you mean max_new of phases?");
    refused("model: 4\n",
            "r.yaml:1: model takes settings, one per line as `name: value`, not a single value");
    refused("phases: {kind: sft}\n",
            "r.yaml:1: phases is a list: start every phase with `- kind: ...`");
    refused("phases:\n- lr: 1\n",
            "r.yaml:2: a phase without a kind: write kind: sft|grpo|eval|export|reward_model");
    refused("phases:\n-\n", "r.yaml:2: an empty phase: write `- kind: ...`");
    refused("phases:\n- kind: eval\n  lr: 1\n",
            "r.yaml:3: lr is not used by the phase kind eval, only by sft, grpo, reward_model");
    refused("- 1\n",
            "r.yaml:1: a recipe takes settings, one per line as `name: value`, not a list");
    refused("{a: 1}: 2\n", "r.yaml:1: a setting's name is one word, not a mapping");
}
END_TEST

START_TEST(twice_is_once_too_often)
{
    refused("seed: 1\nlog: info\nseed: 2\n", "r.yaml:3: seed is given twice, first in line 1");
    refused("model: {heads: 2}\nmodel: {layers: 2}\n",
            "r.yaml:2: model is given twice, first in line 1");
    refused("phases:\n- kind: sft\n  kind: grpo\n",
            "r.yaml:3: kind is given twice, first in line 2");
}
END_TEST

START_TEST(yaml_is_bounded)
{
    refused("seed: &a 1\nmodel: {layers: *a}\n",
            "r.yaml:2: aliases (*name) are not supported in a recipe: write the value again");
    refused("seed: 1\n---\nseed: 2\n",
            "r.yaml:2: a second document starts here; a recipe must be a single one");
    refused("a: [[[[[[[[[[]]]]]]]]]]\n", "r.yaml:1: nested too deeply");
    refused(
        "model:\n\tlayers: 4\n",
        "r.yaml:2: not YAML: found character that cannot start any token while scanning for the "
        "next token (indent with spaces, not tabs; quote special characters)");
}
END_TEST

START_TEST(bytes_that_are_no_text)
{
    refused("seed: 1\nout: \xff\n", "r.yaml:2: not YAML: invalid leading UTF-8 octet");
}
END_TEST

START_TEST(mistakes_are_capped)
{
    enum { KEYS = 100000 };
    char *yaml = malloc(KEYS * 8 + 1);
    size_t n = 0;
    for (int i = 0; i < KEYS; i++) n += (size_t)sprintf(yaml + n, "x%05d:\n", i);
    struct settings s;
    struct problems p = {0};
    settings_defaults(&s);
    ck_assert(!settings_parse(&s, yaml, n, "r.yaml", &p));
    ck_assert_int_eq(p.n, 101);
    ck_assert_str_eq(p.text[100], "r.yaml: and more mistakes, not shown");
    problems_free(&p);
    settings_free(&s);
    free(yaml);
}
END_TEST

START_TEST(empty_is_all_defaults)
{
    static const char *const empty[] = {"", "\n", "# nothing\n", "model:\nphases:\n", "~\n"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        struct settings s;
        struct problems p = {0};
        ck_assert_msg(recipe_parse(&s, empty[i], &p), "%s", p.n ? p.text[0] : "");
        ck_assert_int_eq(s.model.layers, 4);
        ck_assert_int_eq(s.n_phases, 0);
        settings_free(&s);
    }
}
END_TEST

START_TEST(set_overrides)
{
    static const struct {
        const char *text, *message; /* NULL: is right */
    } rows[] = {
        {"seed=9", NULL},
        {"model.layers=3", NULL},
        {"phases.sft.lr=1e-5", NULL},
        {"phases.late.kl=0.1", NULL},
        {"phases.1.samples=16", NULL},
        {"out=", NULL},
        {"phases.grpo.batch=1", "--set phases.grpo.batch=1: batch is not used by the phase kind "
                                "grpo, only by sft, reward_model"},
        {"phases.grop.lr=1", "--set phases.grop.lr=1: no phase is called grop; the phases are: 0 "
                             "sft, 1 grpo, 2 late, 3 eval"},
        {"phases.4.lr=1", "--set phases.4.lr=1: no phase is called 4; the phases are: 0 sft, 1 "
                          "grpo, 2 late, 3 eval"},
        {"phases.lr=1", "--set phases.lr=1: which phase? write phases.NAME.lr=..."},
        {"lr=1", "--set lr=1: lr is a phase setting; write --set phases.NAME.lr=..."},
        {"layers=1", "--set layers=1: layers is a model setting; write --set model.layers=..."},
        {"model.seed=1", "--set model.seed=1: seed is a run setting; write --set seed=..."},
        {"zzzzzzzzzzzz.layers=1",
         "--set zzzzzzzzzzzz.layers=1: unknown section zzzzzzzzzzzz; the sections are "
         "model, mesh, sites, data, reduction, checkpoint, phases"},
        {"modell.layers=1", "--set modell.layers=1: unknown section modell; did you mean model?"},
        {"model.layers=x", "--set model.layers=x: layers: \"x\" is not a whole number such as 100"},
        {"model.layer=1", "--set model.layer=1: unknown setting layer; did you mean layers?"},
        {"seed", "--set seed: write it as name=value, for example model.layers=6"},
    };
    struct settings s;
    struct problems p = {0};
    ck_assert(recipe_parse(&s, RECIPE_OF_ALL, &p));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool ok = settings_set(&s, rows[i].text, &p);
        ck_assert_msg(ok == !rows[i].message, "%s", rows[i].text);
        if (rows[i].message) ck_assert_str_eq(p.text[p.n - 1], rows[i].message);
    }
    ck_assert_int_eq(s.run.seed, 9);
    ck_assert_str_eq(s.run.out, "");
    ck_assert_int_eq(s.model.layers, 3);
    ck_assert(s.phases[0].lr == 1e-5);
    ck_assert(s.phases[2].kl == 0.1);
    ck_assert_int_eq(s.phases[1].samples, 16);
    ck_assert_int_eq(s.lines.run.seed, LINE_SET);
    problems_free(&p);
    settings_free(&s);
}
END_TEST

START_TEST(load_reads_and_sets)
{
    static const char *const good[] = {"seed=11", "model.layers=2"};
    static const char *const bad[] = {"sed=11"};
    char path[] = "/tmp/duet-recipe-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, RECIPE_OF_ALL, strlen(RECIPE_OF_ALL)),
                     (ssize_t)strlen(RECIPE_OF_ALL));
    close(fd);
    struct settings s;
    struct problems p = {0};
    settings_defaults(&s);
    ck_assert(settings_load(&s, path, good, 2, &p));
    ck_assert_int_eq(s.run.seed, 11);
    ck_assert_int_eq(s.model.layers, 2);
    ck_assert(!settings_load(&s, path, bad, 1, &p));
    ck_assert_str_eq(p.text[0], "--set sed=11: unknown setting sed; did you mean seed?");
    ck_assert(!settings_load(&s, "/nonexistent/r.yaml", NULL, 0, &p));
    ck_assert_str_eq(p.text[1],
                     "/nonexistent/r.yaml: cannot read the recipe: No such file or directory");
    ck_assert(!settings_load(&s, "/tmp", NULL, 0, &p));
    ck_assert_str_eq(p.text[2], "/tmp: cannot read the recipe: Is a directory");
    problems_free(&p);
    settings_free(&s);
    unlink(path);
}
END_TEST

#define TESTS(X)               \
    X(reads_a_recipe)          \
    X(choices_by_name)         \
    X(table_is_sound)          \
    X(five_mistakes_at_once)   \
    X(values_are_strict)       \
    X(lists)                   \
    X(places_are_checked)      \
    X(twice_is_once_too_often) \
    X(yaml_is_bounded)         \
    X(bytes_that_are_no_text)  \
    X(mistakes_are_capped)     \
    X(empty_is_all_defaults)   \
    X(set_overrides)           \
    X(load_reads_and_sets)

UNIT_MAIN("settings", .timeout_s = 30)
