/* Every number of the table of settings at either end of its range, in a tiny recipe: what cannot
 * be is refused, with a reason, before anything is allocated; what is not refused can be measured.
 * A crash, an INVARIANT or memory that grows fails the test. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include "comm/base/problems.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"
#include "trainer/config/table.h"
#include "trainer/phases/phases.h"
#include "trainer/planner/limits.h"

static const char *const RECIPE =
    "model: {layers: 2, hidden: 32, heads: 2, max_context: 64%s}\n"
    "data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 128}\n"
    "mesh: {decode_slots: 16}\n"
    "phases: [{kind: sft, steps: 1, batch: 4, eval_every: 1, eval_prompts: 4, max_new: 8},\n"
    "  {kind: grpo, name: learn, steps: 1, prompts: 4, samples: 2, max_new: 8, kl: 0.1},\n"
    "  {kind: eval, name: last, prompts: 4, samples: 2, max_new: 8}]\n";

enum { VOCABULARY = 103, LIMIT_MIB = 256 };

/* One value in the recipe: as training begins, up to the first allocation. true: it would train. */
static bool would_train(const char *assignment, const char *experts)
{
    struct settings s = recipe_of(0, RECIPE, experts);
    struct problems p = {0};
    if (settings_set(&s, assignment, &p)) settings_check(&s, 1, &p);
    struct extent e = extent_of(phase_kinds, &s);
    struct memory_job job = {&s, ops_find(PRECISION_FP32, "plain"), VOCABULARY, e, NULL};
    if (p.n == 0 && limits_micro_batches(&s, &e, &p))
        limits_fit(&job, (struct mesh_at){0}, (size_t)LIMIT_MIB << 20, "here", &p);
    bool ok = p.n == 0;
    for (int i = 0; i < p.n; i++) ck_assert_msg(strlen(p.text[i]) > 10, "%s", p.text[i]);
    settings_free(&s);
    problems_free(&p);
    return ok;
}

static void try_both_ends(const char *prefix, const struct setting *k, const char *experts,
                          int ran[2])
{
    const double ends[] = {k->low, k->high};
    for (int i = 0; i < 2; i++) {
        char assignment[160];
        snprintf(assignment, sizeof assignment, "%s%s=%.17g", prefix, k->name, ends[i]);
        if (k->type == SETTING_INT)
            snprintf(assignment, sizeof assignment, "%s%s=%.0f", prefix, k->name, ends[i]);
        ran[would_train(assignment, experts)]++;
    }
}

static void try_section(enum section_id id, const char *prefix, unsigned kind, const char *experts,
                        int ran[2])
{
    for (int i = 0; i < sections[id].n_settings; i++) {
        const struct setting *k = &sections[id].settings[i];
        if (k->type != SETTING_INT && k->type != SETTING_REAL) continue;
        if (id == SECTION_PHASE && !(k->kinds >> kind & 1u)) continue;
        try_both_ends(prefix, k, experts, ran);
    }
}

static void try_all(const char *experts, int ran[2])
{
    static const char *const phase[] = {
        [PHASE_SFT] = "phases.sft.", [PHASE_GRPO] = "phases.learn.", [PHASE_EVAL] = "phases.last."};
    for (int id = 0; id < SECTION_PHASE; id++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%s%s", sections[id].name, id ? "." : "");
        try_section((enum section_id)id, prefix, 0, experts, ran);
    }
    for (unsigned kind = 0; kind < 3; kind++)
        try_section(SECTION_PHASE, phase[kind], kind, experts, ran);
}

START_TEST(ends_of_every_range)
{
    const struct rlimit most = {(rlim_t)2 << 30, (rlim_t)2 << 30};
    int ran[2] = {0, 0};
    if (MEMORY_LIMITS) setrlimit(RLIMIT_DATA, &most);
    try_all("", ran);
    try_all(", experts: 4", ran);
    ck_assert_msg(ran[true] > 60 && ran[false] > 20, "%d would train, %d are refused", ran[true],
                  ran[false]);
}
END_TEST

/* Products: each value may be, together they may not. */
START_TEST(sizes_that_multiply)
{
    static const char *const wrong[] = {
        ", layers: 64, hidden: 65536, heads: 1024, ffn: 262144",
        ", layers: 1024, hidden: 65536, heads: 1024, experts: 4096, expert_ffn: 262144",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct settings s =
            recipe_of(0, "model: {max_context: 64%s}\nphases: [{kind: sft}]\n", wrong[i]);
        struct problems p = {0};
        bool can = settings_check(&s, 1, &p);
        ck_assert_int_eq(can, i == 0);
        struct extent e = extent_of(phase_kinds, &s);
        struct memory_job job = {&s, ops_find(PRECISION_FP32, "plain"), VOCABULARY, e, NULL};
        if (can) ck_assert(!limits_fit(&job, (struct mesh_at){0}, (size_t)1 << 40, "here", &p));
        const char *said = can ? "GiB are free for it on here" : "parameters, more than 1e+13";
        ck_assert_msg(strstr(p.text[0], said) != NULL, "%s", p.text[0]);
        settings_free(&s);
        problems_free(&p);
    }
}
END_TEST

/* P8: kernels of products are tried on matrices of the weights' size: not for a model that does not
 * fit anyway. */
START_TEST(too_large_is_refused_before_kernels_are_tried)
{
    const struct rlimit most = {(rlim_t)2 << 30, (rlim_t)2 << 30};
    struct problems p = {0};
    if (MEMORY_LIMITS) setrlimit(RLIMIT_DATA, &most);
    struct settings s =
        recipe_of(1, "model: {layers: 2, hidden: 65536, heads: 512}\nphases: [{kind: sft}]\n");
    struct memory_job job = {&s, ops_find(PRECISION_FP32, "base"), VOCABULARY,
                             extent_of(phase_kinds, &s), NULL};
    ck_assert(!limits_fit(&job, (struct mesh_at){0}, (size_t)LIMIT_MIB << 20, "here", &p));
    ck_assert_msg(strstr(p.text[0], "but only 256.0 MiB are free for it on here: lower the model's "
                                    "sizes") != NULL,
                  "%s", p.text[0]);
    settings_free(&s);
    problems_free(&p);
}
END_TEST

/* Copies of weights for products are placed last; a model that fits but for them does not fit. */
START_TEST(copies_of_weights_count)
{
    struct settings s =
        recipe_of(1, "model: {layers: 2, hidden: 256, heads: 4}\nphases: [{kind: sft}]\n");
    struct problems p = {0};
    struct memory with, without;
    const struct mesh_at at = {0};
    struct memory_job job = {&s, ops_find(PRECISION_FP32, "base"), VOCABULARY,
                             extent_of(phase_kinds, &s), NULL};
    struct ops bare_ops = *job.ops;
    struct memory_job bare = job;
    bare_ops.linear_place = linear_place_nothing;
    bare.ops = &bare_ops;
    memory_of_rank(&with, &job, at);
    memory_of_rank(&without, &bare, at);
    ck_assert_uint_gt(with.total, without.total);
    ck_assert(!limits_fit(&job, at, with.total - 1, "here", &p));
    ck_assert(!limits_fit(&job, at, without.total, "here", &p));
    ck_assert_int_eq(p.n, 2);
    ck_assert(limits_fit(&job, at, with.total, "here", &p));
    settings_free(&s);
    problems_free(&p);
}
END_TEST

#define TESTS(X)                                     \
    X(ends_of_every_range)                           \
    X(sizes_that_multiply)                           \
    X(too_large_is_refused_before_kernels_are_tried) \
    X(copies_of_weights_count)

UNIT_MAIN("extremes", .timeout_s = 60)
