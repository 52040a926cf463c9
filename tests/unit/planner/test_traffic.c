/* Bytes between hosts, against sums done by hand. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "trainer/learn/bucket.h"
#include "trainer/planner/reduction.h"
#include "trainer/schedule/pass_cost.h"
#include "tests/support/check_unit.h"
#include "tests/support/planned_step.h"

static void close_to(double is, double want, double part)
{
    ck_assert_msg(fabs(is - want) <= part * fabs(want), "%.10g, not %.10g", is, want);
}

enum { V = PLANNED_V, T = 64, C = 32, ROWS = PLANNED_ROWS }; /* of 64 rows of room 48 are in use */

/* All weights, by the parameter table. */
static double weights(const struct planned_step *s)
{
    struct dims d = settings_dims(&s->settings, V);
    return (double)params_count(&d);
}

/* Four replicas of everything: each of n gradients goes from three of them to its owner, each
 * weight from its owner to three. */
START_TEST(replicas)
{
    struct planned_step s;
    planned_step_new(&s, (struct planned_wish){"", 4, 1, 1, 1, "serial", "fp32", 1}, 1);
    double n = weights(&s);
    traffic_step(&s.t, &s.job);
    close_to(traffic_between(&s.t, TRAFFIC_REDUCE), 3 * n * 4, 1e-12);
    close_to(traffic_between(&s.t, TRAFFIC_GATHER), 3 * n * 4, 1e-12);
    ck_assert_double_eq(traffic_between(&s.t, TRAFFIC_STAGES), 0);
    ck_assert_double_eq(traffic_between(&s.t, TRAFFIC_TENSOR), 0);
    ck_assert_double_eq(traffic_inside(&s.t, TRAFFIC_REDUCE), 0);
    for (int h = 0; h < 4; h++) close_to(traffic_out(&s.t, TRAFFIC_REDUCE, h), 0.75 * n * 4, 0.02);
    ck_assert_double_lt(traffic_between(&s.t, TRAFFIC_SUMS), 4000);
    planned_step_free(&s);
}
END_TEST

/* Six micro-batches through two stages, in two pipelines of bf16: always whole messages. Weights
 * are 2 bytes, gradients 4. */
START_TEST(stages)
{
    struct planned_step s;
    planned_step_new(&s, (struct planned_wish){"", 2, 2, 1, 1, "1f1b", "bf16", 6}, 1);
    double n = weights(&s);
    traffic_step(&s.t, &s.job);
    close_to(traffic_at(&s.t, TRAFFIC_STAGES, 0, 1), 6 * T * C * 2, 1e-12);
    close_to(traffic_at(&s.t, TRAFFIC_STAGES, 3, 2), 6 * T * C * 2, 1e-12);
    close_to(traffic_between(&s.t, TRAFFIC_STAGES), 4 * 6 * T * C * 2, 1e-12);
    ck_assert_double_eq(traffic_at(&s.t, TRAFFIC_STAGES, 0, 2), 0);
    close_to(traffic_between(&s.t, TRAFFIC_REDUCE), n * 4, 1e-12);
    close_to(traffic_between(&s.t, TRAFFIC_GATHER), n * 2, 1e-12);
    planned_step_free(&s);
    planned_step_new(&s, (struct planned_wish){"", 2, 2, 1, 1, "1f1b", "bf16", 6}, 2);
    s.job.forwards = 1; /* six activations more */
    traffic_step(&s.t, &s.job);
    ck_assert_double_eq(traffic_between(&s.t, TRAFFIC_STAGES), 0);
    close_to(traffic_inside(&s.t, TRAFFIC_STAGES), 2 * 18 * T * C * 2, 1e-12);
    planned_step_free(&s);
}
END_TEST

/* A mirror holds every chunk twice: n * 2 gradients on each pair, four replicas; a vee sends twice
 * as often, but not where it turns. */
START_TEST(placements)
{
    struct planned_step s;
    planned_step_new(&s, (struct planned_wish){"", 2, 2, 1, 1, "dualpipe", "fp32", 4}, 1);
    double n = weights(&s);
    traffic_step(&s.t, &s.job);
    close_to(traffic_between(&s.t, TRAFFIC_REDUCE), 3 * n * 4, 1e-12);
    close_to(traffic_between(&s.t, TRAFFIC_STAGES), 2 * 4 * 2 * T * C * 4, 1e-12);
    planned_step_free(&s);
    planned_step_new(&s, (struct planned_wish){"", 1, 2, 1, 1, "dualpipev", "fp32", 4}, 1);
    traffic_step(&s.t, &s.job);
    close_to(traffic_between(&s.t, TRAFFIC_STAGES), 4 * 4 * T * C * 4, 1e-12);
    ck_assert_double_eq(traffic_between(&s.t, TRAFFIC_REDUCE), 0);
    planned_step_free(&s);
}
END_TEST

