/* What a recipe says otherwise than a checkpoint's: which rows, which of them are refused, where
 * the position is. */
#include "comm/base/problems.h"
#include "trainer/config/changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/config/table.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"

static const char *const recipe =
    "seed: 7\n"
    "model: {layers: 2, hidden: 32, heads: 2, max_context: 64}\n"
    "data: {task: arithmetic, micro_batch_tokens: 128}\n"
    "phases:\n"
    "  - {kind: sft, steps: 4, batch: 8, lr: 3e-3}\n"
    "  - {kind: grpo, steps: 3, prompts: 4, samples: 4, max_new: 24}\n"
    "  - {kind: eval, name: last, prompts: 8, samples: 2, max_new: 24}\n";

/* Both recipes as they are when a run is resumed: the former one was resolved, printed, and is
 * parsed again. */
static void both(struct settings *then, struct settings *now, const char *const *sets)
{
    struct problems p = {0};
    *now = recipe_of(1, "%s", recipe);
    char *yaml = settings_yaml(now);
    settings_free(now);
    ck_assert(recipe_parse(then, yaml, &p));
    recipe_parse(now, recipe, &p);
    for (; sets && *sets; sets++) settings_set(now, *sets, &p);
    settings_check(now, 1, &p);
    ck_assert_msg(p.n == 0, "%s", p.n ? p.text[0] : "");
    free(yaml);
}

static const struct change *row_of(const struct changes *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->row[i].name, name) == 0) return &c->row[i];
    return NULL;
}

/* One change; name NULL: no row. At phase, step. */
struct one {
    const char *set;
    int phase;
    long step;
    const char *name, *then, *now;
    bool refused;
    const char *means;
};
static const struct one ONES[] = {
    {"seed=8", 0, 2, "seed", "7", "8", true, "step 2 of phase sft"},
    {"seed=8", 1, 0, "seed", "7", "8", false, "phase grpo starts with the new value"},
    {"seed=8", 3, 0, "seed", "7", "8", false, "nothing is left"},
    {"out=elsewhere", 0, 2, NULL, NULL, NULL, false, NULL},
    {"log=debug", 0, 2, NULL, NULL, NULL, false, NULL},
    {"watchdog_s=7", 0, 2, NULL, NULL, NULL, false, NULL},
    {"precision=fp32", 0, 2, "precision", "bf16", "fp32", false, "to 24 significant bits"},
    {"reduction.wire=int8", 0, 2, "reduction.wire", "fp32", "int8", false, "between hosts"},
    {"mesh.decode_slots=8", 0, 2, "mesh.decode_slots", "64", "8", false, "last bits"},
    {"mesh.split=2", 0, 2, "mesh.split", "\"\"", "\"2\"", false, "last bits"},
    {"checkpoint.every=1", 0, 2, "checkpoint.every", "100", "1", false, "from here on"},
    {"model.ffn=64", 3, 0, "model.ffn", "88", "64", true, "weights"},
    {"model.rope_theta=20000", 0, 2, "model.rope_theta", "1e+04", "2e+04", true, "weights"},
    {"model.norm_eps=1e-5", 1, 0, "model.norm_eps", "1e-06", "1e-05", true, "weights"},
    {"model.qk_norm=true", 1, 0, "model.qk_norm", "false", "true", true, "weights"},
    {"model.max_context=32", 0, 2, "model.max_context", "64", "32", false, "from here on"},
    {"data.difficulty=2", 0, 2, "data.difficulty", "3", "2", true, "position"},
    {"data.task=equations", 1, 1, "data.task", "arithmetic", "equations", true, "phase grpo"},
    {"data.task=equations", 1, 0, "data.task", "arithmetic", "equations", false, "phase grpo"},
    {"phases.sft.batch=4", 0, 2, "phases.sft.batch", "8", "4", true, "step 2 of phase sft"},
    {"phases.sft.batch=4", 1, 0, "phases.sft.batch", "8", "4", false,
     "no effect: phase sft is finished"},
    {"phases.sft.lr=1e-3", 0, 2, "phases.sft.lr", "0.003", "0.001", false, "from here on"},
    {"phases.sft.lr=1e-3", 1, 2, "phases.sft.lr", "0.003", "0.001", false,
     "no effect: phase sft is finished"},
    {"phases.sft.steps=9", 0, 2, "phases.sft.steps", "4", "9", false, "from its step 2 to 9"},
    {"phases.sft.steps=1", 0, 2, "phases.sft.steps", "4", "1", true, "2 steps of phase sft"},
    {"phases.sft.steps=2", 0, 2, "phases.sft.steps", "4", "2", false, "from its step 2 to 2"},
    {"phases.sft.steps=9", 1, 1, "phases.sft.steps", "4", "9", true, "is finished"},
    {"phases.sft.steps=3", 1, 0, "phases.sft.steps", "4", "3", true, "is finished"},
    {"phases.grpo.prompts=8", 1, 1, "phases.grpo.prompts", "4", "8", true, "phase grpo"},
    {"phases.grpo.prompts=8", 1, 0, "phases.grpo.prompts", "4", "8", false, "has not begun"},
    {"phases.grpo.prompts=8", 0, 2, "phases.grpo.prompts", "4", "8", false, "has not begun"},
    {"phases.sft.name=warm", 0, 2, "phases that have begun", "sft", "warm", true, "renamed"},
    {"phases.last.name=end", 0, 2, "later phases", "grpo, last", "grpo, end", false, "not begun"},
    {"phases.last.samples=3", 1, 2, "phases.last.samples", "2", "3", false, "not begun"},
};

