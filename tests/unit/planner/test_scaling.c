/* The formulas of duet plan --scaling against the functions that place a trainer's memory, on
 * models small enough for both. Weights, gradients and the optimizer's state are the same on the
 * mean rank. Activations are, too, but that with ep there is room for mesh.expert_room even shares
 * of expert rows; the formula counts one. */
#include <stdio.h>
#include <string.h>

#include "comm/base/problems.h"
#include "trainer/phases/phases.h"
#include "trainer/planner/memory.h"
#include "trainer/planner/scaling.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"

static const char *const MODEL =
    "model: {layers: 16, hidden: 128, heads: 8, kv_heads: 4, ffn: 352, "
    "max_context: 256%s}\n"
    "mesh: {pp: %d, tp: %d, ep: %d}\n"
    "data: {task: arithmetic, micro_batch_tokens: 256}\n"
    "schedule: %s\nprecision: bf16\n"
    "phases: [{kind: sft, batch: 8, steps: 1}]\n";
enum { V = 512, T = 256 };

struct wish {
    const char *model;
    int dp, pp, tp, ep;
    enum plan_kind kind;
    double activations[2]; /* formula / placed, of the mean rank: at least, at most */
};

static struct settings settings_of(const struct wish *w)
{
    return recipe_of(w->dp * w->pp * w->tp, MODEL, w->model, w->pp, w->tp, w->ep,
                     plan_kind_name(w->kind));
}

/* What the ranks of a pipeline place, on average. */
static struct scaling_bytes placed(const struct settings *s, const struct ops *ops)
{
    struct scaling_bytes mean = {0};
    double n = s->mesh.pp;
    for (int p = 0; p < s->mesh.pp; p++) {
        struct memory_job job = {s, ops, V, extent_of(phase_kinds, s), NULL};
        struct memory m;
        memory_of_rank(&m, &job, (struct mesh_at){.p = p});
        mean.parameters += (double)m.of[ARENA_PARAMETERS] / n;
        mean.gradients += (double)m.of[ARENA_GRADIENTS] / n;
        mean.optimizer += (double)m.of[ARENA_OPTIMIZER] / n;
        mean.buffers += (double)m.of[ARENA_BUFFERS] / n;
        mean.activations += (double)m.of[ARENA_ACTIVATIONS] / n;
    }
    return mean;
}

static void between(const char *what, double is, double want, double least, double most)
{
    ck_assert_msg(is >= least * want && is <= most * want, "%s: formula %.0f, placed %.0f: %.3f",
                  what, is, want, is / want);
}

static const struct wish WISH[] = {
    {"", 2, 1, 1, 1, PLAN_SERIAL, {0.98, 1.04}},
    {"", 2, 2, 1, 1, PLAN_1F1B, {0.98, 1.04}},
    {"", 1, 4, 1, 1, PLAN_ZB1P, {0.98, 1.04}},
    {"", 1, 2, 2, 1, PLAN_1F1B, {0.98, 1.04}},
    {", experts: 8, experts_active: 2, first_dense: 2", 2, 2, 1, 1, PLAN_1F1B, {0.98, 1.05}},
    {"", 2, 4, 1, 1, PLAN_DUALPIPE, {0.98, 1.05}},
    {"", 2, 4, 1, 1, PLAN_DUALPIPEV, {0.98, 1.05}},
    {", experts: 8, experts_active: 2, first_dense: 2", 4, 2, 1, 2, PLAN_1F1B, {0.5, 0.8}},
};

START_TEST(formulas)
{
    const struct wish *w = &WISH[_i];
    struct settings s = settings_of(w);
    struct dims d = settings_dims(&s, V);
    struct shape shape = shape_of_dims(&d);
    struct ops ops = *ops_find(PRECISION_BF16, NULL);
    ops.linear_place = linear_place_nothing;
    struct scaling_bytes is, want = placed(&s, &ops);
    struct layout l = {.dp = w->dp,
                       .pp = w->pp,
                       .tp = w->tp,
                       .ep = w->ep,
                       .kind = w->kind,
                       .rows = T,
                       .room = T,
                       .context = T};
    int slots = schedule_slots(&s, learner_max_micro_batches(&s, 8, d.max_context - 1));
    is = scaling_bytes(&shape, &l, slots);
    between("parameters", is.parameters, want.parameters, 0.998, 1.002);
    between("gradients", is.gradients, want.gradients, 0.998, 1.002);
    between("optimizer", is.optimizer, want.optimizer, 0.998, 1.002);
    between("activations", is.activations, want.activations, w->activations[0], w->activations[1]);
    settings_free(&s);
}
END_TEST

/* What the dense models of the table say of a layer is what the trainer's tables of activations
 * say. */
START_TEST(dense_models_are_the_trainers)
{
    for (int i = 0; i < SCALED_V3; i++) {
        const struct shape *is = &SCALED[i].shape;
        const struct layout one = {.dp = 1, .pp = 1, .tp = 1, .ep = 1, .room = 4096};
        struct settings s;
        ck_assert(scaling_settings(&s, &SCALED[i], &one));
        struct dims d = settings_dims(&s, (int)is->V);
        const struct shape want = shape_of_dims(&d);
        ck_assert_double_eq(is->kept, want.kept);
        for (int r = 0; r < RECOMPUTE_NEVER; r++) {
            ck_assert_double_eq(is->again.acts[r], want.again.acts[r]);
            ck_assert_double_eq(is->again.matrices[r], want.again.matrices[r]);
        }
        settings_free(&s);
    }
}
END_TEST

/* 32 B on 16 devices of 60 GiB, where nothing fits without: then with the least that does; and
 * where all memory is there, without. */
START_TEST(recompute_is_searched)
{
    struct cluster c;
    struct problems p = {0};
    cluster_defaults(&c);
    ck_assert(cluster_load(&c, "launch/clusters/h800-2048.yaml", &p));
    struct remember known = {.shape = NULL}, again = {.shape = NULL};
    c.top.memory_gib = 60;
    const struct scaled with = scaling_best(&SCALED[1], &c, &known, 16);
    ck_assert(with.fits && with.layout.recompute != RECOMPUTE_NONE);
    struct layout less = with.layout;
    less.recompute = (enum recompute)((int)less.recompute - 1);
    ck_assert_double_gt(scaling_placed(&SCALED[1], &less), c.top.memory_gib * 0x1p30);
    ck_assert_double_le(with.bytes, c.top.memory_gib * 0x1p30);
    c.top.memory_gib *= 8;
    const struct scaled without = scaling_best(&SCALED[1], &c, &again, 16);
    ck_assert(without.fits && without.layout.recompute == RECOMPUTE_NONE);
    ck_assert_double_gt(without.time.rows_per_second, with.time.rows_per_second);
    remember_free(&known);
    remember_free(&again);
    cluster_free(&c);
}
END_TEST

#define TESTS(X)                                  \
    X(formulas, .to = sizeof WISH / sizeof *WISH) \
    X(dense_models_are_the_trainers)              \
    X(recompute_is_searched)

UNIT_MAIN("scaling", .timeout_s = 60)