/* Forward and backward two sums a layer, one at each end, and at the head four numbers a row:
 * float, each rank to the other. */
START_TEST(tensor)
{
    struct planned_step s;
    planned_step_new(&s, (struct planned_wish){"", 1, 1, 2, 1, "serial", "bf16", 3}, 1);
    traffic_step(&s.t, &s.job);
    double rows = 3 * ROWS, each = rows * ((4 * 4 + 2) * C + 4) * 4;
    close_to(traffic_at(&s.t, TRAFFIC_TENSOR, 0, 1), each, 1e-12);
    close_to(traffic_at(&s.t, TRAFFIC_TENSOR, 1, 0), each, 1e-12);
    planned_step_free(&s);
    planned_step_new(&s, (struct planned_wish){", qk_norm: true", 1, 1, 2, 1, "serial", "bf16", 3},
                     1);
    traffic_step(&s.t, &s.job); /* two gains of 8 in each layer, for two directions */
    close_to(traffic_at(&s.t, TRAFFIC_TENSOR, 0, 1), each + 4 * 2 * 8 * 2 * 4, 1e-12);
    planned_step_free(&s);
}
END_TEST

/* Three layers of six experts, three of them for a row, on two ranks: half of a row's copies leave,
 * and come back, forward and backward; six counts before. Experts have one replica, the rest two.
 */
START_TEST(experts)
{
    struct planned_step s;
    const char *model = ", experts: 6, experts_active: 3, first_dense: 1";
    planned_step_new(&s, (struct planned_wish){model, 2, 1, 1, 2, "serial", "bf16", 5}, 1);
    traffic_step(&s.t, &s.job);
    double row = 1.5 * C * 2, want = 5 * 3 * (4 * ROWS * row + 6 * 4);
    close_to(traffic_at(&s.t, TRAFFIC_EXPERTS, 0, 1), want, 1e-12);
    struct dims d = settings_dims(&s.settings, V);
    double dense = weights(&s) - 3 * 6 * 3.0 * C * d.Fe;
    close_to(traffic_between(&s.t, TRAFFIC_REDUCE), dense * 4, 1e-12);
    planned_step_free(&s);
}
END_TEST

/* Two nodes of two replicas: flat each node sends its members' sums of the other's slices, 2 n / 2;
 * over nodes n goes from the first to the second, and the first's half comes back. A slice of
 * weights crosses once. One bucket, so that slices are halves. */
START_TEST(paths)
{
    static const double wire[] = {4, 2, 1 + 4.0 / 128};
    struct planned_step s;
    planned_step_new(&s, (struct planned_wish){"", 4, 1, 1, 1, "serial", "bf16", 1}, 2);
    s.settings.reduction.bucket_mib = 64;
    double n = weights(&s);
    for (int i = 0; i < REDUCTION_WAYS; i++) {
        struct traffic t;
        bool nodes = REDUCTION_WAY[i].path == REDUCE_NODES;
        double w = wire[REDUCTION_WAY[i].wire];
        traffic_new(&t, 2, 4, s.host, true);
        struct reduction_paths p = reduction_add(&t, &s.job.memory, REDUCTION_WAY[i]);
        ck_assert_int_eq(p.nodes, nodes ? p.all : 0);
        close_to(traffic_between(&t, TRAFFIC_REDUCE), (nodes ? 1.5 : 2) * n * w, 0.01);
        close_to(traffic_between(&t, TRAFFIC_GATHER), (nodes ? 1 : 2) * n * 2, 0.01);
        if (nodes) close_to(traffic_at(&t, TRAFFIC_REDUCE, 0, 1), n * w, 1e-3);
        traffic_free(&t);
    }
    planned_step_free(&s);
}
END_TEST

/* Bytes from members on one host to those on another. */
struct cells {
    double sums[24][24], gathers[24][24];
};

