/* The mesh's arithmetic: rank <-> coordinates is a bijection; an impossible mesh gets all its reasons and the
 * nearest that can be. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "comm/mesh.h"

START_TEST(bijection)
{
    for (int dp = 1; dp <= 6; dp++)
        for (int pp = 1; pp <= 9; pp++) {
            struct mesh m = {.dp = dp, .pp = pp};
            int seen[64] = {0};
            for (int d = 0; d < dp; d++)
                for (int p = 0; p < pp; p++) {
                    int rank = mesh_rank(&m, d, p), d2, p2;
                    ck_assert_int_ge(rank, 0);
                    ck_assert_int_lt(rank, dp * pp);
                    ck_assert_int_eq(seen[rank]++, 0);
                    mesh_coords(&m, rank, &d2, &p2);
                    ck_assert_int_eq(d, d2);
                    ck_assert_int_eq(p, p2);
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
        ck_assert(mesh_check(rows[i].dp, rows[i].pp, rows[i].mirrored, rows[i].ranks,
                             rows[i].layers, &p));
        ck_assert_int_eq(p.n, 0);
    }
}
END_TEST

START_TEST(all_reasons_at_once)
{
    struct problems p = {0};
    ck_assert(!mesh_check(2, 5, true, 8, 4, &p));
    ck_said(&p, 0, "mesh: dp 2 x pp 5 takes 10 ranks, the job has 8");
    ck_said(&p, 1,
            "mesh: pp is 5, but a schedule of two directions needs an even number of stages");
    ck_said(&p, 2, "mesh: 5 stages cannot share 4 layers, each needs one");
    ck_said(&p, 3, "the nearest mesh on 8 ranks: dp 2 x pp 4");
    ck_assert_int_eq(p.n, 4);
    problems_free(&p);
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
        ck_assert(!mesh_check(rows[i].dp, rows[i].pp, rows[i].mirrored, rows[i].ranks,
                              rows[i].layers, &p));
        ck_said(&p, p.n - 1, rows[i].last);
        problems_free(&p);
    }
}
END_TEST

/* What is proposed can be, over all small wishes. */
START_TEST(proposals_hold)
{
    for (int ranks = 1; ranks <= 12; ranks++)
        for (int pp = 0; pp <= 6; pp++)
            for (int layers = 1; layers <= 4; layers++) {
                struct problems p = {0}, none = {0};
                int d = 0, q = 0;
                if (!mesh_check(1, pp, false, ranks, layers, &p)) {
                    const char *at = strstr(p.text[p.n - 1], "dp ");
                    ck_assert_ptr_nonnull(at);
                    d = (int)strtol(at + 3, NULL, 10);
                    q = (int)strtol(strstr(at, "pp ") + 3, NULL, 10);
                    ck_assert(mesh_check(d, q, false, ranks, layers, &none));
                }
                problems_free(&p);
            }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mesh");
    TCase *c = tcase_create("mesh");
    tcase_add_test(c, bijection);
    tcase_add_test(c, possible_meshes);
    tcase_add_test(c, all_reasons_at_once);
    tcase_add_test(c, other_proposals);
    tcase_add_test(c, proposals_hold);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
