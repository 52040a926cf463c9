/* schedule: auto. The same recipe always gets the same placement and the same plans; they are never
 * worse in the simulator than the named plans of that placement, better where a large head makes
 * stages uneven; placements that do not fit are not taken. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/problems.h"
#include "trainer/config/cluster.h"
#include "trainer/schedule/schedule.h"
#include "trainer/config/table.h"
#include "tests/support/check_unit.h"
#include "tests/support/plans.h"
#include "tests/support/recipe_text.h"

static struct settings settings_of(int pp, int layers, int directions)
{
    return recipe_of(pp,
                     "model: {layers: %d, hidden: 64, heads: 4}\nmesh: {pp: %d, directions: %d}\n"
                     "phases: [{kind: sft}]\n",
                     layers, pp, directions);
}

static bool same_plan(const struct plan *a, const struct plan *b)
{
    bool same = a->place == b->place;
    for (int r = 0; r < a->stages && same; r++)
        same = a->n_rows[r] == b->n_rows[r] &&
               memcmp(a->rows[r], b->rows[r], (size_t)a->n_rows[r] * sizeof **a->rows) == 0;
    return same;
}

START_TEST(same_every_time)
{
    for (int pp = 2; pp <= 5; pp++) {
        struct settings a = settings_of(pp, 2 * pp, 2), b = settings_of(pp, 2 * pp, 2);
        struct dims d = settings_dims(&a, 1000);
        struct plan one, two;
        schedule_choose(&a, &d, NULL);
        schedule_choose(&b, &d, NULL);
        ck_assert_int_eq(a.auto_place, b.auto_place);
        ck_assert_int_eq(schedule_least(&a) % schedule_sums(&a), 0);
        ck_assert_int_ge(schedule_least(&a), 2 * pp);
        schedule_plan(&one, &a, &d, schedule_least(&a));
        schedule_plan(&two, &b, &d, schedule_least(&b));
        ck_assert(same_plan(&one, &two));
        plan_free(&one);
        plan_free(&two);
        settings_free(&a);
        settings_free(&b);
    }
}
END_TEST

/* Simulated with the costs of the test's own: as schedule.c says they are, in units of a layer's
 * linear FLOPs. */
static double makespan(const struct plan *plan, const double *f, const double *b, const double *w,
                       double message)
{
    struct sim_costs c = {.f = f, .b = b, .w = w, .pair = 1, .message = message};
    return plan_makespan(plan, &c, NULL);
}

/* Four layers of 64 and a vocabulary whose head costs as much as three of them: 4 stages, one layer
 * each, the last four times as slow as the others. */
START_TEST(better_when_uneven)
{
    struct settings s = settings_of(4, 4, 1);
    struct dims d = settings_dims(&s, 0);
    double layer = 2.0 * (4 * 64 * 64 + 3 * 64 * d.F), attention = 4.0 * 64 * d.max_context / 2;
    d.V = (int)(3 * layer / (2 * 64));
    double w[4] = {layer, layer, layer, layer}, f[4], b[4], sum = 0;
    for (int c = 0; c < 4; c++) {
        f[c] = w[c] + attention + (c == 3 ? 3 * 2.0 * d.V * 64 : 0); /* gradients, too */
        b[c] = w[c] + 2.5 * attention;
        sum += f[c];
    }
    schedule_choose(&s, &d, NULL);
    ck_assert_int_eq(s.auto_place, PLACE_LINE); /* no layers for a vee, one direction */
    struct plan found;
    schedule_plan(&found, &s, &d, 12);
    double best = makespan(&found, f, b, w, 0.02 * sum / 4), least = 1e30;
    static const enum plan_kind named[] = {PLAN_1F1B, PLAN_ZB1P};
    for (int k = 0; k < 2; k++) {
        struct plan plan;
        plan_make(&plan, named[k], 4, 12);
        double t = makespan(&plan, f, b, w, 0.02 * sum / 4);
        if (t < least) least = t;
        plan_free(&plan);
    }
    ck_assert_msg(best <= least * 1.000001, "%g, the best named plan %g", best, least);
    /* nothing is faster than the last stage with all its work, once it can begin */
    ck_assert(best >= 12 * (f[3] + b[3] + w[3]) + f[0] + f[1] + f[2]);
    plan_free(&found);
    settings_free(&s);
}
END_TEST

static void near(double is, double should)
{
    ck_assert_msg(fabs(is - should) < 1e-6 * should, "%g, not %g", is, should);
}