static void cells_add(struct cells *c, const struct reduce_form *f, const size_t *count)
{
    for (int to = 0; to < f->members; to++) {
        int a = f->node[f->me], b = f->node[to];
        c->sums[a][b] += (double)reduce_sends_to(f, count, to);
        c->gathers[a][b] += (double)reduce_gather_sends_to(f, count, 2, to);
    }
}

/* Inside a host nothing is said to cross. */
static void cells_check(const struct cells *c, const struct traffic *t)
{
    for (int a = 0; a < t->hosts; a++) {
        double out = 0, in = 0;
        for (int b = 0; b < t->hosts; b++) {
            if (a == b) continue;
            ck_assert_double_eq(traffic_at(t, TRAFFIC_REDUCE, a, b), c->sums[a][b]);
            ck_assert_double_eq(traffic_at(t, TRAFFIC_GATHER, a, b), c->gathers[a][b]);
            out += traffic_at(t, TRAFFIC_KINDS, a, b), in += traffic_at(t, TRAFFIC_KINDS, b, a);
        }
        ck_assert_double_eq(traffic_out(t, TRAFFIC_KINDS, a), out);
        ck_assert_double_eq(traffic_in(t, TRAFFIC_KINDS, a), in);
        ck_assert_double_eq(traffic_within(t, TRAFFIC_KINDS, a),
                            traffic_at(t, TRAFFIC_KINDS, a, a));
    }
}

/* What each member says it sends to other nodes (comm/reduce.h), slice by slice, is what the
 * planner adds up: four nodes of two, and two of three, whose columns and slices do not fall
 * together; groups that are large, by nodes, by runs of neighbours, and with many nodes. */
START_TEST(paths_are_the_code)
{
    const struct {
        int replicas, slots;
    } groups[] = {{8, 2}, {6, 3}, {4, 1}, {5, 3}, {24, 8}, {20, 1}, {26, 2}, {18, 4}};
    for (int c = 0; c < 8 * REDUCTION_WAYS; c++) {
        int R = groups[c / REDUCTION_WAYS].replicas;
        struct reduction_way way = REDUCTION_WAY[c % REDUCTION_WAYS];
        struct planned_step s;
        struct bucket_list l;
        struct stage st;
        planned_step_new(&s, (struct planned_wish){"", R, 1, 1, 1, "serial", "bf16", 1},
                         groups[c / REDUCTION_WAYS].slots);
        struct mesh m = memory_mesh(&s.settings, (struct mesh_at){0});
        const struct stage_job stage = memory_stage(&s.job.memory, &m, 1);
        stage_measure(&st, &stage);
        buckets_make(&l, &st);
        double sums = 0, gathers = 0;
        struct cells cells = {0};
        for (int i = 0; i < l.n; i++)
            for (int me = 0; me < R; me++) {
                size_t count[26], offset[26];
                struct reduce_form f = {.members = R,
                                        .me = me,
                                        .inner = 1,
                                        .node = s.host,
                                        .path = way.path,
                                        .wire = way.wire};
                f.map = reduce_map_of(&f);
                l.b[i].count = count, l.b[i].offset = offset;
                bucket_cut(&l.b[i], R, me);
                sums += (double)reduce_sends(&f, count);
                gathers += (double)reduce_gather_sends(&f, count, 2);
                cells_add(&cells, &f, count);
            }
        reduction_add(&s.t, &s.job.memory, way);
        close_to(traffic_between(&s.t, TRAFFIC_REDUCE), sums, 1e-12);
        close_to(traffic_between(&s.t, TRAFFIC_GATHER), gathers, 1e-12);
        cells_check(&cells, &s.t);
        buckets_free(&l);
        stage_free(&st);
        planned_step_free(&s);
    }
}
END_TEST

/* Seconds of the busiest host on a link of 1 GB/s: three quarters of n in and out. */
START_TEST(reduction_seconds)
{
    struct planned_step s;
    struct cluster c;
    cluster_defaults(&c);
    c.between = (struct link_settings){.gbs = 1, .us = 10};
    planned_step_new(&s, (struct planned_wish){"", 4, 1, 1, 1, "serial", "fp32", 1}, 1);
    double n = weights(&s);
    reduction_add(&s.t, &s.job.memory, REDUCTION_WAY[0]);
    struct reduction_time time = reduction_time(&s.t, &c, REDUCTION_WAY[0]);
    close_to(time.reduce, 0.75 * n * 4e-9 + 10e-6, 0.01);
    close_to(time.gather, 0.75 * n * 4e-9 + 10e-6, 0.01);
    planned_step_free(&s);
    cluster_free(&c);
}
END_TEST

