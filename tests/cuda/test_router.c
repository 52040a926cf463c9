/* The rows of a layer of experts in a GPU's table: against the plain loops, and each row by itself
 * (promise P1). On the emulated GPU, or a real one. */
#include "tests/cuda/device_rows.h"

#include "comm/base/exact.h"

/* Experts, experts of a row, lengths of rows. */
static const struct {
    int E, K, C;
} shapes[] = {{4, 2, 24}, {7, 3, 133}, {300, 8, 64}};
enum { T = 23, SHAPES = 3, CASES = SHAPES * PRECISIONS };
static int starts[] = {0, 9, 10, T};
static const struct segments seg = {3, starts};

START_TEST(probabilities_and_choices)
{
    setup(_i);
    int E = shapes[_i / PRECISIONS].E, K = shapes[_i / PRECISIONS].K, C = shapes[_i / PRECISIONS].C;
    size_t e = (size_t)E, k = (size_t)K, c = (size_t)C;
    void *x = reals_spread(plain, T * c, 1, 2.0f), *w = reals_spread(plain, e * c, 2, 1.0f);
    float *p = room(T * e), *p2 = room(T * e), *weight = room(T * k), *weight2 = room(T * k);
    int *expert = room(T * k), *expert2 = room(T * k), *at = room(T * k), *at2 = room(T * k);
    int *start = room(e + 1), *start2 = room(e + 1);
    ops->router_forward(p, x, w, T, C, E);
    plain->router_forward(p2, x, w, T, C, E);
    NEAR_FLOATS(p, p2, T * e);
    for (size_t t = 0; t < T; t++) {
        ops->router_forward(p2, row_at(x, t, c), w, 1, C, E);
        ck_assert_mem_eq(p2, p + t * e, e * sizeof *p);
    }
    p[1] = p[2] = p[0]; /* of equals the lower number; a NaN is as on the host */
    p[e + 1] = p[2 * e] = NAN;
    for (int normed = 0; normed < 2; normed++) {
        ops->router_select(weight, expert, p, T, E, K, normed);
        plain->router_select(weight2, expert2, p, T, E, K, normed);
        ck_assert_mem_eq(expert, expert2, T * k * sizeof *expert);
        ck_assert_double_le(worst_error(weight, weight2, T * k), 0);
    }
    ops->router_sort(at, start, expert, T * K, E);
    plain->router_sort(at2, start2, expert, T * K, E);
    ck_assert_mem_eq(at, at2, T * k * sizeof *at);
    ck_assert_mem_eq(start, start2, (e + 1) * sizeof *start);
    FREE_ALL(x, w, p, p2, weight, weight2, expert, expert2, at, at2, start, start2);
}
END_TEST

static int *experts_made(int E, int K)
{
    int *expert = room((size_t)(T * K));
    for (int t = 0; t < T; t++)
        for (int j = 0; j < K; j++) expert[t * K + j] = (t * 5 + j * (1 + E / 9)) % E;
    return expert;
}

START_TEST(loads_and_their_gradient)
{
    setup(_i);
    int E = shapes[_i / PRECISIONS].E, K = shapes[_i / PRECISIONS].K;
    size_t e = (size_t)E, k = (size_t)K;
    float *p = floats_random(T * e, 1, 0.5f), *p2 = room(T * e), *own = room(T * e);
    float *weight = floats_random(T * k, 2, 1.0f), *dweight = floats_random(T * k, 3, 1.0f);
    int *expert = experts_made(E, K), *count = room(e);
    uint64_t *chosen = memory_take(e, sizeof *chosen, "a test");
    uint64_t *chosen2 = memory_take(e, sizeof *chosen, "a test");
    struct exact_sum a = {5, -3, 0}, b = a;
    for (size_t i = 0; i < T * e; i++) p[i] = fabsf(p[i]) * 0x1p-9f;
    ops->router_load(chosen, &a, count, p, expert, seg, E, K);
    plain->router_load(chosen2, &b, count, p, expert, seg, E, K);
    ck_assert_mem_eq(chosen, chosen2, e * sizeof *chosen);
    ck_assert_double_eq_tol(exact_value(&a), exact_value(&b), 1e-12 * fabs(exact_value(&b)));
    for (int normed = 0; normed < 2; normed++) {
        const struct chosen of = {expert, weight, dweight};
        memcpy(own, p, T * e * sizeof *p);
        memcpy(p2, p, T * e * sizeof *p);
        ops->router_backward(own, &of, 0.25f, count, seg, E, K, normed);
        plain->router_backward(p2, &of, 0.25f, count, seg, E, K, normed);
        NEAR_FLOATS(own, p2, T * e);
        /* the last sequence by itself */
        int alone[] = {0, T - 10};
        const struct segments last = {1, alone};
        const struct chosen rest = {expert + 10 * k, weight + 10 * k, dweight + 10 * k};
        memcpy(p2, p, T * e * sizeof *p);
        ops->router_backward(p2 + 10 * e, &rest, 0.25f, count, last, E, K, normed);
        ck_assert_mem_eq(p2 + 10 * e, own + 10 * e, (T - 10) * e * sizeof *own);
    }
    FREE_ALL(p, p2, own, weight, dweight, expert, count, chosen, chosen2);
}
END_TEST

