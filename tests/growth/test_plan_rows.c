/* Plans on a rank of a pipeline: its own rows alone, so bytes that grow as the micro-batches of a
 * step do, and not with the stages; the same for the rows that are made when a step has another
 * number of them. */
#include <stdio.h>
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "tests/support/recipe_text.h"
#include "trainer/planner/memory.h"

enum { LEAST = 256, STAGES = 16 };
static const char *const SCHEDULE[] = {"1f1b", "zb1p", "dualpipe", "dualpipev", "auto"};

/* Calls see(stage) on the first rank of a pipeline whose steps have LEAST to `most` micro-batches.
 */
static double of_stage(const char *schedule, int stages, int most,
                       double (*see)(struct stage *s, int most))
{
    struct settings s = recipe_of(stages,
                                  "model: {layers: 256, hidden: 8, heads: 1, ffn: 8, "
                                  "max_context: 16}\nmesh: {pp: %d, micro_batches: %d}\n"
                                  "data: {task: arithmetic, micro_batch_tokens: 16}\n"
                                  "schedule: %s\nphases: [{kind: sft, batch: 8, steps: 1}]\n",
                                  stages, LEAST, schedule);
    struct memory_job job = {&s, ops_find(PRECISION_BF16, NULL), 101, {0}, NULL};
    struct mesh mesh = memory_mesh(&s, (struct mesh_at){0});
    struct stage_job want = memory_stage(&job, &mesh, most);
    struct stage stage;
    stage_measure(&stage, &want);
    double found = see(&stage, most);
    stage_free(&stage);
    settings_free(&s);
    return found;
}

static double bytes_of(struct stage *s, int most)
{
    (void)most;
    return (double)s->plans_bytes;
}

/* Into room of its own: a stage that is measured has none. */
static double rows_made(struct stage *s, int most)
{
    struct arena a = {0};
    struct plan_part part;
    for (int placing = 0; placing < 2; placing++) {
        plan_part_place(&part, s->place, s->mesh->pp, 0, most, &a);
        if (!placing) arena_back(&a, &device_host, a.used);
    }
    plan_part_make(&part, schedule_named(s->settings), most);
    arena_free(&a);
    return part.n_rows;
}

static void check(const char *what, double (*see)(struct stage *s, int most))
{
    for (size_t i = 0; i < sizeof SCHEDULE / sizeof *SCHEDULE; i++) {
        struct growth micro_batches = {.n = 0}, stages = {.n = 0};
        char text[64];
        for (int m = 1; m <= 8; m *= 2)
            growth_add(&micro_batches, m, of_stage(SCHEDULE[i], STAGES, m * LEAST, see));
        for (int p = 1; p <= 8; p *= 2)
            growth_add(&stages, p, of_stage(SCHEDULE[i], p * STAGES, 8 * LEAST, see));
        snprintf(text, sizeof text, "%s, %s, by micro-batches", what, SCHEDULE[i]);
        growth_at_most(&micro_batches, text, 1.1);
        snprintf(text, sizeof text, "%s, %s, by stages", what, SCHEDULE[i]);
        growth_at_most(&stages, text, 0.1);
    }
}

START_TEST(bytes_of_plans)
{
    check("bytes of plans", bytes_of);
}
END_TEST

START_TEST(rows_of_a_step)
{
    check("rows made for a step", rows_made);
}
END_TEST

#define TESTS(X)      \
    X(bytes_of_plans) \
    X(rows_of_a_step)

UNIT_MAIN("plan_rows", .timeout_s = 120)
