/* `schedule: auto` and the planner cannot disagree: with a cluster file the plan that auto finds is
 * predicted to be as fast as the best named schedule, on clusters whose latency, bandwidth or
 * computing bounds a step. */
#include <stdlib.h>

#include "comm/base/log.h"
#include "comm/base/problems.h"
#include "trainer/planner/predict.h"
#include "trainer/schedule/schedule.h"
#include "tests/support/check_unit.h"
#include "tests/support/recipe_text.h"

enum { ROWS = 1024 };

static struct settings settings_of(const char *schedule, int pp, int ep, int tp)
{
    return recipe_of(pp * ep * tp,
                     "schedule: %s\nprecision: bf16\n"
                     "model: {layers: 8, hidden: 128, heads: 4, experts: 8, max_context: %d}\n"
                     "mesh: {pp: %d, ep: %d, tp: %d}\ndata: {micro_batch_tokens: %d}\n"
                     "phases: [{kind: sft}]\n",
                     schedule, ROWS, pp, ep, tp, ROWS);
}

/* Seconds of a pipeline as the planner has them, of micro-batches as auto assumes them; 0: this
 * schedule cannot be. */
static double pipeline_of(const char *schedule, const struct cluster *c, int V, const int mesh[3])
{
    struct settings s = settings_of(schedule, mesh[0], mesh[1], mesh[2]);
    struct dims d = settings_dims(&s, V);
    const struct shape shape = shape_of_dims(&d);
    struct prediction t = {0};
    struct plan plan;
    settings_take_cluster(&s, c);
    schedule_choose(&s, &d, NULL);
    int chunks = plan_chunks(schedule_place(&s), s.mesh.pp), m = 2 * s.mesh.pp + 2;
    if (plan_possible(schedule_kind(&s), s.mesh.pp, m, NULL) && chunks <= d.L) {
        int first[32];
        schedule_split(first, &s, &d, chunks);
        schedule_plan(&plan, &s, &d, m);
        struct layout l = {.dp = s.mesh.dp,
                           .pp = s.mesh.pp,
                           .tp = s.mesh.tp,
                           .ep = s.mesh.ep,
                           .kind = schedule_kind(&s),
                           .plan = &plan,
                           .micro_batches = m,
                           .rows = ROWS,
                           .room = ROWS,
                           .context = ROWS,
                           .first = first};
        predict(&t, &shape, c, &l, NULL);
        plan_free(&plan);
    }
    settings_free(&s);
    return t.pipeline;
}

/* Latency in microseconds, GB/s. */
static struct cluster cluster_of(double us, double gbs)
{
    struct cluster c;
    cluster_defaults(&c);
    c.top.devices = 8;
    c.top.memory_gbs = 3000;
    c.compute.bf16 = 400;
    c.inside = (struct link_settings){.gbs = gbs, .us = us};
    return c;
}

/* Placements that need less memory are preferred where they cost 1 % (schedule_choose), at most
 * twice. */
static const double PREFERRED = 1.0202;

static void never_slower(double us, double gbs)
{
    static const int meshes[][3] = {{2, 2, 1}, {4, 1, 1}, {4, 2, 1}, {2, 1, 2}, {4, 1, 2}};
    static const char *const named[] = {"1f1b", "zb1p", "dualpipe", "dualpipev"};
    struct cluster c = cluster_of(us, gbs);
    log_set(LOG_QUIET, 0);
    for (int i = 0; i < 10; i++) {
        const int *mesh = meshes[i / 2], V = i % 2 ? 32000 : 100;
        double found = pipeline_of("auto", &c, V, mesh);
        ck_assert_double_gt(found, 0);
        for (int k = 0; k < 4; k++) {
            double t = pipeline_of(named[k], &c, V, mesh);
            ck_assert_msg(t <= 0 || found <= PREFERRED * t,
                          "pp %d, ep %d, tp %d, V %d: auto %g s, %s %g s", mesh[0], mesh[1],
                          mesh[2], V, found, named[k], t);
        }
    }
    cluster_free(&c);
}

START_TEST(bound_by_latency)
{
    never_slower(100, 100);
}
END_TEST

START_TEST(bound_by_computing)
{
    never_slower(3, 160);
}
END_TEST

START_TEST(bound_by_bandwidth)
{
    never_slower(0, 0.5);
}
END_TEST

#define TESTS(X)          \
    X(bound_by_latency)   \
    X(bound_by_computing) \
    X(bound_by_bandwidth)

UNIT_MAIN("auto", .timeout_s = 60)