/* A rollout, by hand: of 6 questions of 11 tokens (the last of which every answer reads itself), 4
 * answers each, 30 tokens an answer. To the second stage an activation and a place of 4 words a
 * row, a head of 5 words a decode batch of 4 slots, events of 4 words where an answer starts or
 * ends and a question ends; back number and log-probability of each token. Half of those then go to
 * the other pipeline, in each of which all rows' go to the second stage; 8 bytes a question and an
 * answer up and down a tree of four ranks. */
START_TEST(rollout)
{
    struct planned_step s;
    planned_step_new(&s, (struct planned_wish){"", 2, 2, 1, 1, "1f1b", "bf16", 4}, 1);
    traffic_rollout(&s.t, &s.job, (struct rollout_size){6, 4, 11, 30});
    double answers = 6 * 4, tokens = answers * 30, rows = tokens + 6 * 10;
    double there = rows * (C * 2 + 16) + tokens / 4 * 20 + (2 * answers + 6) * 16;
    close_to(traffic_at(&s.t, TRAFFIC_STAGES, 0, 1), there / 2, 1e-12);
    close_to(traffic_at(&s.t, TRAFFIC_STAGES, 3, 2), tokens * 8 / 2, 1e-12);
    close_to(traffic_between(&s.t, TRAFFIC_STAGES), there + tokens * 8, 1e-12);
    double learned = answers * (11 + 30 - 1), each = 8 * (6 + answers), told = 6 * each;
    close_to(traffic_between(&s.t, TRAFFIC_ANSWERS), 8 * tokens / 2 + 8 * learned + told, 1e-12);
    close_to(traffic_at(&s.t, TRAFFIC_ANSWERS, 2, 0), 8 * tokens / 4 + each, 1e-12);
    close_to(traffic_at(&s.t, TRAFFIC_ANSWERS, 0, 1), 8 * learned / 2 + each, 1e-12);
    struct traffic twice;
    traffic_new(&twice, s.t.hosts, s.t.ranks, s.t.host, true);
    traffic_join(&twice, &s.t, 1.5);
    traffic_join(&twice, &s.t, 0.5);
    close_to(traffic_at(&twice, TRAFFIC_STAGES, 0, 1), there, 1e-12);
    traffic_free(&twice);
    planned_step_free(&s);
}
END_TEST

/* Tokens of answers go from the first stage to the last, and stages between get lengths alone;
 * where chunks go there and back both ends are one rank. Of two ranks a stage the first tells the
 * other. */
START_TEST(answers_to_the_ends)
{
    static const struct planned_wish wish[] = {{"", 1, 4, 1, 1, "1f1b", "bf16", 8},
                                               {"", 1, 2, 1, 1, "dualpipev", "bf16", 4},
                                               {"", 1, 2, 2, 1, "1f1b", "bf16", 4}};
    double learned = 8 * 6 * 4 * (11 + 30 - 1), each = 8 * (6 + 6 * 4);
    for (int i = 0; i < 3; i++) {
        struct planned_step s;
        planned_step_new(&s, wish[i], 1);
        traffic_rollout(&s.t, &s.job, (struct rollout_size){6, 4, 11, 30});
        double shared = i == 2 ? learned : 0;
        close_to(traffic_at(&s.t, TRAFFIC_ANSWERS, 0, 1), each + shared, 1e-12);
        if (i != 1) close_to(traffic_at(&s.t, TRAFFIC_ANSWERS, 0, 2), each + shared, 1e-12);
        if (i != 1) close_to(traffic_at(&s.t, TRAFFIC_ANSWERS, i / 2, 3), learned, 1e-12);
        planned_step_free(&s);
    }
}
END_TEST

/* Three sites of two replicas, a host a rank: every tenth step all masters go from each site to the
 * two others, a rank to its like. */
