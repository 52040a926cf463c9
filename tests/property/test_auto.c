/* The search for plans: right plans, within the limits, never worse than the best named plan that
 * fits, and better where stages are uneven. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/rng.h"
#include "pipeline/auto.h"
#include "tests/support/check_unit.h"
#include "tests/support/plans.h"

enum { MOST = 16 };

/* The costs of a model for every placement: a vee's chunks are half of a stage each. */
struct model {
    double f[PLACES][MOST], b[PLACES][MOST], w[PLACES][MOST], bw[PLACES][MOST];
    struct sim_costs costs[PLACES];
};

/* Stage s takes stage[s]; the head and what comes with it, `last` of the last, is not halved by a
 * vee. */
static void model_make(struct model *m, const double *stage, int stages, double first, double last,
                       struct sim_costs like)
{
    for (int place = 0; place < PLACES; place++) {
        int chunks = plan_chunks((enum plan_place)place, stages);
        for (int i = 0; i < chunks; i++) {
            double t = chunks > stages ? stage[i / 2] / 2 : stage[i];
            if (i == 0) t += first;
            if (i == chunks - 1) t += last;
            m->f[place][i] = m->b[place][i] = m->w[place][i] = t;
            m->bw[place][i] = 1.9 * t;
        }
        m->costs[place] = (struct sim_costs){.f = m->f[place],
                                             .b = m->b[place],
                                             .w = m->w[place],
                                             .bw = like.bw ? m->bw[place] : NULL,
                                             .pair = like.pair,
                                             .pair_f = like.pair_f,
                                             .message = like.message};
    }
}

static bool fits(const struct plan_facts *f, const struct plan_limits *l)
{
    return (!l->live || f->peak_live <= l->live) && (!l->slots || f->peak_slots <= l->slots) &&
           (!l->weights || f->peak_weights <= l->weights);
}

/* INFINITY: none fits. */
static double best_named(int stages, int micro_batches, const struct auto_option option[PLACES])
{
    double best = INFINITY;
    for (int k = 0; k < PLAN_AUTO; k++) {
        const struct auto_option *o = &option[plan_kind_place((enum plan_kind)k)];
        struct plan plan;
        struct plan_facts facts;
        if (!o->costs || !plan_possible((enum plan_kind)k, stages, micro_batches, NULL)) continue;
        plan_make(&plan, (enum plan_kind)k, stages, micro_batches);
        ck_assert(plan_check(&plan, NULL, &facts, NULL));
        if (fits(&facts, &o->limits)) best = fmin(best, plan_makespan(&plan, o->costs, NULL));
        plan_free(&plan);
    }
    return best;
}

/* What must hold of any search. Returns what was gained: 1 - found / best named. */
static double search(int stages, int micro_batches, const struct auto_option option[PLACES])
{
    struct plan plan;
    struct auto_found found;
    double named = best_named(stages, micro_batches, option);
    ck_assert(plan_auto(&plan, stages, micro_batches, option, &found));
    ck_assert_int_eq(plan.kind, PLAN_AUTO);
    ck_assert_ptr_nonnull(option[plan.place].costs);
    struct plan_facts facts = plan_facts_of(&plan, NULL);
    ck_assert(fits(&facts, &option[plan.place].limits));
    ck_assert_double_eq_tol(found.makespan, plan_makespan(&plan, option[plan.place].costs, NULL),
                            1e-9);
    ck_assert_double_le(found.makespan, named * (1 + 1e-9));
    ck_assert(isinf(named) ? found.named == PLAN_AUTO : found.named < PLAN_AUTO);
    if (isfinite(named)) ck_assert_double_eq_tol(found.named_makespan, named, 1e-9);
    struct plan forward;
    plan_forward_only(&forward, &plan);
    plan_facts_of(&forward, NULL);
    plan_free(&forward);
    plan_free(&plan);
    return 1 - found.makespan / named;
}

/* A hundred models, meshes and limits, as they come. */
START_TEST(never_worse)
{
    struct rng_stream rng = {(uint64_t)_i, {.purpose = RNG_TEST}};
    int stages = 1 + (int)rng_next_below(&rng, 5);
    int micro_batches = 1 + (int)rng_next_below(&rng, 2 * (uint32_t)stages + 4);
    double stage[MOST];
    struct model m;
    for (int s = 0; s < stages; s++) stage[s] = 0.5 + rng_next_uniform(&rng);
    struct sim_costs like = {.pair = 0.6 + 0.5 * rng_next_uniform(&rng),
                             .pair_f = _i % 2 ? 0.6 : 0,
                             .message = _i % 3 ? 0.2 * rng_next_uniform(&rng) : 0};
    if (_i % 4 == 0) like.bw = stage;
    model_make(&m, stage, stages, rng_next_uniform(&rng), 2 * rng_next_uniform(&rng), like);
    struct auto_option option[PLACES] = {{0}};
    uint32_t places = 1 + rng_next_below(&rng, 7);
    for (int i = 0; i < PLACES; i++)
        if (places & 1u << i) {
            int most = 2 + (int)rng_next_below(&rng, 3 * (uint32_t)stages);
            option[i] = (struct auto_option){.costs = &m.costs[i]};
            if (_i % 3 == 0) option[i].limits.live = most;
            if (_i % 3 == 1) option[i].limits.slots = most;
            if (_i % 5 == 0) option[i].limits.weights = 1 + most / 3;
        }
    bool only_mirror = places == 1u << PLACE_MIRROR;
    if (only_mirror) stages += stages % 2, micro_batches += micro_batches % 2;
    if (only_mirror) model_make(&m, (double[MOST]){1, 1, 1, 1, 1, 1}, stages, 0, 1, like);
    search(stages, micro_batches, option);
}
END_TEST

