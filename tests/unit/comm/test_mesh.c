/* The mesh's arithmetic: rank <-> coordinates is a bijection; an impossible mesh gets all its
 * reasons and the nearest that can be. */
#include <stdlib.h>
#include <string.h>

#include "comm/base/problems.h"
#include "comm/mesh.h"
#include "tests/support/check_unit.h"

START_TEST(bijection)
{
    for (int dp = 1; dp <= 6; dp++)
        for (int pp = 1; pp <= 9; pp++)
            for (int tp = 1; tp <= 4; tp++) {
                struct mesh m = {.dp = dp, .pp = pp, .tp = tp};
                int seen[256] = {0};
                for (int i = 0; i < dp * pp * tp; i++) {
                    struct mesh_at at = {i / tp / pp, i / tp % pp, i % tp};
                    int rank = mesh_rank_at(&m, at);
                    ck_assert_int_ge(rank, 0);
                    ck_assert_int_lt(rank, dp * pp * tp);
                    ck_assert_int_eq(seen[rank]++, 0);
                    struct mesh_at back = mesh_coords(&m, rank);
                    ck_assert(back.d == at.d && back.p == at.p && back.t == at.t);
                    m.t = at.t;
                    ck_assert_int_eq(mesh_rank(&m, at.d, at.p), rank);
                }
            }
}
END_TEST

static void ck_said(const struct problems *p, int i, const char *text)
{
    ck_assert_int_gt(p->n, i);
    ck_assert_str_eq(p->text[i], text);
}

