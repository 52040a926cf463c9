/* What a micro-batch adds to the sums of a step, by hand; that prompt rows count for nothing; that
 * a NaN shows. */
#include <math.h>
#include <string.h>

#include "trainer/learn/grpo.h"
#include "tests/support/check_unit.h"

enum { T = 6 };

/* Two prompt rows, four of answers. */
struct fixture {
    int target[T];
    float weight[T], advantage[T], old_logp[T], ref_logp[T], logp[T], entropy[T], dlogp[T];
    struct micro_batch mb;
    struct loss loss;
    int start[3];
};

static void fixture_make(struct fixture *f, const struct loss_shape *shape)
{
    *f = (struct fixture){
        .target = {-1, 4, 5, -1, 6, 7},
        .weight = {0, 0.25f, 0.25f, 0, 0.5f, 0.125f},
        .advantage = {1, 1, 1, -2, -2, -2},
        .old_logp = {9, -1, -2, 9, -0.5f, -3},
        .ref_logp = {9, -1, -2, 9, -0.5f, -3},
        .logp = {NAN, -1, -2, NAN, -0.5f, -3}, /* rows without a target are never looked at */
        .entropy = {NAN, 0.5f, 1, NAN, 1.5f, 2},
        .dlogp = {7, 7, 7, 7, 7, 7},
        .start = {0, 3, T},
    };
    f->mb = (struct micro_batch){.rows = {.T = T, .seg = {.n = 2, .start = f->start}},
                                 .start = f->start,
                                 .target = f->target,
                                 .weight = f->weight,
                                 .advantage = f->advantage,
                                 .old_logp = f->old_logp,
                                 .ref_logp = f->ref_logp,
                                 .logp = f->logp,
                                 .entropy = f->entropy,
                                 .dlogp = f->dlogp};
    memset(&f->loss, 0xff, sizeof f->loss);
    loss_begin(&f->loss, shape, (struct objective){.clip_low = 0.2f, .clip_high = 0.2f});
}

static double sum_of(const struct fixture *f, enum loss_sum which)
{
    return exact_value(&f->loss.sum[which]);
}

static void dlogp_are(const struct fixture *f, const float *expected)
{
    for (int t = 0; t < T; t++)
        ck_assert_msg(f->dlogp[t] == expected[t], "row %d: %g, expected %g", t, (double)f->dlogp[t],
                      (double)expected[t]);
}

START_TEST(sft)
{
    struct fixture f;
    fixture_make(&f, &loss_sft);
    loss_run(&f.loss, &f.mb, 0, T);
    ck_assert(sum_of(&f, SUM_LOSS) == 0.25 + 0.5 + 0.25 + 0.375);
    ck_assert(sum_of(&f, SUM_ENTROPY) == 5);
    ck_assert(sum_of(&f, SUM_TOKENS) == 4);
    ck_assert(sum_of(&f, SUM_CLIPPED) == 0 && sum_of(&f, SUM_KL) == 0);
    ck_assert(f.loss.max_deviation == 0);
    dlogp_are(&f, (float[]){0, -0.25f, -0.25f, 0, -0.5f, -0.125f});
    loss_run(&f.loss, &f.mb, 0, T); /* sums continue over the micro-batches of a step */
    ck_assert(sum_of(&f, SUM_LOSS) == 2.75 && sum_of(&f, SUM_TOKENS) == 8);
    loss_begin(&f.loss, &loss_sft, f.loss.objective);
    ck_assert(sum_of(&f, SUM_LOSS) == 0 && sum_of(&f, SUM_TOKENS) == 0);
}
END_TEST

/* A conversation: one sequence whose row 3 stands between two answers. */
START_TEST(rows_between_answers)
{
    struct fixture f;
    fixture_make(&f, &loss_sft);
    f.start[1] = T;
    f.mb.rows.seg.n = 1;
    loss_run(&f.loss, &f.mb, 0, T);
    ck_assert(sum_of(&f, SUM_LOSS) == 0.25 + 0.5 + 0.25 + 0.375);
    ck_assert(sum_of(&f, SUM_ENTROPY) == 5);
    ck_assert(sum_of(&f, SUM_TOKENS) == 4);
    dlogp_are(&f, (float[]){0, -0.25f, -0.25f, 0, -0.5f, -0.125f});
}
END_TEST