/* Eight stages, twenty micro-batches, a pair that saves a fifth, twice the parameters allowed. */
static void expect_gain(const double stage[8], double first, double last, double gain)
{
    struct model m;
    model_make(&m, stage, 8, first, last, (struct sim_costs){.pair = 0.8, .message = 0.05});
    const struct auto_option option[PLACES] = {
        [PLACE_LINE] = {&m.costs[PLACE_LINE], {.slots = 16}},
        [PLACE_MIRROR] = {&m.costs[PLACE_MIRROR], {.slots = 9}},
        [PLACE_VEE] = {&m.costs[PLACE_VEE], {.slots = 17}}};
    double got = search(8, 20, option);
    ck_assert_double_gt(got, gain);
}

/* The head takes as long as a stage. */
START_TEST(heavy_head)
{
    expect_gain((const double[8]){1, 1, 1, 1, 1, 1, 1, 1}, 0, 1, 0.03);
}
END_TEST

/* The embedding half a stage; head and a multi-token-prediction layer at the other end one and a
 * half. */
START_TEST(heavy_ends)
{
    expect_gain((const double[8]){1, 1, 1, 1, 1, 1, 1, 1}, 0.5, 1.5, 0.03);
}
END_TEST

/* Dense layers first, others slower or quicker. */
START_TEST(unequal_layers)
{
    expect_gain((const double[8]){0.6, 1.0, 1.4, 0.8, 1.2, 0.6, 1.0, 1.4}, 0, 0, 0.02);
}
END_TEST

/* The same question, the same answer. */
START_TEST(deterministic)
{
    static const double stage[4] = {1, 1.5, 0.5, 1};
    struct model m;
    struct plan plan[2];
    model_make(&m, stage, 4, 0.25, 0.5, (struct sim_costs){.pair = 0.7, .message = 0.1});
    const struct auto_option option[PLACES] = {{&m.costs[0], {.slots = 6}, 0},
                                               {&m.costs[1], {.slots = 6}, 0}};
    for (int i = 0; i < 2; i++) ck_assert(plan_auto(&plan[i], 4, 10, option, NULL));
    for (int r = 0; r < 4; r++) {
        ck_assert_int_eq(plan[0].n_rows[r], plan[1].n_rows[r]);
        ck_assert_mem_eq(plan[0].rows[r], plan[1].rows[r],
                         (size_t)plan[0].n_rows[r] * sizeof(struct plan_row));
    }
    for (int i = 0; i < 2; i++) plan_free(&plan[i]);
}
END_TEST

/* No placement that can be: no plan. */
START_TEST(nothing_fits)
{
    struct model m;
    struct plan plan;
    struct auto_option option[PLACES] = {{0}};
    model_make(&m, (const double[3]){1, 1, 1}, 3, 0, 0, (struct sim_costs){.pair = 1});
    ck_assert(!plan_auto(&plan, 3, 6, option, NULL));
    option[PLACE_MIRROR].costs = &m.costs[PLACE_MIRROR]; /* three ranks have no mirror */
    ck_assert(!plan_auto(&plan, 3, 6, option, NULL));
    option[PLACE_MIRROR].costs = NULL;
    option[PLACE_VEE] = (struct auto_option){.costs = &m.costs[PLACE_VEE], .limits = {.slots = 1}};
    ck_assert(!plan_auto(&plan, 3, 6, option, NULL)); /* a vee's rank needs one for each chunk */
    option[PLACE_VEE].limits.slots = 2;
    search(3, 6, option);
}
END_TEST

/* Without costs of its own: never slower than zb1p where all stages are alike, in 1f1b's memory. */
static void see_zb1p(const struct plan *zb1p)
{
    struct plan plan;
    plan_make_any(&plan, PLAN_AUTO, zb1p->stages, zb1p->micro_batches);
    struct plan_facts facts = plan_facts_of(&plan, NULL);
    ck_assert_int_le(facts.peak_slots, zb1p->stages);
    ck_assert_double_le(facts.makespan, plan_facts_of(zb1p, NULL).makespan);
    plan_free(&plan);
}

START_TEST(equal_stages)
{
    ck_assert_int_eq(plans_each(PLAN_ZB1P, 5, 2, see_zb1p), 30);
}
END_TEST

#define TESTS(X)              \
    X(never_worse, .to = 100) \
    X(heavy_head)             \
    X(heavy_ends)             \
    X(unequal_layers)         \
    X(deterministic)          \
    X(nothing_fits)           \
    X(equal_stages)

UNIT_MAIN("auto", .timeout_s = 60)
