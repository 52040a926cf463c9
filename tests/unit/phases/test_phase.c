/* Kinds of phase: their rows against the table of settings, and the largest step of a recipe, by
 * hand. */
#include <stdio.h>
#include <string.h>

#include "comm/base/problems.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"
#include "trainer/config/table.h"
#include "trainer/phases/phases.h"

/* The rows of phases.c are in the order of the settings, and agree with their table about which
 * kind uses what. */
START_TEST(rows)
{
    const struct setting *kind = setting_find(&sections[SECTION_PHASE], "kind");
    int n = 0;
    for (; kind->choices[n].name; n++) {
        const struct phase_kind *row = &phase_kinds[n];
        struct phase_settings k = {.kind = n, .steps = 7, .batch = 5, .prompts = 3};
        k.samples = k.mini_batches = k.epochs = 2;
        const struct phase_size size = row->size(&k);
        ck_assert_int_eq(kind->choices[n].value, n);
        ck_assert_str_eq(row->name, kind->choices[n].name);
        ck_assert_int_eq(row->learns, phase_takes(&k, "lr"));
        ck_assert_int_eq(row->learns, size.sequences > 0);
        ck_assert_int_eq(size.demonstrations || size.preferences, phase_takes(&k, "batch"));
        ck_assert_int_eq(size.questions > 0, phase_takes(&k, "prompts"));
        ck_assert_int_eq(phase_steps(&k), row->learns ? 7 : 1);
        ck_assert(!row->learns || size.updates <= phase_most_updates(&k));
    }
    ck_assert_int_ge(n, 3);
}
END_TEST

static const char *const SFT = "{kind: sft, steps: 9, batch: 20, max_new: 40, eval_every: 3, "
                               "eval_prompts: 50}";
static const char *const GRPO = "{kind: grpo, name: learn, prompts: 6, samples: 4, max_new: 30, "
                                "mini_batches: 3, kl: 0.1}";
static const char *const EVAL = "{kind: eval, prompts: 7, samples: 9, max_new: 20}";

/* phase is compared here: it is gone with the settings. */
static struct extent extent(const char *phases, const char *phase)
{
    struct settings s = recipe_of(4, "phases: [%s]\n", phases);
    struct extent e = extent_of(phase_kinds, &s);
    if (phase)
        ck_assert_str_eq(e.phase, phase);
    else
        ck_assert_ptr_null(e.phase);
    settings_free(&s);
    return e;
}

START_TEST(of_demonstrations)
{
    struct extent e = extent(SFT, "sft");
    ck_assert_int_eq(e.sequences, 20);
    ck_assert_int_eq(e.questions, 50); /* of its evaluations */
    ck_assert_int_eq(e.answers, 50);
    ck_assert_int_eq(e.heldout, 50);
    ck_assert_int_eq(e.max_new, 40);
    ck_assert(e.sampling && !e.reference && e.demonstrations);
    ck_assert_uint_eq(e.data.asked, SPLITS_BOTH);
    ck_assert(e.longest[SPLIT_TRAIN] == 0 && e.longest[SPLIT_HELDOUT] == 40);
    ck_assert_str_eq(e.lower, "batch");
    e = extent("{kind: sft, steps: 9, batch: 20}", "sft");
    ck_assert(e.questions == 1 && e.answers == 1 && e.heldout == 0 && !e.sampling);
    ck_assert_uint_eq(e.data.asked, 1U << SPLIT_TRAIN);
    e = extent("{kind: sft, steps: 0, batch: 20}", "sft");
    ck_assert(!e.demonstrations);
}
END_TEST

START_TEST(of_sampled_answers)
{
    struct extent e = extent(GRPO, "learn");
    ck_assert(e.sequences == 8 && e.answers == 24 && e.samples == 4 && e.questions == 6 &&
              e.heldout == 0);
    ck_assert(e.sampling && e.reference && !e.demonstrations);
    ck_assert_uint_eq(e.data.asked, 1U << SPLIT_TRAIN);
    ck_assert(e.longest[SPLIT_TRAIN] == 30 && e.longest[SPLIT_HELDOUT] == 0);
    ck_assert_str_eq(e.lower, "prompts or samples");
    e = extent("{kind: grpo, prompts: 7, samples: 4, mini_batches: 3, epochs: 2}", "grpo");
    ck_assert(e.sequences == 12 && e.answers == 28 && e.questions == 7);
}
END_TEST

START_TEST(of_an_evaluation)
{
    struct extent e = extent(EVAL, NULL);
    ck_assert(e.sequences == 1 && e.answers == 63 && e.questions == 7 && e.heldout == 7);
    ck_assert(e.sampling && !e.reference && !e.demonstrations);
    ck_assert_uint_eq(e.data.asked, 1U << SPLIT_HELDOUT);
    ck_assert(e.longest[SPLIT_TRAIN] == 0 && e.longest[SPLIT_HELDOUT] == 20);
}
END_TEST

/* The largest of each, in whatever order the phases come. */
START_TEST(of_all)
{
    char orders[2][512];
    snprintf(orders[0], sizeof orders[0], "%s, %s, %s", SFT, GRPO, EVAL);
    snprintf(orders[1], sizeof orders[1], "%s, %s, %s", EVAL, GRPO, SFT);
    for (int i = 0; i < 2; i++) {
        struct extent e = extent(orders[i], "sft");
        ck_assert(e.sequences == 20 && e.samples == 9 && e.answers == 63 && e.questions == 50 &&
                  e.heldout == 50);
        ck_assert(e.max_new == 40 && e.sampling && e.reference && e.demonstrations);
        ck_assert_uint_eq(e.data.asked, SPLITS_BOTH);
        ck_assert(e.longest[SPLIT_TRAIN] == 30 && e.longest[SPLIT_HELDOUT] == 40);
    }
}
END_TEST

#define TESTS(X)          \
    X(rows)               \
    X(of_demonstrations)  \
    X(of_sampled_answers) \
    X(of_an_evaluation)   \
    X(of_all)

UNIT_MAIN("phase")
