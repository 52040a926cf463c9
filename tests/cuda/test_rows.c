/* The rows of a GPU's table that walk along the rows of a micro-batch: against the plain loops, and
 * each row by itself (promise P1). On the emulated GPU, or a real one. */
#include "tests/cuda/device_rows.h"

/* Lengths of rows: in whole spans of eight or not, a warp's and a block's, one lap and more. */
static const int lengths[] = {1, 7, 8, 56, 133, 1024, 1032, 2500, 4096};
enum { LENGTHS = sizeof lengths / sizeof *lengths, T = 13, CASES = LENGTHS * PRECISIONS };

/* --- moves: the same bytes --- */

START_TEST(copies_of_rows)
{
    enum { MOST = T * 200 };
    static const struct {
        size_t at, y_step, x_step, bytes;
    } cases[] = {{0, 64, 80, 48}, {0, 48, 48, 48}, {4, 60, 72, 52}, {3, 41, 57, 39}, {0, 3, 9, 1}};
    setup(_i);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        static unsigned char from[MOST], to[MOST], to2[MOST];
        for (int i = 0; i < MOST; i++) from[i] = (unsigned char)(i * 7 + i / 256);
        memset(to, 0xaa, MOST);
        memset(to2, 0xaa, MOST);
        ops->copy_rows(to + cases[k].at, cases[k].y_step, from, cases[k].x_step, T, cases[k].bytes);
        plain->copy_rows(to2 + cases[k].at, cases[k].y_step, from, cases[k].x_step, T,
                         cases[k].bytes);
        ck_assert_mem_eq(to, to2, MOST);
    }
}
END_TEST

START_TEST(scattered_rows_and_columns)
{
    enum { K = 3 };
    setup(_i);
    int C = lengths[_i / PRECISIONS], at[T * K];
    size_t n = (size_t)C, bytes = T * K * n * plain->real_bytes;
    for (int i = 0; i < T * K; i++) at[i] = i * 4 % (T * K);
    void *x = reals_random(plain, T * n, 1, 1.0f), *y = room(T * K * n), *y2 = room(T * K * n);
    ops->scatter_rows(y, at, x, T, C, K);
    plain->scatter_rows(y2, at, x, T, C, K);
    ck_assert_mem_eq(y, y2, bytes);
    float *z = floats_random(T * n, 2, 1.0f), *z2 = floats_random(T * n, 2, 1.0f);
    struct share columns = {C / 3, C - C / 2};
    ops->fill_columns(z, columns, -INFINITY, T, C);
    plain->fill_columns(z2, columns, -INFINITY, T, C);
    ck_assert_mem_eq(z, z2, T * n * sizeof *z);
    FREE_ALL(x, y, y2, z, z2);
}
END_TEST

START_TEST(embedding)
{
    enum { V = 11, ROWS = 300 };
    setup(_i);
    int C = lengths[_i / PRECISIONS], token[ROWS];
    size_t n = (size_t)C;
    for (int t = 0; t < ROWS; t++) token[t] = t < 150 ? t * t % 7 : t * 7 % V;
    void *table = reals_random(plain, V * n, 1, 1.0f), *dx = reals_spread(plain, ROWS * n, 2, 1.0f);
    void *x = room(ROWS * n), *x2 = room(ROWS * n);
    float *d = floats_random(V * n, 3, 1.0f), *d2 = floats_random(V * n, 3, 1.0f);
    for (int part = 0; part < 2; part++) {
        struct share own = part ? (struct share){4, 3} : (struct share){0, V};
        ops->embed_forward(x, table, token, own, ROWS, C);
        plain->embed_forward(x2, table, token, own, ROWS, C);
        ck_assert_mem_eq(x, x2, ROWS * n * plain->real_bytes);
        /* rows are added in order: the same bits */
        ops->embed_backward(d, dx, token, own, ROWS, C);
        plain->embed_backward(d2, dx, token, own, ROWS, C);
        ck_assert_mem_eq(d, d2, V * n * sizeof *d);
    }
    FREE_ALL(table, dx, x, x2, d, d2);
}
END_TEST

