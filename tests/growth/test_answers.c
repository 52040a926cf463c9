/* Answers of a rollout, on pretended meshes with as many answers a rank: what a rank has room for.
 * Answers stay with the rank that samples them, so that this is flat; of all answers a rank knows
 * some bytes each, whatever their length. */
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "tests/support/recipe_text.h"
#include "trainer/phases/phases.h"
#include "trainer/planner/memory.h"
#include "trainer/rollout/rollout.h"

enum { EACH = 64, SAMPLES = 4, LENGTH = 1000, KNOWN = 48 }; /* answers a rank; bytes of each */

/* Bytes of the buffers of a rollout on the first of `ranks`, but the cache. */
static double bytes(int ranks, int pp, int length)
{
    struct settings s = recipe_of(ranks,
                                  "model: {layers: 2, hidden: 32, heads: 2, max_context: 1024}\n"
                                  "mesh: {pp: %d, decode_slots: 4}\n"
                                  "data: {task: arithmetic, micro_batch_tokens: 1024}\n"
                                  "phases: [{kind: grpo, prompts: 8, samples: 4, max_new: 8}]\n",
                                  pp);
    struct memory_job job = {&s, ops_find(PRECISION_BF16, NULL), 101, extent_of(phase_kinds, &s),
                             NULL};
    struct mesh m = memory_mesh(&s, (struct mesh_at){0});
    struct world w = {.size = ranks};
    struct stage stage;
    const struct stage_job weights = memory_stage(&job, &m, 0);
    stage_measure(&stage, &weights);
    struct arena a =
        rollout_measure(&stage, &w, (struct rollout_room){EACH * ranks, SAMPLES, length});
    double n = (double)(a.used - a.of[ARENA_CACHES]);
    stage_free(&stage);
    settings_free(&s);
    return n;
}

/* What answers of LENGTH tokens take more than those of one. */
START_TEST(answers_held)
{
    for (int pp = 1; pp <= 2; pp++) {
        struct growth held = {.n = 0};
        for (int ranks = 2 * pp; ranks <= 16384; ranks *= ranks < 8 ? 2 : 8)
            growth_add(&held, ranks, bytes(ranks, pp, LENGTH) - bytes(ranks, pp, 1));
        growth_at_most(&held, "bytes of answers held", 0.05);
        ck_assert_double_gt(held.count[0], 8.0 * EACH * (LENGTH - 1));
    }
}
END_TEST

START_TEST(answers_known)
{
    for (int ranks = 64; ranks <= 16384; ranks *= 4) {
        double more = bytes(2 * ranks, 1, 1) - bytes(ranks, 1, 1);
        ck_assert_double_le(more, (double)KNOWN * EACH * ranks);
    }
}
END_TEST

#define TESTS(X)    \
    X(answers_held) \
    X(answers_known)

UNIT_MAIN("answers", .timeout_s = 120)
