/* How a plan reads: text against the published DualPipe table of 4 stages and 8 micro-batches
 * (drawn from deepseek-ai/DualPipe by a simulator), JSON against the plan itself. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/problems.h"
#include "pipeline/auto.h"
#include "tests/support/check_unit.h"

static char *printed(enum plan_kind k, int stages, int micro_batches, enum plan_format format)
{
    char *text = NULL;
    size_t size;
    struct plan plan;
    FILE *f = open_memstream(&text, &size);
    plan_make_any(&plan, k, stages, micro_batches);
    plan_print(f, &plan, format);
    plan_free(&plan);
    fclose(f);
    return text;
}

START_TEST(text_dualpipe_4_8)
{
    char *text = printed(PLAN_DUALPIPE, 4, 8, PLAN_TEXT);
    ck_assert_str_eq(
        text, "r0  Fa0 Fa1 Fa2 Fb0 Ib0 W Fb1 [Fa3|Bb1] [Fb2|Ba0] Bb2 [Fb3|Ba1] Bb3 Ia2 W Ia3 W\n"
              "r1  Fa0 Fb0 Fa1 Fb1 Fa2 Bb0 [Fb2|Ba0] [Fa3|Bb1] [Fb3|Ba1] Bb2 Ba2 Ib3 Ia3 W W\n"
              "r2  Fb0 Fa0 Fb1 Fa1 Fb2 Ba0 [Fa2|Bb0] [Fb3|Ba1] [Fa3|Bb1] Ba2 Bb2 Ia3 Ib3 W W\n"
              "r3  Fb0 Fb1 Fb2 Fa0 Ia0 W Fa1 [Fb3|Ba1] [Fa2|Bb0] Ba2 [Fa3|Bb1] Ba3 Ib2 W Ib3 W\n");
    free(text);
}
END_TEST

START_TEST(text_1f1b)
{
    char *text = printed(PLAN_1F1B, 3, 4, PLAN_TEXT);
    ck_assert_str_eq(text, "r0  Fa0 Fa1 Fa2 Ba0 Fa3 Ba1 Ba2 Ba3\n"
                           "r1  Fa0 Fa1 Ba0 Fa2 Ba1 Fa3 Ba2 Ba3\n"
                           "r2  Fa0 Ba0 Fa1 Ba1 Fa2 Ba2 Fa3 Ba3\n");
    free(text);
}
END_TEST

/* ZB-H1 as its paper draws it: rank r keeps r weight parts for the end. */
START_TEST(text_zb1p)
{
    char *text = printed(PLAN_ZB1P, 3, 4, PLAN_TEXT);
    ck_assert_str_eq(text, "r0  Fa0 Fa1 Fa2 Ba0 Fa3 Ba1 Ba2 Ba3\n"
                           "r1  Fa0 Fa1 Ia0 Fa2 Ia1 W Fa3 Ia2 W Ia3 W W\n"
                           "r2  Fa0 Ia0 Fa1 Ia1 Fa2 Ia2 W Fa3 Ia3 W W W\n");
    free(text);
}
END_TEST

/* Two ranks, four chunks: the lower half of dualpipe's table for twice the ranks, with b for its
 * other direction: the near stream is chunk r, the far one chunk 3-r. */
START_TEST(text_dualpipev)
{
    char *text = printed(PLAN_DUALPIPEV, 2, 4, PLAN_TEXT);
    ck_assert_str_eq(
        text, "r0  Fa0 Fa1 Fa2 Fb0 Ib0 W Fb1 [Fa3|Bb1] [Fb2|Ba0] Bb2 [Fb3|Ba1] Bb3 Ia2 W Ia3 W\n"
              "r1  Fa0 Fb0 Fa1 Fb1 Fa2 Bb0 [Fb2|Ba0] [Fa3|Bb1] [Fb3|Ba1] Bb2 Ba2 Ib3 Ia3 W W\n");
    free(text);
}
END_TEST

START_TEST(text_serial)
{
    char *text = printed(PLAN_SERIAL, 1, 2, PLAN_TEXT);
    ck_assert_str_eq(text, "r0  Fa0 Ba0 Fa1 Ba1\n");
    free(text);
}
END_TEST

/* Columns are time: 1f1b with P = 3, F = 1, B = 2 idles (P-1)(F+B) = 6 a rank. */
START_TEST(timeline_1f1b)
{
    char *text = NULL;
    size_t size;
    struct plan plan;
    FILE *f = open_memstream(&text, &size);
    plan_make(&plan, PLAN_1F1B, 3, 2);
    plan_print_timeline(f, &plan);
    plan_free(&plan);
    fclose(f);
    ck_assert_str_eq(text, "r0  Fa0 Fa1 .   .   .   .   .   Ba0---- .   Ba1----\n"
                           "r1  .   Fa0 Fa1 .   .   Ba0---- .   Ba1----\n"
                           "r2  .   .   Fa0 Ba0---- Fa1 Ba1----\n");
    free(text);
}
END_TEST