START_TEST(one_change)
{
    const struct one *o = &ONES[_i];
    const char *const sets[] = {o->set, NULL};
    struct settings then, now;
    struct changes c = {0};
    both(&then, &now, sets);
    changes_compare(&c, &then, &now, (struct standing){o->phase, o->step});
    char *text = changes_text(&c);
    ck_assert_int_eq(c.unknown, 0);
    ck_assert_msg(c.n == (o->name ? 1 : 0), "%s: %d rows\n%s", o->set, c.n, text);
    ck_assert_int_eq(c.refused, o->refused);
    for (int i = 0; i < c.n; i++) {
        ck_assert_str_eq(c.row[i].name, o->name);
        ck_assert_str_eq(c.row[i].then, o->then);
        ck_assert_str_eq(c.row[i].now, o->now);
        ck_assert_int_eq(strstr(text, "  REFUSED: ") != NULL, o->refused);
        ck_assert_int_eq(c.row[i].refused, o->refused);
        ck_assert_msg(strstr(c.row[i].means, o->means), "%s: %s", o->set, c.row[i].means);
    }
    free(text);
    changes_free(&c);
    settings_free(&then);
    settings_free(&now);
}
END_TEST

/* Nothing changed, nothing said: what the resolved recipe says is what was read. */
START_TEST(nothing_changed)
{
    struct settings then, now;
    struct changes c = {0};
    both(&then, &now, NULL);
    for (int phase = 0; phase <= 3; phase++)
        changes_compare(&c, &then, &now, (struct standing){phase, phase == 1});
    ck_assert_int_eq(c.n, 0);
    ck_assert_int_eq(c.unknown, 0);
    settings_free(&then);
    settings_free(&now);
}
END_TEST

/* Lists of phases, by their names; the run stands in step `step` of phase `phase`. */
static const struct {
    const char *phases;
    int phase;
    long step;
    bool refused;
    const char *row; /* NULL: none */
} LISTS[] = {
    {"[{kind: sft, name: warm}, {kind: sft, steps: 4, batch: 8, lr: 3e-3}, {kind: grpo, max_new: "
     "24}]",
     1, 1, true, "phases that have begun"},
    {"[{kind: grpo, steps: 3, prompts: 4, samples: 4, max_new: 24}]", 1, 1, true,
     "phases that have begun"},
    {"[{kind: grpo, max_new: 24}, {kind: sft}]", 1, 1, true, "phases that have begun"},
    {"[{kind: sft, steps: 4, batch: 8, lr: 3e-3}]", 1, 1, true, "phases that have begun"},
    {"[{kind: eval, name: sft, max_new: 24}]", 0, 1, true, "phases that have begun"},
    {"[{kind: sft, steps: 4, batch: 8, lr: 3e-3}]", 0, 1, false, "later phases"},
    {"[{kind: sft, steps: 4, batch: 8, lr: 3e-3}]", 1, 0, false, "later phases"},
    {"[{kind: eval, max_new: 24}]", 0, 0, false, "later phases"},
};

START_TEST(lists_of_phases)
{
    struct settings then, now;
    struct changes c = {0};
    char yaml[512];
    both(&then, &now, NULL);
    settings_free(&now);
    snprintf(yaml, sizeof yaml,
             "seed: 7\nmodel: {layers: 2, hidden: 32, heads: 2, max_context: 64}\n"
             "data: {task: arithmetic, micro_batch_tokens: 128}\nphases: %s\n",
             LISTS[_i].phases);
    now = recipe_of(1, "%s", yaml);
    changes_compare(&c, &then, &now, (struct standing){LISTS[_i].phase, LISTS[_i].step});
    const struct change *row = row_of(&c, LISTS[_i].row);
    char *text = changes_text(&c);
    ck_assert_msg(row != NULL, "no \"%s\" in\n%s", LISTS[_i].row, text);
    ck_assert_int_eq(c.refused > 0, LISTS[_i].refused);
    ck_assert_int_eq(row->refused, LISTS[_i].refused);
    free(text);
    changes_free(&c);
    settings_free(&then);
    settings_free(&now);
}
END_TEST

/* More steps in the phase that ended last: it goes on, also over evaluations, and not once another
 * has learned. */
static const struct {
    const char *set;
    struct standing at;
    bool goes_on;
    struct standing to;
} MORE[] = {
    {"phases.sft.steps=9", {1, 0}, true, {0, 4}},    {"phases.sft.steps=9", {0, 2}, false, {0, 2}},
    {"phases.sft.steps=9", {1, 1}, false, {1, 1}},   {"phases.sft.steps=9", {2, 0}, false, {2, 0}},
    {"phases.grpo.steps=9", {2, 0}, true, {1, 3}},   {"phases.grpo.steps=9", {3, 0}, true, {1, 3}},
    {"phases.grpo.steps=2", {3, 0}, false, {3, 0}},  {"phases.sft.steps=9", {0, 0}, false, {0, 0}},
    {"phases.last.samples=3", {3, 0}, false, {3, 0}}};