/* Two stages of two layers, tp 2. A layer computes l (linear) + a (attention) and sums 64 floats
 * twice, the embedding and the head once forward: of 2 members each sends 256 bytes to the other.
 */
START_TEST(exchanges_and_messages_by_hand)
{
    struct settings s = settings_of(2, 4, 1);
    struct dims d = settings_dims(&s, 0);
    struct schedule_costs c;
    double l = 2.0 * (4 * 64 * 64 + 3 * 64 * d.F), a = 4.0 * 64 * d.max_context / 2;
    s.mesh.flops_per_byte = 100;
    s.mesh.tp = 2;
    const double sum = 100 * 256.0, forward[] = {5 * sum, 5 * sum}, back[] = {4 * sum, 4 * sum};
    schedule_costs_new(&c, &s, &d, PLACE_LINE);
    for (int k = 0; k < 2; k++) {
        near(c.table.sim.f[k], l + a + forward[k]);
        near(c.table.sim.b[k], l + 2.5 * a + back[k]);
        near(c.table.sim.w[k], l);
        near(c.table.sim.bw[k], 2 * l + 2.5 * a + back[k]); /* an unpaired pass hides nothing */
        near(c.table.pairs[k * 2 + 1 - k], fmax(3 * l + 3.5 * a, forward[k] + back[1 - k]));
    }
    double least = 1;
    for (int k = 0; k < 4; k++)
        least = fmin(least, c.table.pairs[k] / (c.table.f[k / 2] + c.table.bw[k % 2]));
    near(c.table.sim.pair, least);
    near(c.table.sim.message, fmax(100 * 64 * (d.precision == PRECISION_BF16 ? 2 : 4),
                                   0.02 * (c.table.sim.f[0] + c.table.sim.f[1]) / 2));
    near(c.work, 2 * (3 * l + 3.5 * a));
    schedule_costs_free(&c);
    s.mesh.tp = 1; /* nothing is exchanged, so nothing is hidden */
    schedule_costs_new(&c, &s, &d, PLACE_LINE);
    near(c.table.sim.f[0], 2 * (l + a));
    ck_assert(!c.table.sim.pairs && !c.table.sim.bw && c.table.sim.pair == 1);
    schedule_costs_free(&c);
    settings_free(&s);
}
END_TEST

/* The same with a cluster file, in seconds, for micro-batches of 512 rows: the rate is 1e9 FLOP/s,
 * memory takes nothing, a message 1 ms and a byte 1 ns. Half of a pair's exchanges can be hidden.
 */
START_TEST(costs_of_a_cluster_by_hand)
{
    struct settings s = settings_of(2, 4, 1);
    struct dims d = settings_dims(&s, 0);
    struct schedule_costs c;
    struct cluster cluster;
    cluster_defaults(&cluster);
    cluster.top.devices = 8;
    cluster.top.memory_gbs = 1e30;
    cluster.top.hidden = 0.5;
    cluster.compute.fp32 = cluster.compute.bf16 = 1e-3;
    cluster.compute.achieved = cluster.compute.attention = 1;
    cluster.inside = (struct link_settings){.gbs = 1, .us = 1000};
    settings_take_cluster(&s, &cluster);
    s.mesh.tp = 2;
    s.data.micro_batch_tokens = 512;
    double l = 512e-9 * 2 * (4 * 64 * 64 + 3 * 64 * d.F), a = 512e-9 * 4 * 64 * d.max_context / 2,
           sum = 1e-3 + 512e-9 * 256;
    const double forward[] = {5 * sum, 5 * sum}, back[] = {4 * sum, 4 * sum};
    schedule_costs_new(&c, &s, &d, PLACE_LINE);
    for (int k = 0; k < 2; k++) {
        near(c.table.sim.f[k], l + a + forward[k]);
        near(c.table.sim.b[k], l + 2.5 * a + back[k]);
        near(c.table.sim.w[k], l);
        double compute = 3 * l + 3.5 * a, exchanges = forward[k] + back[1 - k];
        double alone = fmax(l + a + forward[k], 2 * l + 2.5 * a + back[1 - k]);
        near(c.table.pairs[k * 2 + 1 - k], fmax(fmax(compute + exchanges / 2, exchanges), alone));
    }
    near(c.table.sim.message, 1e-3 + 1e-9 * 512 * 64 * (d.precision == PRECISION_BF16 ? 2 : 4));
    schedule_costs_free(&c);
    cluster_free(&cluster);
    settings_free(&s);
}
END_TEST

