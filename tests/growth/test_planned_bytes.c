/* What `duet plan` does to know the bytes between hosts: a few additions a rank and bucket, of
 * gathers by doubling one more for each doubling of the hosts, and of hosts only what each sends
 * and gets, on up to 16,384 of them. */
#include <stdlib.h>
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "tests/support/recipe_text.h"
#include "trainer/phases/phases.h"
#include "trainer/planner/hosts.h"
#include "trainer/planner/reduction.h"

enum { LEAST = 256, MOST = 16384 }; /* from the least on all groups are large */

struct planned {
    struct settings settings;
    struct memory_job job;
    struct traffic traffic;
    int *host;
};

/* `ranks` of them, `slots` to a host, two stages and four pipelines that share experts. */
static void planned_new(struct planned *p, int ranks, int slots, const char *schedule)
{
    p->settings = recipe_of(ranks,
                            "model: {layers: 4, hidden: 256, heads: 4, ffn: 512, max_context: 64, "
                            "experts: 8, experts_active: 2, first_dense: 1}\n"
                            "mesh: {pp: 2, ep: 4}\n"
                            "data: {task: arithmetic, micro_batch_tokens: 64}\n"
                            "schedule: %s\nphases: [{kind: sft, batch: 8, steps: 1}]\n",
                            schedule);
    p->job = (struct memory_job){&p->settings, ops_find(PRECISION_BF16, NULL), 101,
                                 extent_of(phase_kinds, &p->settings), NULL};
    p->host = malloc((size_t)ranks * sizeof *p->host);
    for (int i = 0; i < ranks; i++) p->host[i] = i / slots;
    traffic_new(&p->traffic, ranks / slots, ranks, p->host, false);
}

static void planned_free(struct planned *p)
{
    traffic_free(&p->traffic);
    settings_free(&p->settings);
    free(p->host);
}

static void check_work(int slots, const char *schedule, struct reduction_way way)
{
    struct growth work = {.n = 0};
    for (int ranks = LEAST; ranks <= MOST; ranks *= 4) {
        struct planned p;
        planned_new(&p, ranks, slots, schedule);
        reduction_add(&p.traffic, &p.job, way);
        growth_add(&work, ranks, (double)p.traffic.added);
        ck_assert_double_gt(traffic_between(&p.traffic, TRAFFIC_REDUCE), 0);
        planned_free(&p);
    }
    growth_at_most(&work, "additions of planned sums", 1.2);
}

START_TEST(sums_of_all_paths)
{
    for (int i = 0; i < REDUCTION_WAYS; i++) {
        check_work(8, "1f1b", REDUCTION_WAY[i]);
        check_work(8, "dualpipe", REDUCTION_WAY[i]);
        check_work(1, "1f1b", REDUCTION_WAY[i]);
    }
}
END_TEST

/* 16,384 hosts, for which 8 kinds of all pairs are more than an int counts. */
START_TEST(hosts_without_pairs)
{
    struct planned p;
    struct traffic twice;
    planned_new(&p, MOST, 1, "1f1b");
    traffic_new(&twice, MOST, MOST, p.host, false);
    reduction_add(&p.traffic, &p.job, REDUCTION_WAY[0]);
    traffic_join(&twice, &p.traffic, 2);
    ck_assert_double_eq(traffic_between(&twice, TRAFFIC_KINDS),
                        2 * traffic_between(&p.traffic, TRAFFIC_KINDS));
    traffic_free(&twice);
    planned_free(&p);
}
END_TEST

#define TESTS(X)         \
    X(sums_of_all_paths) \
    X(hosts_without_pairs)

UNIT_MAIN("planned_bytes", .timeout_s = 120)