START_TEST(more_steps)
{
    const char *const sets[] = {MORE[_i].set, NULL};
    struct settings then, now;
    struct standing at = MORE[_i].at;
    both(&then, &now, sets);
    ck_assert_int_eq(changes_extend(&at, &then, &now), MORE[_i].goes_on);
    ck_assert_int_eq(at.phase, MORE[_i].to.phase);
    ck_assert_int_eq(at.step, MORE[_i].to.step);
    settings_free(&then);
    settings_free(&now);
}
END_TEST

/* Finished phases stay in the recipe as they ran. */
START_TEST(past_is_kept)
{
    const char *const sets[] = {"phases.sft.lr=1e-5", "phases.grpo.lr=1e-5", NULL};
    struct settings then, now;
    both(&then, &now, sets);
    changes_keep_past(&now, &then, (struct standing){1, 2});
    ck_assert_double_eq(now.phases[0].lr, 3e-3);
    ck_assert_double_eq(now.phases[1].lr, 1e-5);
    ck_assert_str_eq(now.phases[0].name, "sft");
    settings_free(&then);
    settings_free(&now);
}
END_TEST

/* In the model only what gives weights their meaning. */
START_TEST(models)
{
    const char *const sets[] = {"model.heads=4", "model.max_context=32", "seed=9", NULL};
    struct settings then, now;
    struct changes c = {0};
    char refused[256];
    both(&then, &now, sets);
    changes_compare_model(&c, &then, &now);
    changes_refused(&c, refused, sizeof refused);
    ck_assert_str_eq(refused, "model.heads, model.kv_heads, model.head_dim");
    changes_free(&c);
    settings_free(&then);
    settings_free(&now);
}
END_TEST

/* Settings that the first version did not know (tests/golden/recipe-0.1.0.yaml is what it stored of
 * a run), set now. At step 1 of its third phase, grpo; row NULL: none. */
static const struct {
    const char *set[3]; /* ends with NULL */
    const char *row, *then;
    bool refused;
} NEW[] = {
    {{NULL}, NULL, NULL, false},
    {{"model.rope_scaling=none", "phases.grpo.max_skips=10"}, NULL, NULL, false},
    {{"model.rope_scaling=yarn", "model.rope_original=80"},
     "model.rope_scaling",
     "none (not recorded)",
     true},
    {{"model.o_bias=true"}, "model.o_bias", "false (not recorded)", true},
    {{"data.system=Be brief."}, "data.system", "\"\" (not recorded)", true},
    {{"phases.grpo.max_skips=3"}, "phases.grpo.max_skips", "10 (not recorded)", false},
    {{"mesh.cache_tokens=100000"}, NULL, NULL, false}, /* changes nothing worth a word */
};

/* What an earlier recipe does not mention is compared with the default, which its program did. */
START_TEST(settings_of_later_versions)
{
    static char text[1 << 16];
    struct settings then, now;
    struct changes c = {0};
    struct problems p = {0};
    FILE *f = fopen("tests/golden/recipe-0.1.0.yaml", "r");
    ck_assert_ptr_nonnull(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    settings_defaults(&then);
    settings_defaults(&now);
    settings_parse_stored(&then, text, &p);
    settings_parse_stored(&now, text, &p);
    for (const char *const *set = NEW[_i].set; *set; set++) settings_set(&now, *set, &p);
    settings_check(&now, 1, &p);
    ck_assert_msg(p.n == 0, "%s", p.n ? p.text[0] : "");
    changes_compare(&c, &then, &now, (struct standing){2, 1});
    char *table = changes_text(&c);
    const struct change *row = NEW[_i].row ? row_of(&c, NEW[_i].row) : NULL;
    ck_assert_int_gt(c.unknown, 10);
    ck_assert_msg((c.n > 0) == (NEW[_i].row != NULL), "%s", table);
    if (NEW[_i].row) {
        ck_assert_msg(row != NULL, "no \"%s\" in\n%s", NEW[_i].row, table);
        ck_assert_str_eq(row->then, NEW[_i].then);
        ck_assert_int_eq(row->refused, NEW[_i].refused);
    }
    free(table);
    changes_free(&c);
    settings_free(&then);
    settings_free(&now);
}
END_TEST

#define TESTS(X)                                           \
    X(one_change, .to = sizeof ONES / sizeof *ONES)        \
    X(nothing_changed)                                     \
    X(lists_of_phases, .to = sizeof LISTS / sizeof *LISTS) \
    X(more_steps, .to = sizeof MORE / sizeof *MORE)        \
    X(past_is_kept)                                        \
    X(models)                                              \
    X(settings_of_later_versions, .to = sizeof NEW / sizeof *NEW)

UNIT_MAIN("changes", .timeout_s = 30)