/* Beyond a few counts of micro-batches, the named plan of the placement. */
START_TEST(long_steps_are_not_searched)
{
    struct settings s = settings_of(4, 8, 2);
    struct dims d = settings_dims(&s, 1000);
    struct plan named, plan;
    s.auto_place = PLACE_MIRROR;
    plan_make(&named, PLAN_DUALPIPE, 4, 100);
    schedule_plan(&plan, &s, &d, 100);
    ck_assert(same_plan(&plan, &named));
    plan_free(&plan);
    plan_free(&named);
    settings_free(&s);
}
END_TEST

START_TEST(only_what_fits)
{
    struct settings s = settings_of(4, 8, 2);
    struct dims d = settings_dims(&s, 100);
    for (int place = 0; place < PLACES; place++) {
        bool fits[PLACES] = {false};
        fits[place] = true;
        schedule_choose(&s, &d, fits);
        ck_assert_int_eq(s.auto_place, place);
        ck_assert_int_eq(schedule_place(&s), place);
        struct plan plan;
        schedule_plan(&plan, &s, &d, 10);
        ck_assert_int_eq(plan.place, place);
        ck_assert_int_le(plan_facts_of(&plan, NULL).peak_slots, schedule_slots(&s, 10));
        plan_free(&plan);
    }
    const bool none[PLACES] = {false};
    s.auto_place = PLACE_LINE;
    schedule_choose(&s, &d, none);
    ck_assert_int_eq(s.auto_place, PLACE_LINE);
    settings_free(&s);
}
END_TEST

START_TEST(placements_that_suit)
{
    struct settings s = settings_of(3, 5, 2); /* odd, and too few layers for a vee */
    ck_assert(schedule_can(&s, PLACE_LINE));
    ck_assert(!schedule_can(&s, PLACE_MIRROR));
    ck_assert(!schedule_can(&s, PLACE_VEE));
    settings_free(&s);
    s = settings_of(2, 5, 2);
    free(s.mesh.split);
    s.mesh.split = strdup("2,1,1,1"); /* speaks of four chunks */
    ck_assert(!schedule_can(&s, PLACE_LINE));
    ck_assert(schedule_can(&s, PLACE_VEE));
    settings_free(&s);
    s = settings_of(2, 5, 1);
    ck_assert(!schedule_can(&s, PLACE_MIRROR)); /* one direction */
    settings_free(&s);
}
END_TEST

/* By hand: 6 layers, a head of 1.6 of them. On two chunks 4 and 2 + 1.6; on three 2, 2, 2 + 1.6 or
 * 3, 2, 1 + 1.6. */
START_TEST(split_by_hand)
{
    struct settings s = settings_of(3, 6, 2);
    struct dims d = settings_dims(&s, 0);
    double layer = 2.0 * (4 * 64 * 64 + 3 * 64 * d.F) + 4.0 * 64 * d.max_context / 2;
    d.V = (int)(1.6 * layer / (2 * 64));
    int first[4];
    schedule_split(first, &s, &d, 2);
    ck_assert(first[0] == 0 && first[1] == 4 && first[2] == 6);
    schedule_split(first, &s, &d, 3);
    ck_assert(first[0] == 0 && first[1] == 3 && first[2] == 5 && first[3] == 6);
    free(s.mesh.split);
    s.mesh.split = strdup("1,1,4");
    schedule_split(first, &s, &d, 3);
    ck_assert(first[0] == 0 && first[1] == 1 && first[2] == 2 && first[3] == 6);
    settings_free(&s);
}
END_TEST

/* A choice without its line in schedule_kind would run another schedule under its name. */
START_TEST(recipes_name_their_plan)
{
    struct settings s = settings_of(2, 4, 2);
    const struct setting *k = setting_find(&sections[SECTION_RUN], "schedule");
    for (const struct choice *c = k->choices; c->name; c++) {
        s.run.schedule = c->value;
        ck_assert_str_eq(plan_kind_name(schedule_kind(&s)), c->name);
    }
    settings_free(&s);
}
END_TEST

#define TESTS(X)                      \
    X(same_every_time)                \
    X(better_when_uneven)             \
    X(exchanges_and_messages_by_hand) \
    X(costs_of_a_cluster_by_hand)     \
    X(long_steps_are_not_searched)    \
    X(only_what_fits)                 \
    X(placements_that_suit)           \
    X(split_by_hand)                  \
    X(recipes_name_their_plan)

UNIT_MAIN("choose", .timeout_s = 60)