START_TEST(possible_meshes)
{
    static const struct {
        int dp, pp, ranks, layers;
        bool mirrored;
    } rows[] = {{1, 1, 1, 1, false}, {2, 2, 4, 2, true},  {1, 4, 4, 4, true},
                {4, 1, 4, 1, false}, {1, 3, 3, 8, false}, {3, 8, 24, 9, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct problems p = {0};
        struct mesh_shape s = {rows[i].dp, rows[i].pp, 1, 1, rows[i].mirrored};
        ck_assert(
            mesh_check(s, rows[i].ranks, &(struct mesh_limits){.layers = rows[i].layers}, &p));
        ck_assert_int_eq(p.n, 0);
    }
}
END_TEST

START_TEST(all_reasons_at_once)
{
    struct problems p = {0};
    ck_assert(!mesh_check((struct mesh_shape){2, 5, 1, 1, true}, 8,
                          &(struct mesh_limits){.layers = 4}, &p));
    ck_said(&p, 0, "mesh: dp 2 x pp 5 takes 10 ranks, the job has 8");
    ck_said(&p, 1,
            "mesh: pp is 5, but a schedule of two directions needs an even number of stages");
    ck_said(&p, 2, "mesh: 5 stages cannot share 4 layers, each needs one");
    ck_said(&p, 3, "the nearest mesh on 8 ranks: dp 2 x pp 4");
    ck_assert_int_eq(p.n, 4);
    problems_free(&p);
}
END_TEST

static const struct mesh_limits small_model =
    {.layers = 4, .heads = 6, .kv_heads = 2, .ffn = 48, .vocabulary = 37, .experts = NO_EXPERTS};

START_TEST(all_reasons_of_tp_and_ep)
{
    struct problems p = {0};
    ck_assert(!mesh_check((struct mesh_shape){3, 1, 4, 2, false}, 8, &small_model, &p));
    ck_said(&p, 0, "mesh: dp 3 x pp 1 x tp 4 takes 12 ranks, the job has 8");
    ck_said(&p, 1, "mesh: tp is 4, which does not divide 6 query heads");
    ck_said(&p, 2, "mesh: tp is 4, which does not divide 2 key/value heads");
    ck_said(&p, 3, "mesh: ep is 2, which does not divide dp 3");
    ck_said(&p, 4, "mesh: ep is 2, but the model has no experts to share");
    ck_said(&p, 5, "the nearest mesh on 8 ranks: dp 4 x pp 1 x tp 2");
    ck_assert_int_eq(p.n, 6);
    problems_free(&p);
}
END_TEST

START_TEST(what_tp_and_ep_divide)
{
    static const struct {
        struct mesh_shape s;
        struct mesh_limits l;
        const char *first;
    } rows[] = {
        {{1, 1, 2, 1, false},
         {.ffn = 47},
         "mesh: tp is 2, which does not divide 47 rows of the FFN's inner size"},
        {{1, 1, 4, 1, false},
         {.vocabulary = 3},
         "mesh: 4 ranks cannot share a vocabulary of 3 tokens"},
        {{1, 1, 0, 1, false}, {0}, "mesh: tp is 0, it must be at least 1"},
        {{1, 1, 1, 0, false}, {0}, "mesh: ep is 0, it must be at least 1"},
        {{4, 1, 1, 4, false}, {.experts = 6}, "mesh: ep is 4, which does not divide 6 experts"},
        {{4, 1, 1, 2, false}, {.experts = 6}, NULL},
        {{2, 2, 2, 2, true},
         {.layers = 2, .heads = 4, .kv_heads = 2, .ffn = 8, .vocabulary = 9, .experts = 8},
         NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct problems p = {0};
        const struct mesh_shape *s = &rows[i].s;
        int ranks = s->dp * s->pp * (s->tp ? s->tp : 1);
        ck_assert(mesh_check(*s, ranks, &rows[i].l, &p) == !rows[i].first);
        if (rows[i].first) ck_said(&p, 0, rows[i].first);
        problems_free(&p);
    }
}
END_TEST

START_TEST(other_proposals)
{
    static const struct {
        int dp, pp, ranks, layers;
        bool mirrored;
        const char *last;
    } rows[] = {
        {2, 2, 3, 8, true,
         "the nearest mesh on 3 ranks: dp 1 x pp 3 with a schedule of one direction (1f1b), or dp "
         "2 "
         "x pp 2 on 4 ranks"},
        {1, 3, 6, 8, true,
         "the nearest mesh on 6 ranks: dp 3 x pp 2, or dp 2 x pp 3 with a schedule of one "
         "direction "
         "(1f1b)"},
        {0, 0, 4, 8, false, "the nearest mesh on 4 ranks: dp 4 x pp 1"},
        {1, 4, 4, 2, false, "the nearest mesh on 4 ranks: dp 2 x pp 2"},
        {1, 1, 1, 8, true,
         "the nearest mesh on 1 rank: dp 1 x pp 1 with a schedule of one direction (1f1b)"},
        {100000, 100000, 2, 200000, false,
         "the nearest mesh on 2 ranks: dp 1 x pp 2, or dp 100000 x pp 100000 on 10000000000 ranks"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct problems p = {0};
        struct mesh_shape s = {rows[i].dp, rows[i].pp, 1, 1, rows[i].mirrored};
        ck_assert(
            !mesh_check(s, rows[i].ranks, &(struct mesh_limits){.layers = rows[i].layers}, &p));
        ck_said(&p, p.n - 1, rows[i].last);
        problems_free(&p);
    }
}
END_TEST

/* The number behind `name` in a proposal; 1 when it is not said. */
static int said_size(const char *at, const char *name)
{
    const char *end = strstr(at, ", or"), *found = strstr(at, name);
    return found && (!end || found < end) ? (int)strtol(found + strlen(name), NULL, 10) : 1;
}

/* What is proposed can be, over all small wishes. */
static void check_proposal(struct mesh_shape s, int ranks, const struct mesh_limits *l)
{
    struct problems p = {0}, none = {0};
    if (mesh_check(s, ranks, l, &p)) return;
    const char *at = strstr(p.text[p.n - 1], "dp ");
    ck_assert_ptr_nonnull(at);
    struct mesh_shape can = {said_size(at, "dp "), said_size(at, "pp "), said_size(at, "tp "),
                             said_size(at, "ep "), false};
    ck_assert_msg(mesh_check(can, ranks, l, &none), "%s: %s", p.text[p.n - 1],
                  none.n ? none.text[0] : "");
    problems_free(&p);
}

START_TEST(proposals_hold)
{
    for (int ranks = 1; ranks <= 12; ranks++)
        for (int pp = 0; pp <= 6; pp++)
            for (int layers = 1; layers <= 4; layers++)
                for (int tp = 0; tp <= 5; tp++)
                    for (int ep = 0; ep <= 3; ep++) {
                        struct mesh_limits l = {layers, 4, 2, 24, 11, ep % 2 ? 6 : NO_EXPERTS};
                        check_proposal((struct mesh_shape){1, pp, tp, ep, false}, ranks, &l);
                    }
}
END_TEST

#define TESTS(X)                \
    X(bijection)                \
    X(possible_meshes)          \
    X(all_reasons_at_once)      \
    X(all_reasons_of_tp_and_ep) \
    X(what_tp_and_ep_divide)    \
    X(other_proposals)          \
    X(proposals_hold)

UNIT_MAIN("mesh")
