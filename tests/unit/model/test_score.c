/* on each instruction set */
/* The scalar head: its row against the plain table, and promise P1, of the row alone and of a whole
 * head whose micro-batch is cut in two. Its gradients are held against differences in
 * test_chunk_gradient. */
#include "tests/support/headed.h"
#include "tests/support/ops_data.h"
#include "tests/support/check_unit.h"

static const struct ops *ops;

/* _i / 2 picks the table, _i % 2 the precision. */
static bool setup(int i)
{
    ops = ops_find(i % 2 ? PRECISION_BF16 : PRECISION_FP32, test_isas[i / 2]);
    return ops != NULL;
}

START_TEST(rows_are_the_plain_table_s_and_each_its_own)
{
    if (!setup(_i)) return;
    enum { T = 37, C = 85 };
    const struct ops *plain = ops_find(ops->precision, "plain");
    char *x = reals_spread(ops, T * C, 1, 1.0f);
    void *w = reals_spread(ops, C, 2, 1.0f);
    float score[T], same[T], one;
    ops->score_forward(score, x, w, T, C);
    plain->score_forward(same, x, w, T, C);
    for (size_t t = 0; t < T; t++) {
        ck_assert_double_eq_tol((double)score[t], (double)same[t], 2e-4);
        ops->score_forward(&one, x + t * C * ops->real_bytes, w, 1, C);
        ck_assert_mem_eq(&one, &score[t], sizeof one);
    }
    free(x);
    free(w);
}
END_TEST

/* The rows of each other head: none has a part in it. */
static void last_rows(void *ctx, const struct head_io *io, int from, int to)
{
    struct headed *h = ctx;
    h->calls++;
    ck_assert_int_eq(from, 0);
    ck_assert_int_eq(to, h->T);
    for (int t = from; t < to; t++) {
        ck_assert_float_eq(io->entropy[t], 0);
        io->dlogp[t] = t % 9 == 8 ? 0.125f * (float)(t % 5) - 0.2f : 0;
    }
}

static void make(struct headed *h, int T)
{
    struct headed_shape shape = {.d = TINY_FAMILY[0], .ops = ops, .T = T, .loss = last_rows};
    shape.d.score = true;
    headed_make(h, &shape);
    h->io.scalar = true;
    for (int t = 0; t < T; t++) h->entropy[t] = 7;
}

/* 300 rows alone have the bits that they have among 600, forward and back; what the language head
 * has is untouched. */
START_TEST(company_changes_no_bit)
{
    if (!setup(_i)) return;
    struct headed all, some;
    make(&all, HEADED_ROWS);
    make(&some, HEADED_ROWS / 2);
    headed_train(&all);
    headed_train(&some);
    ck_assert_int_eq(all.calls, 1);
    ck_assert_mem_eq(all.logp, some.logp, (size_t)some.T * sizeof *some.logp);
    ck_assert_mem_eq(all.back, some.back, (size_t)some.T * (size_t)all.d.C * ops->real_bytes);
    const struct param *head = param_find(&all.params, "head"),
                       *score = param_find(&all.params, "score");
    double learned = 0;
    for (size_t i = 0; i < head->n; i++) ck_assert_float_eq(all.grad[head->offset + i], 0);
    for (size_t i = 0; i < score->n; i++) learned += fabs((double)all.grad[score->offset + i]);
    ck_assert_double_gt(learned, 0);
    headed_free(&all);
    headed_free(&some);
}
END_TEST

/* A model has the vector only where dims say so. */
START_TEST(others_have_no_scalar_head)
{
    struct param_list with, without;
    struct dims d = TINY_FAMILY[_i];
    param_list_make(&without, &d, chunk_span_of(&d, 1, 0));
    d.score = true;
    param_list_make(&with, &d, chunk_span_of(&d, 1, 0));
    ck_assert_int_eq(with.n, without.n + 1);
    ck_assert_ptr_null(param_find(&without, "score"));
    ck_assert_int_eq(param_find(&with, "score")->shape[0], d.C);
    param_list_free(&with);
    param_list_free(&without);
}
END_TEST

#define TESTS(X)                                                        \
    X(rows_are_the_plain_table_s_and_each_its_own, .to = 2 * TEST_ISAS) \
    X(company_changes_no_bit, .to = 2 * TEST_ISAS)                      \
    X(others_have_no_scalar_head, .to = TINY_FAMILIES)

UNIT_MAIN("score", .timeout_s = 60)
