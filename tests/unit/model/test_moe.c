/* on each instruction set */
/* Layers with experts: who is chosen, in what order the rows lie, what the load says. What they
 * compute is held against the oracle (test_chunk_golden), differences (test_chunk_gradient), and
 * themselves in other company (test_decode, test_chunk). */

#include "model/block.h"
#include "tests/support/tiny_model.h"
#include "tests/support/check_unit.h"

static const struct dims DIMS = {TINY_EXPERTS, .L = 2, .C = 16, .F = 24, .E = 5, .K = 3, .Fe = 8};

static struct tiny_model m;
static struct tiny_batch b;

/* A forward pass whose router has the given weights, one number for each expert. */
static const struct moe_acts *forward(const float *router, bool route_norm)
{
    struct dims d = DIMS;
    d.route_norm = route_norm;
    tiny_model_make(&m, &d, ops_find(PRECISION_FP32, NULL), 1, TINY_ROWS, true);
    const struct param *p = param_find(chunk_params(m.chunk[0]), "layers.1.router");
    float *w = (float *)m.weights[0] + p->offset;
    for (size_t i = 0; router && i < p->n; i++) w[i] = router[i / (size_t)d.C];
    tiny_batch_make(&b, &m.d, 0);
    tiny_run(&m, PASS_F, 0, &b);
    const struct chunk *c = m.chunk[0];
    int i = 0;
    while (c->unit[i].part != &PART_MOE) i++;
    ck_assert_int_eq(c->unit[i].layer, 1);
    return c->slot[0].acts[0][i];
}

/* Experts with equal weights are equally probable: of those the lower number comes first. */
START_TEST(of_equals_the_lower_number)
{
    static const float equal[] = {0.25f, 0.25f, 0.25f, 0.25f, 0.25f};
    const struct moe_acts *r = forward(equal, true);
    for (int t = 0; t < TINY_ROWS; t++)
        for (int j = 0; j < DIMS.K; j++) {
            ck_assert_int_eq(r->expert[t * DIMS.K + j], j);
            ck_assert_float_eq_tol(r->weight[t * DIMS.K + j], 1.0f / 3, 1e-6f);
        }
    uint64_t chosen[TINY_CHOSEN];
    struct exact_sum balance;
    chunk_load(m.chunk[0], chosen, &balance);
    for (int e = 0; e < DIMS.E; e++) {
        ck_assert_uint_eq(chosen[e], 0); /* the dense layer */
        ck_assert_uint_eq(chosen[DIMS.E + e], e < DIMS.K ? TINY_ROWS : 0);
    }
    /* f = 1/3 of three experts, P = 1/5 of all: E * 3 * 1/3 * 1/5 = 1 a row */
    ck_assert_double_eq_tol(exact_value(&balance), TINY_ROWS, 1e-4);
    chunk_load_clear(m.chunk[0]);
    chunk_load(m.chunk[0], chosen, &balance);
    ck_assert_uint_eq(chosen[DIMS.E], 0);
    ck_assert(exact_value(&balance) == 0);
    tiny_model_free(&m);
}
END_TEST

START_TEST(the_most_probable_are_chosen)
{
    const struct moe_acts *r = forward(NULL, _i);
    for (int t = 0; t < TINY_ROWS; t++) {
        const float *prob = r->prob + t * DIMS.E, *weight = r->weight + t * DIMS.K;
        const int *expert = r->expert + t * DIMS.K;
        float all = 0, kept = 0, weights = 0;
        for (int e = 0; e < DIMS.E; e++) {
            int better = 0;
            for (int o = 0; o < DIMS.E; o++) better += prob[o] > prob[e];
            if (better < DIMS.K) ck_assert_int_eq(expert[better], e);
            if (better < DIMS.K) kept += prob[e];
            all += prob[e];
        }
        for (int j = 0; j < DIMS.K; j++) {
            float expect = _i ? prob[expert[j]] / kept : prob[expert[j]];
            ck_assert_float_eq_tol(weight[j], expect, 1e-6f);
            weights += weight[j];
        }
        ck_assert_float_eq_tol(all, 1, 1e-5f);
        if (_i) ck_assert_float_eq_tol(weights, 1, 1e-5f);
    }
    tiny_model_free(&m);
}
END_TEST

/* Every choice has a row of its own; they lie by expert, and of one expert by their row of the
 * micro-batch. */
START_TEST(rows_lie_by_expert_then_by_row)
{
    const struct moe_acts *r = forward(NULL, true);
    int n = TINY_ROWS * DIMS.K, choice[TINY_ROWS * 3];
    for (int i = 0; i < n; i++) choice[i] = -1;
    for (int i = 0; i < n; i++) {
        ck_assert_int_lt(r->at[i], n);
        ck_assert_int_eq(choice[r->at[i]], -1);
        choice[r->at[i]] = i;
    }
    ck_assert_int_eq(r->start[0], 0);
    ck_assert_int_eq(r->start[DIMS.E], n);
    for (int e = 0; e < DIMS.E; e++)
        for (int i = r->start[e]; i < r->start[e + 1]; i++) {
            ck_assert_int_eq(r->expert[choice[i]], e);
            if (i > r->start[e]) ck_assert_int_gt(choice[i] / DIMS.K, choice[i - 1] / DIMS.K);
        }
    tiny_model_free(&m);
}
END_TEST

/* Probabilities that are no numbers choose valid experts all the same: the loss says that something
 * broke. */
START_TEST(broken_numbers_stay_inside)
{
    float broken[] = {NAN, NAN, NAN, NAN, NAN};
    const struct moe_acts *r = forward(broken, true);
    for (int i = 0; i < TINY_ROWS * DIMS.K; i++) ck_assert_int_eq(r->expert[i], i % DIMS.K);
    ck_assert(isnan(b.loss));
    tiny_model_free(&m);
}
END_TEST

#define TESTS(X)                             \
    X(of_equals_the_lower_number)            \
    X(the_most_probable_are_chosen, .to = 2) \
    X(rows_lie_by_expert_then_by_row)        \
    X(broken_numbers_stay_inside)

UNIT_MAIN("moe")
