/* What `duet plan --scaling` simulates when it searches the meshes of more devices: the pipelines
 * of a mesh are the same however many there are, and nothing is simulated twice. */
#include "comm/base/problems.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "trainer/planner/scaling.h"

enum { LEAST = 256, MOST = 16384 };

/* With experts, so that ep is searched, too; memory by formulas. */
static const struct scaled_model MODEL = {.shape = {.layers = 16,
                                                    .dense = 1,
                                                    .C = 1024,
                                                    .V = 32000,
                                                    .attention = 4.0 * 1024 * 1024,
                                                    .key = 4.0 * 1024,
                                                    .ffn = 3.0 * 1024 * 4096,
                                                    .expert = 3.0 * 1024 * 512,
                                                    .experts = 64,
                                                    .active = 4,
                                                    .kept = 20000,
                                                    .kept_moe = 20000,
                                                    .send = 2,
                                                    .nodes = 4,
                                                    .precision = PRECISION_BF16},
                                          .context = 1024,
                                          .batch = 16384};

static struct cluster cluster(void)
{
    struct cluster c;
    struct problems p = {0};
    cluster_defaults(&c);
    ck_assert(cluster_load(&c, "launch/clusters/h800-2048.yaml", &p));
    return c;
}

START_TEST(pipelines_simulated)
{
    struct growth made = {.n = 0};
    struct cluster c = cluster();
    for (int devices = LEAST; devices <= MOST; devices *= 4) {
        struct remember known = {.shape = NULL};
        ck_assert(scaling_best(&MODEL, &c, &known, devices).fits);
        growth_add(&made, devices, (double)known.made);
        long first = known.made;
        scaling_best(&MODEL, &c, &known, devices);
        ck_assert_int_eq(known.made, first);
        remember_free(&known);
    }
    growth_at_most(&made, "simulated pipelines", 0.2);
    cluster_free(&c);
}
END_TEST

static bool close_to(double a, double b)
{
    return fabs(a - b) <= 1e-15 * fabs(a);
}

/* What is remembered of other searches changes nothing. */
START_TEST(remembered_is_as_new)
{
    struct cluster c = cluster();
    struct remember all = {.shape = NULL};
    for (int devices = LEAST; devices <= MOST; devices *= 8) {
        struct remember fresh = {.shape = NULL};
        struct scaled a = scaling_best(&MODEL, &c, &all, devices),
                      b = scaling_best(&MODEL, &c, &fresh, devices);
        ck_assert(close_to(a.time.step, b.time.step) && close_to(a.time.exposed, b.time.exposed) &&
                  close_to(a.time.bubble, b.time.bubble) && close_to(a.bytes, b.bytes));
        ck_assert(a.layout.kind == b.layout.kind && a.layout.pp == b.layout.pp &&
                  a.layout.ep == b.layout.ep && a.layout.tp == b.layout.tp);
        ck_assert_int_eq(a.limit, b.limit);
        struct prediction t;
        struct layout l = a.layout;
        l.micro_batches = l.micro_batches < 2 * l.pp ? l.micro_batches : 2 * l.pp;
        predict(&t, &MODEL.shape, &c, &l, NULL);
        struct prediction again;
        remember_predict(&all, &again, &l);
        ck_assert(close_to(t.step, again.step) && close_to(t.mfu, again.mfu));
        remember_free(&fresh);
    }
    remember_free(&all);
    cluster_free(&c);
}
END_TEST

#define TESTS(X)           \
    X(pipelines_simulated) \
    X(remembered_is_as_new)

UNIT_MAIN("search", .timeout_s = 120)
