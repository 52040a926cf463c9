/* The picture of a rank, found from its own place, against the bytes of all ranks added up host by
 * host: two ways to the same numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "trainer/planner/picture.h"
#include "trainer/planner/reduction.h"
#include "tests/support/check_unit.h"
#include "tests/support/planned_step.h"

static const char *const EXPERTS = ", experts: 8, experts_active: 2, first_dense: 1";
static const struct picture_case {
    struct planned_wish wish;
    int slots, forwards;
    struct reduction_way way;
} CASES[] = {
    {{"", 4, 1, 1, 1, "serial", "fp32", 1}, 1, 0, {REDUCE_AUTO, CODEC_FP32}},
    {{"", 2, 2, 1, 1, "1f1b", "bf16", 6}, 1, 2, {REDUCE_AUTO, CODEC_FP32}},
    {{"", 2, 2, 2, 1, "zb1p", "bf16", 5}, 2, 0, {REDUCE_AUTO, CODEC_BF16}},
    {{", qk_norm: true", 2, 1, 2, 1, "serial", "bf16", 3}, 1, 1, {REDUCE_AUTO, CODEC_FP32}},
    {{", tied: true", 3, 2, 1, 1, "1f1b", "bf16", 4}, 1, 0, {REDUCE_AUTO, CODEC_FP32}},
    {{", tied: true", 2, 2, 2, 1, "dualpipe", "bf16", 4}, 1, 0, {REDUCE_AUTO, CODEC_FP32}},
    {{"", 2, 4, 1, 1, "dualpipe", "fp32", 8}, 1, 1, {REDUCE_FLAT, CODEC_INT8}},
    {{"", 2, 2, 1, 1, "dualpipev", "bf16", 4}, 1, 0, {REDUCE_AUTO, CODEC_FP32}},
    {{"", 8, 1, 1, 1, "serial", "bf16", 1}, 4, 0, {REDUCE_NODES, CODEC_FP32}},
    {{"", 12, 1, 1, 1, "serial", "bf16", 1}, 4, 0, {REDUCE_NODES, CODEC_INT8}},
    {{"", 8, 2, 1, 1, "dualpipe", "bf16", 4}, 4, 0, {REDUCE_NODES, CODEC_BF16}},
    {{"x", 4, 2, 1, 2, "1f1b", "bf16", 4}, 1, 0, {REDUCE_AUTO, CODEC_FP32}},
    {{"x", 8, 2, 1, 4, "dualpipe", "bf16", 4}, 1, 0, {REDUCE_AUTO, CODEC_BF16}},
    {{"x", 8, 1, 1, 2, "serial", "bf16", 2}, 4, 1, {REDUCE_NODES, CODEC_FP32}},
    {{"", 2, 2, 2, 1, "zb1p", "bf16", 5}, 2, 1, {REDUCE_AUTO, CODEC_FP32}},
    {{"x", 2, 2, 2, 2, "1f1b", "bf16", 4}, 1, 0, {REDUCE_AUTO, CODEC_FP32}},
};
enum { CUT_FROM = 14 }; /* of CASES: from here on sequences are cut over tp */

static void case_new(struct planned_step *s, const struct picture_case *c)
{
    struct planned_wish w = c->wish;
    if (*w.model == 'x') w.model = EXPERTS;
    planned_step_new(s, w, c->slots);
    s->settings.reduction.path = (int)c->way.path;
    s->settings.reduction.wire = (int)c->way.wire;
    if (c >= CASES + CUT_FROM) s->settings.mesh.sequence_parallel = SEQUENCE_PARALLEL_ON;
    s->job.forwards = c->forwards;
}