/* --- norms --- */

START_TEST(rmsnorm)
{
    setup(_i);
    int C = lengths[_i / PRECISIONS];
    size_t n = (size_t)C, bytes = n * plain->real_bytes;
    void *x = reals_spread(plain, T * n, 1, 2.0f), *gain = reals_random(plain, n, 2, 1.5f);
    void *dy = reals_spread(plain, T * n, 3, 1.0f), *carry = reals_random(plain, T * n, 4, 1.0f);
    void *y = room(T * n), *y2 = room(T * n), *one = room(n);
    float rstd[T], rstd2[T], own;
    float *dgain = floats_random(n, 5, 1.0f), *dgain2 = floats_random(n, 5, 1.0f);
    ops->rmsnorm_forward(y, rstd, x, gain, T, C, 1e-5f);
    plain->rmsnorm_forward(y2, rstd2, x, gain, T, C, 1e-5f);
    NEAR_REALS(y, y2, T * n);
    ck_assert_double_le(worst_error(rstd, rstd2, T), 2e-5);
    for (size_t t = 0; t < T; t++) {
        ops->rmsnorm_forward(one, &own, row_at(x, t, n), gain, 1, C, 1e-5f);
        ck_assert_mem_eq(one, row_at(y, t, n), bytes);
        ck_assert(own == rstd[t]);
    }
    for (int with = 0; with < 2; with++) {
        void *residual = with ? carry : NULL;
        ops->rmsnorm_backward(y, with ? dgain : NULL, dy, x, gain, rstd2, residual, T, C);
        plain->rmsnorm_backward(y2, with ? dgain2 : NULL, dy, x, gain, rstd2, residual, T, C);
        NEAR_REALS(y, y2, T * n);
        NEAR_FLOATS(dgain, dgain2, n);
    }
    for (size_t t = 0; t < T; t++) {
        ops->rmsnorm_backward(one, NULL, row_at(dy, t, n), row_at(x, t, n), gain, rstd2 + t,
                              row_at(carry, t, n), 1, C);
        ck_assert_mem_eq(one, row_at(y, t, n), bytes);
    }
    ops->rmsnorm_backward(carry, NULL, dy, x, gain, rstd2, carry, T, C);
    ck_assert_mem_eq(carry, y, T * bytes);
    FREE_ALL(x, gain, dy, carry, y, y2, one, dgain, dgain2);
}
END_TEST

/* Rows are added in pieces of 64: two calls, the first with 128, leave the bits of one. */
START_TEST(gradient_of_a_gain)
{
    enum { C = 264, ROWS = 200, FIRST = 128 };
    setup(_i);
    void *x = reals_spread(plain, ROWS * C, 1, 2.0f), *gain = reals_random(plain, C, 2, 1.5f);
    void *dy = reals_spread(plain, ROWS * C, 3, 1.0f), *dx = room(ROWS * C);
    float *rstd = floats_random(ROWS, 4, 1.0f), *whole = floats_random(C, 5, 1.0f);
    float *cut = floats_random(C, 5, 1.0f), *right = floats_random(C, 5, 1.0f);
    ops->rmsnorm_backward(dx, whole, dy, x, gain, rstd, NULL, ROWS, C);
    plain->rmsnorm_backward(dx, right, dy, x, gain, rstd, NULL, ROWS, C);
    NEAR_FLOATS(whole, right, C);
    ops->rmsnorm_backward(dx, cut, dy, x, gain, rstd, NULL, FIRST, C);
    ops->rmsnorm_backward(dx, cut, row_at(dy, FIRST, C), row_at(x, FIRST, C), gain, rstd + FIRST,
                          NULL, ROWS - FIRST, C);
    ck_assert_mem_eq(whole, cut, C * sizeof *cut);
    FREE_ALL(x, gain, dy, dx, rstd, whole, cut, right);
}
END_TEST

/* More pieces than there is room for their sums at once: a second wave goes on where the first
 * ended. */