START_TEST(gradients)
{
    setup(_i);
    int E = shapes[_i / PRECISIONS].E, K = shapes[_i / PRECISIONS].K, C = shapes[_i / PRECISIONS].C;
    size_t e = (size_t)E, k = (size_t)K, c = (size_t)C;
    void *x = reals_spread(plain, T * c, 1, 1.0f), *w = reals_spread(plain, e * c, 2, 1.0f);
    void *drows = reals_spread(plain, T * k * c, 3, 1.0f), *dx = room(T * c), *dx2 = room(T * c);
    float *dl = floats_random(T * e, 4, 0.25f), *dw = floats_random(e * c, 5, 1.0f);
    float *dw2 = floats_random(e * c, 5, 1.0f), *scores = room(T), *scores2 = room(T);
    int *at = room(T * k);
    for (int i = 0; i < T * K; i++) at[i] = (i * 2 + 1) % (T * K);
    ops->router_backward_input(dx, drows, at, dl, w, T, C, E, K);
    plain->router_backward_input(dx2, drows, at, dl, w, T, C, E, K);
    NEAR_REALS(dx, dx2, T * c);
    for (size_t t = 0; t < T; t += 7) {
        ops->router_backward_input(dx2, drows, at + t * k, dl + t * e, w, 1, C, E, K);
        ck_assert_mem_eq(dx2, row_at(dx, t, c), c * plain->real_bytes);
    }
    ops->score_forward(scores, x, w, T, C);
    plain->score_forward(scores2, x, w, T, C);
    NEAR_FLOATS(scores, scores2, T);
    for (size_t t = 0; t < T; t += 7) {
        ops->score_forward(scores2, row_at(x, t, c), w, 1, C);
        ck_assert_mem_eq(scores2, scores + t, sizeof *scores);
    }
    ops->router_backward_weight(dw, dl, x, T, C, E);
    plain->router_backward_weight(dw2, dl, x, T, C, E);
    NEAR_FLOATS(dw, dw2, e * c);
    FREE_ALL(x, w, drows, dx, dx2, dl, dw, dw2, at, scores, scores2);
}
END_TEST

/* Each row's gradient by itself (promise P1), as tests/cuda/test_rows asks of the other rows. */
START_TEST(combination_backward_by_row)
{
    setup(_i);
    int K = shapes[_i / PRECISIONS].K, C = shapes[_i / PRECISIONS].C;
    size_t k = (size_t)K, c = (size_t)C;
    void *of = reals_spread(plain, T * k * c, 1, 1.0f), *dy = reals_spread(plain, T * c, 2, 1.0f);
    void *d = room(T * k * c), *one = room(k * c);
    float *weight = floats_random(T * k, 3, 1.0f), *dweight = room(T * k), *own = room(k);
    int *at = room(T * k);
    for (int i = 0; i < T * K; i++) at[i] = i;
    ops->combine_backward(d, dweight, dy, of, at, weight, T, C, K);
    for (size_t t = 0; t < T; t++) {
        ops->combine_backward(one, own, row_at(dy, t, c), row_at(of, t * k, c), at, weight + t * k,
                              1, C, K);
        ck_assert_mem_eq(one, row_at(d, t * k, c), k * c * plain->real_bytes);
        ck_assert_mem_eq(own, dweight + t * k, k * sizeof *own);
    }
    FREE_ALL(of, dy, d, one, weight, dweight, own, at);
}
END_TEST

#define TESTS(X)                              \
    X(probabilities_and_choices, .to = CASES) \
    X(loads_and_their_gradient, .to = CASES)  \
    X(gradients, .to = CASES)                 \
    X(combination_backward_by_row, .to = CASES)

UNIT_MAIN("router", .timeout_s = 60)