static void same_cell(const json_t *j, struct plan_cell c)
{
    ck_assert_int_eq(json_integer_value(json_object_get(j, "dir")), c.dir);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "chunk")), c.chunk);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "mb")), c.mb);
}

static void same_row(const json_t *j, const struct plan_row *row)
{
    static const char *const names[] = {"F", "B", "W", "BW", "F+B"};
    ck_assert_str_eq(json_string_value(json_object_get(j, "op")), names[row->op]);
    ck_assert_uint_eq(json_object_size(j), row->op == PLAN_FB ? 3 : 4);
    if (row->op == PLAN_FB) {
        same_cell(json_object_get(j, "f"), row->f);
        same_cell(json_object_get(j, "b"), row->b);
    } else {
        same_cell(j, row->op == PLAN_F ? row->f : row->b);
    }
}

START_TEST(json_says_the_plan)
{
    static const int shapes[PLAN_KINDS][2] = {{2, 3}, {3, 5}, {3, 4}, {6, 14}, {3, 7}, {3, 4}};
    enum plan_kind k = (enum plan_kind)_i;
    char *text = printed(k, shapes[_i][0], shapes[_i][1], PLAN_JSON);
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(j);
    struct plan plan;
    plan_make_any(&plan, k, shapes[_i][0], shapes[_i][1]);
    ck_assert_str_eq(json_string_value(json_object_get(j, "schedule")), plan_kind_name(k));
    ck_assert_int_eq(json_integer_value(json_object_get(j, "stages")), plan.stages);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "micro_batches")), plan.micro_batches);
    const json_t *ranks = json_object_get(j, "ranks");
    ck_assert_uint_eq(json_array_size(ranks), (size_t)plan.stages);
    for (int r = 0; r < plan.stages; r++) {
        const json_t *rank = json_array_get(ranks, (size_t)r);
        const json_t *rows = json_object_get(rank, "rows");
        ck_assert_int_eq(json_integer_value(json_object_get(rank, "rank")), r);
        ck_assert_uint_eq(json_array_size(rows), (size_t)plan.n_rows[r]);
        for (int i = 0; i < plan.n_rows[r]; i++)
            same_row(json_array_get(rows, (size_t)i), &plan.rows[r][i]);
    }
    plan_free(&plan);
    json_decref(j);
    free(text);
}
END_TEST

START_TEST(names)
{
    enum plan_kind k;
    for (int i = 0; i < PLAN_KINDS; i++) {
        ck_assert(plan_kind_find(plan_kind_name((enum plan_kind)i), &k));
        ck_assert_int_eq(k, i);
    }
    ck_assert(!plan_kind_find("dualpip", &k));
}
END_TEST

START_TEST(refusals_say_why)
{
    struct problems p = {0};
    ck_assert(!plan_possible(PLAN_DUALPIPE, 5, 9, &p));
    ck_assert_int_eq(p.n, 4);
    ck_assert_ptr_nonnull(strstr(p.text[0], "at least two per stage (10)"));
    ck_assert_ptr_nonnull(strstr(p.text[1], "5 stages; the number must be even"));
    ck_assert_ptr_nonnull(strstr(p.text[2], "9 micro-batches; the number must be even"));
    ck_assert_str_eq(p.text[3], "schedule dualpipe: nearest valid: 6 stages with 12 micro-batches, "
                                "or 4 stages with 10 micro-batches");
    problems_free(&p);
    ck_assert(!plan_possible(PLAN_DUALPIPEV, 5, 9, &p));
    ck_assert_int_eq(p.n, 2);
    ck_assert_ptr_nonnull(strstr(p.text[0], "at least two per stage (10)"));
    ck_assert_str_eq(p.text[1], "schedule dualpipev: nearest valid: 5 stages with 10 "
                                "micro-batches, or 4 stages with 9 micro-batches");
    problems_free(&p);
    ck_assert_int_eq(plan_micro_batches(PLAN_DUALPIPEV, 5, 11), 11);
    ck_assert_int_eq(plan_micro_batches(PLAN_ZB1P, 5, 3), 3);
    ck_assert_int_eq(plan_micro_batches(PLAN_DUALPIPE, 8, 3), 16);
    ck_assert_int_eq(plan_micro_batches(PLAN_DUALPIPE, 8, 17), 18);
    ck_assert_int_eq(plan_micro_batches(PLAN_DUALPIPE, 7, 17), 0);
    ck_assert_int_eq(plan_micro_batches(PLAN_1F1B, 7, 0), 1);
}
END_TEST

#define TESTS(X)                            \
    X(text_dualpipe_4_8)                    \
    X(text_1f1b)                            \
    X(text_zb1p)                            \
    X(text_dualpipev)                       \
    X(text_serial)                          \
    X(timeline_1f1b)                        \
    X(json_says_the_plan, .to = PLAN_KINDS) \
    X(names)                                \
    X(refusals_say_why)

UNIT_MAIN("plan print")