START_TEST(on_policy)
{
    struct fixture f;
    fixture_make(&f, &policy_shapes[POLICY_CLIP][0]);
    f.loss.objective.kl = 0.5f;
    loss_run(&f.loss, &f.mb, 0, T);
    ck_assert(sum_of(&f, SUM_LOSS) == -0.25 - 0.25 + 1 + 0.25);
    ck_assert(sum_of(&f, SUM_ENTROPY) == 5 && sum_of(&f, SUM_TOKENS) == 4);
    ck_assert(sum_of(&f, SUM_CLIPPED) == 0 && sum_of(&f, SUM_KL) == 0);
    ck_assert(f.loss.max_deviation == 0);
    dlogp_are(&f, (float[]){0, -0.25f, -0.25f, 0, 1, 0.25f});
}
END_TEST

START_TEST(off_policy)
{
    struct fixture f;
    fixture_make(&f, &policy_shapes[POLICY_CLIP][0]);
    f.loss.objective.kl = 0.5f;
    f.old_logp[1] = -1 - logf(1.5f); /* ratio 1.5, A > 0: clipped */
    f.old_logp[4] = -0.5f + logf(2); /* ratio 0.5, A < 0: clipped */
    f.old_logp[5] = -3 - logf(1.1f); /* within the clip */
    f.ref_logp[2] = -2 + logf(2);    /* k3 = 2 - log 2 - 1 */
    loss_run(&f.loss, &f.mb, 0, T);
    double k3 = 1 - log(2);
    double loss = 0.25 * -1.2 + 0.25 * (0.5 * k3 - 1) + 0.5 * (2 * 0.8) + 0.125 * (2 * 1.1);
    ck_assert_msg(fabs(sum_of(&f, SUM_LOSS) - loss) < 1e-6, "%g, expected %g", sum_of(&f, SUM_LOSS),
                  loss);
    ck_assert(sum_of(&f, SUM_CLIPPED) == 2);
    ck_assert(fabs(sum_of(&f, SUM_KL) - k3) < 1e-6);
    ck_assert(fabs((double)f.loss.max_deviation - 0.5) < 1e-6);
    ck_assert(f.dlogp[0] == 0 && f.dlogp[1] == 0 && f.dlogp[3] == 0 && f.dlogp[4] == 0);
    ck_assert(fabs((double)f.dlogp[5] - 0.125 * 2 * 1.1) < 1e-6);
    ck_assert(fabs((double)f.dlogp[2] - 0.25 * (0.5 * (1 - 2.0) - 1)) < 1e-6);
}
END_TEST

START_TEST(reference)
{
    struct fixture f;
    fixture_make(&f, &loss_reference);
    loss_run(&f.loss, &f.mb, 0, T);
    for (int t = 0; t < T; t++)
        if (f.target[t] >= 0) ck_assert(f.ref_logp[t] == f.logp[t]);
    ck_assert(sum_of(&f, SUM_TOKENS) == 0 && sum_of(&f, SUM_LOSS) == 0);
    dlogp_are(&f, (float[T]){0});
}
END_TEST

static int calls, rows[2];
static const float *first[2];

static void record(struct loss *l, const struct answer_rows *a)
{
    (void)l;
    rows[calls] = a->n;
    first[calls++] = a->logp;
}

/* A shape gets every answer whole, and no two as one, also where a prompt of one token leaves no
 * row between them. */
START_TEST(whole_answers)
{
    const struct loss_shape shape = {.name = "record", .answer = record};
    struct fixture f;
    fixture_make(&f, &shape);
    f.target[3] = 9;
    loss_run(&f.loss, &f.mb, 0, T);
    ck_assert_int_eq(calls, 2);
    ck_assert(rows[0] == 2 && first[0] == f.logp + 1);
    ck_assert(rows[1] == 3 && first[1] == f.logp + 3);
    ck_assert(sum_of(&f, SUM_TOKENS) == 0); /* it does not learn */
}
END_TEST

/* A NaN in one token must not be hidden by the tokens after it, in any of the numbers. */
START_TEST(nan_shows)
{
    struct fixture f;
    fixture_make(&f, &policy_shapes[POLICY_CLIP][0]);
    f.logp[2] = NAN;
    loss_run(&f.loss, &f.mb, 0, T);
    ck_assert(isnan(sum_of(&f, SUM_LOSS)));
    ck_assert_msg(f.loss.max_deviation == INFINITY, "%g", (double)f.loss.max_deviation);
    ck_assert(isnan(f.dlogp[2]));
    fixture_make(&f, &loss_sft);
    f.logp[2] = NAN;
    loss_run(&f.loss, &f.mb, 0, T);
    ck_assert(isnan(sum_of(&f, SUM_LOSS)));
    ck_assert(sum_of(&f, SUM_TOKENS) == 4);
}
END_TEST

#define TESTS(X)            \
    X(sft)                  \
    X(rows_between_answers) \
    X(on_policy)            \
    X(off_policy)           \
    X(reference)            \
    X(whole_answers)        \
    X(nan_shows)

UNIT_MAIN("loss")