START_TEST(sites)
{
    static const int host[] = {0, 1, 2, 3, 4, 5};
    struct planned_step s;
    struct traffic t;
    planned_step_new(&s, (struct planned_wish){"", 2, 1, 1, 1, "serial", "bf16", 1}, 1);
    s.settings.mesh.sites = 3;
    s.settings.sites.every = 10;
    double n = weights(&s), of[] = {4, 2, 1 + 4.0 / CODEC_BLOCK};
    for (int wire = 0; wire < 3; wire++) {
        s.settings.sites.wire = wire;
        traffic_new(&t, 6, 6, host, true);
        traffic_sites(&t, &s.job.memory);
        close_to(traffic_between(&t, TRAFFIC_SITES), 3 * 2 * n * of[wire] / 10, 0.03);
        close_to(traffic_between(&t, TRAFFIC_KINDS), traffic_between(&t, TRAFFIC_SITES), 1e-12);
        ck_assert_double_eq(traffic_at(&t, TRAFFIC_SITES, 0, 1), 0);
        ck_assert_double_eq(traffic_at(&t, TRAFFIC_SITES, 0, 3), 0);
        close_to(traffic_at(&t, TRAFFIC_SITES, 5, 1), n * of[wire] / 2 / 10, 0.03);
        traffic_free(&t);
    }
    planned_step_free(&s);
}
END_TEST

/* Sequences cut over the two ranks of each stage. Forward two gathers and two sums a layer, the
 * embedding's and the head's sum, a gather before the head; backward the same a layer, two gains,
 * the final norm's gain and a gather for the embedding. Messages are of half the rows. */
START_TEST(cut)
{
    struct planned_step s;
    planned_step_new(&s, (struct planned_wish){"", 1, 2, 2, 1, "1f1b", "bf16", 6}, 1);
    s.settings.mesh.sequence_parallel = SEQUENCE_PARALLEL_ON;
    traffic_step(&s.t, &s.job);
    double half = ROWS / 2 * C, layer = half * (2 * 2 + 2 * 4), gain = 2 * C / 2 * 4;
    double lower = 2 * 2 * layer + 2 * 2 * gain + half * (4 + 2);
    double upper = 2 * 2 * layer + (2 * 2 + 1) * gain + half * (2 + 4) + ROWS * 4 * 4;
    close_to(traffic_at(&s.t, TRAFFIC_TENSOR, 0, 1), 6 * lower, 1e-12);
    close_to(traffic_at(&s.t, TRAFFIC_TENSOR, 3, 2), 6 * upper, 1e-12);
    close_to(traffic_at(&s.t, TRAFFIC_STAGES, 0, 2), 6 * T / 2 * C * 2, 1e-12);
    planned_step_free(&s);
}
END_TEST

/* By passes and by what is computed again; a layer with experts has no sum of its own, but wants
 * all rows. */
START_TEST(cut_exchanges_by_hand)
{
    static const struct {
        enum recompute recompute;
        enum plan_op op;
        int slices, gathers, gains;
    } by_hand[] = {
        {RECOMPUTE_NONE, PLAN_F, 1 + 4 + 1, 6 + 1, 0},
        {RECOMPUTE_NONE, PLAN_B, 4, 6, 6 + 1},
        {RECOMPUTE_NONE, PLAN_W, 0, 4 + 1, 0},
        {RECOMPUTE_NONE, PLAN_BW, 4, 6 + 1, 6 + 1},
        {RECOMPUTE_PRODUCTS, PLAN_B, 4, 6 + 6 + 1, 6 + 1},
        {RECOMPUTE_PRODUCTS, PLAN_W, 0, 0, 0},
        {RECOMPUTE_FULL, PLAN_BW, 4 + 3, 6 + 6 + 1, 6 + 1},
    };
    const struct shape s = {.layers = 3, .dense = 1, .experts = 4};
    const struct pass_part whole = {0, 3, true, true, false};
    for (size_t i = 0; i < sizeof by_hand / sizeof *by_hand; i++) {
        struct cut_exchanges x = pass_cut_exchanges(&s, whole, by_hand[i].recompute, by_hand[i].op);
        ck_assert_int_eq(x.slices, by_hand[i].slices);
        ck_assert_int_eq(x.gathers, by_hand[i].gathers);
        ck_assert_int_eq(x.gains, by_hand[i].gains);
    }
}
END_TEST

#define TESTS(X)             \
    X(cut)                   \
    X(cut_exchanges_by_hand) \
    X(replicas)              \
    X(stages)                \
    X(placements)            \
    X(tensor)                \
    X(experts)               \
    X(paths)                 \
    X(paths_are_the_code)    \
    X(reduction_seconds)     \
    X(rollout)               \
    X(answers_to_the_ends)   \
    X(sites)

UNIT_MAIN("traffic", .timeout_s = 60)