START_TEST(gradient_of_a_gain_in_waves)
{
    enum { C = 8192, ROWS = 64 * 128 + 70 };
    setup(_i);
    void *x = reals_spread(plain, ROWS * (size_t)C, 1, 2.0f), *gain = reals_random(plain, C, 2, 1);
    void *dy = reals_spread(plain, ROWS * (size_t)C, 3, 0x1p-6f);
    void *dx = room(ROWS * (size_t)C), *dx2 = room(ROWS * (size_t)C);
    float *rstd = floats_random(ROWS, 4, 1.0f), *dgain = floats_random(C, 5, 1.0f);
    float *right = floats_random(C, 5, 1.0f);
    ops->rmsnorm_backward(dx, dgain, dy, x, gain, rstd, NULL, ROWS, C);
    ops_find(plain->precision, NULL)
        ->rmsnorm_backward(dx2, right, dy, x, gain, rstd, NULL, ROWS, C);
    ck_assert_double_le(worst_error(dgain, right, C), 2e-4);
    FREE_ALL(x, gain, dy, dx, dx2, rstd, dgain, right);
}
END_TEST

/* Heads in wider rows; between them nothing is touched. */
START_TEST(norms_of_heads)
{
    static const int sizes[] = {21, 64, 128};
    setup(_i);
    int D = sizes[_i / PRECISIONS], heads = 3;
    struct head_rows h = {T, heads, D, heads * D + 8, heads + 2};
    size_t n = (size_t)(T * h.stride), d = (size_t)D, statistics = (size_t)(T * h.statistics);
    void *x = reals_random(plain, n, 1, 2.0f), *gain = reals_random(plain, d, 2, 1.5f);
    void *dy = reals_random(plain, n, 3, 1.0f), *one = room(3 * d);
    void *y = reals_random(plain, n, 4, 1.0f), *y2 = reals_random(plain, n, 4, 1.0f);
    float *rstd = floats_random(statistics, 5, 1.0f), *rstd2 = floats_random(statistics, 5, 1.0f);
    float *dgain = floats_random(d, 6, 1.0f), *dgain2 = floats_random(d, 6, 1.0f), own[3];
    ops->rmsnorm_heads_forward(y, rstd, x, gain, h, 1e-5f);
    plain->rmsnorm_heads_forward(y2, rstd2, x, gain, h, 1e-5f);
    NEAR_REALS(y, y2, n - 8);
    ck_assert_double_le(worst_error(rstd, rstd2, statistics), 2e-5);
    ops->rmsnorm_forward(one, own, row_at(x, 2, (size_t)h.stride), gain, heads, D, 1e-5f);
    ck_assert_mem_eq(one, row_at(y, 2, (size_t)h.stride), 3 * d * plain->real_bytes);
    ops->rmsnorm_heads_backward(y, dgain, dy, x, gain, rstd2, h);
    plain->rmsnorm_heads_backward(y2, dgain2, dy, x, gain, rstd2, h);
    NEAR_REALS(y, y2, n - 8);
    NEAR_FLOATS(dgain, dgain2, d);
    FREE_ALL(x, gain, dy, one, y, y2, rstd, rstd2, dgain, dgain2);
}
END_TEST

/* --- rope, SwiGLU, experts --- */

START_TEST(rope)
{
    static const int sizes[] = {2, 10, 64, 128};
    enum { HEADS = 5, POSITIONS = 40 };
    setup(_i);
    int D = sizes[_i / PRECISIONS], stride = (HEADS + 2) * D, pos[T];
    size_t n = (size_t)(T * stride);
    for (int t = 0; t < T; t++) pos[t] = t * 11 % POSITIONS;
    float *angles = floats_random((size_t)(POSITIONS * D), 1, 1.0f);
    void *x = reals_random(plain, n, 2, 1.0f), *x2 = reals_random(plain, n, 2, 1.0f);
    for (int inverse = 0; inverse < 2; inverse++) {
        ops->rope(x, T, stride, HEADS, D, pos, angles, inverse);
        plain->rope(x2, T, stride, HEADS, D, pos, angles, inverse);
        ck_assert_mem_eq(x, x2, n * plain->real_bytes);
    }
    FREE_ALL(angles, x, x2);
}
END_TEST