/* sum [kind][from][to]: what the pictures of all ranks say they send, or get (then from `from`). */
static double *pictures(const struct planned_step *s, int ranks, bool out)
{
    const struct picture_job job = {.step = s->job, .host = s->host, .ranks = ranks};
    size_t hosts = (size_t)s->hosts.n;
    double *sum = calloc(TRAFFIC_KINDS * hosts * hosts, sizeof *sum);
    for (int r = 0; r < ranks; r++) {
        struct picture p;
        picture_new(&p, &job, r);
        for (int i = 0; i < p.n; i++)
            for (size_t k = 0; k < TRAFFIC_KINDS; k++) {
                const struct picture_peer *peer = &p.peer[i];
                size_t me = (size_t)s->host[r], other = (size_t)s->host[peer->rank];
                size_t from = out ? me : other, to = out ? other : me;
                sum[(k * hosts + from) * hosts + to] +=
                    out ? peer->out[k].bytes : peer->in[k].bytes;
            }
        picture_free(&p);
    }
    return sum;
}

START_TEST(bytes_of_all_ranks)
{
    const struct picture_case *c = &CASES[_i];
    struct planned_step s;
    case_new(&s, c);
    int hosts = s.hosts.n;
    traffic_step(&s.t, &s.job);
    for (int out = 0; out < 2; out++) {
        double *sum = pictures(&s, c->wish.dp * c->wish.pp * c->wish.tp, out);
        for (int k = 0; k < TRAFFIC_KINDS; k++)
            for (int from = 0; from < hosts; from++)
                for (int to = 0; to < hosts; to++) {
                    double is = sum[(k * hosts + from) * hosts + to];
                    double want = traffic_at(&s.t, (enum traffic_kind)k, from, to);
                    ck_assert_msg(fabs(is - want) <= 1e-9 * fabs(want) + 1e-9,
                                  "%s, host %d to %d, %s: pictures %.10g, traffic %.10g",
                                  traffic_kind_name((enum traffic_kind)k), from, to,
                                  out ? "sent" : "got", is, want);
                }
        free(sum);
    }
    planned_step_free(&s);
}
END_TEST

/* By hand: three replicas, a stage before and one behind. */
START_TEST(one_rank_by_hand)
{
    struct planned_step s;
    planned_step_new(&s, (struct planned_wish){"", 3, 3, 1, 1, "1f1b", "fp32", 5}, 3);
    const struct picture_job job = {.step = s.job, .host = s.host, .ranks = 9};
    struct picture p;
    picture_new(&p, &job, 4); /* pipeline 1, stage 1 */
    ck_assert(p.mesh.d == 1 && p.mesh.p == 1 && p.mesh.t == 0);
    const int stages[] = {3, 5}, replicas[] = {1, 7};
    for (int i = 0; i < 2; i++) {
        const struct picture_peer *peer = picture_peer(&p, stages[i]);
        ck_assert_ptr_nonnull(peer);
        ck_assert_int_eq(peer->out[TRAFFIC_STAGES].messages, 5);
        ck_assert_int_eq(peer->in[TRAFFIC_STAGES].messages, 5);
        ck_assert_double_eq(peer->out[TRAFFIC_STAGES].bytes, 5 * 64 * 32 * 4);
        peer = picture_peer(&p, replicas[i]);
        ck_assert_ptr_nonnull(peer);
        ck_assert_double_gt(peer->out[TRAFFIC_REDUCE].bytes, 0);
        ck_assert_double_eq(peer->out[TRAFFIC_STAGES].bytes, 0);
    }
    ck_assert_ptr_null(picture_peer(&p, 4));
    ck_assert_ptr_null(picture_peer(&p, 2));
    /* a third of the stage's weights, and of both moments */
    ck_assert_uint_eq(picture_saved(&p, ""), 3 * picture_saved(&p, "model/"));
    ck_assert_uint_eq(picture_saved(&p, "ref/"), 0);
    picture_free(&p);
    planned_step_free(&s);
}
END_TEST

#define TESTS(X)                                              \
    X(bytes_of_all_ranks, .to = sizeof CASES / sizeof *CASES) \
    X(one_rank_by_hand)

UNIT_MAIN("picture", .timeout_s = 60)