START_TEST(swiglu)
{
    setup(_i);
    int F = lengths[_i / PRECISIONS];
    size_t n = (size_t)F, bytes = n * plain->real_bytes;
    void *gu = reals_random(plain, T * 2 * n, 1, 9.0f), *dy = reals_random(plain, T * n, 2, 1.0f);
    void *y = room(T * 2 * n), *y2 = room(T * 2 * n), *one = room(2 * n);
    ops->swiglu_forward(y, gu, T, F);
    plain->swiglu_forward(y2, gu, T, F);
    NEAR_REALS(y, y2, T * n);
    for (size_t t = 0; t < T; t++) {
        ops->swiglu_forward(one, row_at(gu, t, 2 * n), 1, F);
        ck_assert_mem_eq(one, row_at(y, t, n), bytes);
    }
    ops->swiglu_backward(y, dy, gu, T, F);
    plain->swiglu_backward(y2, dy, gu, T, F);
    NEAR_REALS(y, y2, T * 2 * n);
    for (size_t t = 0; t < T; t++) {
        ops->swiglu_backward(one, row_at(dy, t, n), row_at(gu, t, 2 * n), 1, F);
        ck_assert_mem_eq(one, row_at(y, t, 2 * n), 2 * bytes);
    }
    ops->swiglu_backward(gu, dy, gu, T, F);
    ck_assert_mem_eq(gu, y, T * 2 * bytes);
    FREE_ALL(gu, dy, y, y2, one);
}
END_TEST

START_TEST(combine)
{
    enum { K = 3 };
    setup(_i);
    int C = lengths[_i / PRECISIONS], at[T * K];
    size_t n = (size_t)C, bytes = n * plain->real_bytes;
    for (int i = 0; i < T * K; i++) at[i] = i * 4 % (T * K);
    void *x = reals_random(plain, T * n, 1, 1.0f), *of = reals_spread(plain, T * K * n, 2, 1.0f);
    void *dy = reals_spread(plain, T * n, 3, 1.0f), *y = room(T * K * n), *y2 = room(T * K * n);
    void *one = room(n);
    float *weight = floats_random(T * K, 4, 1.0f), dweight[T * K], dweight2[T * K];
    ops->combine_forward(y, x, of, at, weight, T, C, K);
    plain->combine_forward(y2, x, of, at, weight, T, C, K);
    NEAR_REALS(y, y2, T * n);
    for (size_t t = 0; t < T; t++) {
        ops->combine_forward(one, row_at(x, t, n), of, at + t * K, weight + t * K, 1, C, K);
        ck_assert_mem_eq(one, row_at(y, t, n), bytes);
    }
    ops->combine_forward(x, x, of, at, weight, T, C, K);
    ck_assert_mem_eq(x, y, T * bytes);
    ops->combine_backward(y, dweight, dy, of, at, weight, T, C, K);
    plain->combine_backward(y2, dweight2, dy, of, at, weight, T, C, K);
    NEAR_REALS(y, y2, T * K * n);
    NEAR_FLOATS(dweight, dweight2, T * K);
    ops->combine_backward(of, dweight2, dy, of, at, weight, T, C, K);
    ck_assert_mem_eq(of, y, T * K * bytes);
    ck_assert_mem_eq(dweight, dweight2, sizeof dweight);
    FREE_ALL(x, of, dy, y, y2, one, weight);
}
END_TEST

#define TESTS(X)                                       \
    X(copies_of_rows, .to = PRECISIONS)                \
    X(scattered_rows_and_columns, .to = CASES)         \
    X(embedding, .to = CASES)                          \
    X(rmsnorm, .to = CASES)                            \
    X(gradient_of_a_gain, .to = PRECISIONS)            \
    X(gradient_of_a_gain_in_waves, .from = 1, .to = 2) \
    X(norms_of_heads, .to = 3 * PRECISIONS)            \
    X(rope, .to = 4 * PRECISIONS)                      \
    X(swiglu, .to = CASES)                             \
    X(combine, .to = CASES)

UNIT_MAIN("rows", .timeout_s = 120)
