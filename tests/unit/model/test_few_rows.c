/* Products of a few rows: each sum is the chain that is asked for, to the bit, whatever the number
 * of rows; what gives other bits than the library's blocks is not used; and a linear layer gives a
 * row the same bits among few as among many (P1). */
#include "model/few_rows.h"
#include "tests/support/check_unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model/ops.h"
#include "model/row_trial.h"

extern few_rows_of few_rows_base_bf16;
#if defined(__x86_64__)
extern few_rows_of few_rows_avx2_bf16, few_rows_avx512_bf16;
#endif

/* Kernels that this processor runs, the widest first. */
static few_rows_of *kernels(void)
{
#if defined(__x86_64__)
    const struct ops *avx512 = ops_find(PRECISION_BF16, "avx512");
    if (avx512) return few_rows_avx512_bf16;
    if (ops_find(PRECISION_BF16, "avx2")) return few_rows_avx2_bf16;
#endif
    return few_rows_base_bf16;
}

static float widened(uint16_t half)
{
    uint32_t u = (uint32_t)half << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* The definition: pieces in order, each a chain of fused multiply-adds from 0. */
static float chained(const float *x, const uint16_t *w, int K, struct few_chain c)
{
    float all = 0;
    for (int k = 0, n; k < K; k += n) {
        float sum = 0;
        n = few_piece(c, K - k);
        for (int i = k; i < k + n; i++) sum = fmaf(x[i], widened(w[i]), sum);
        all = k == 0 ? sum : all + sum;
    }
    return all;
}

START_TEST(pieces)
{
    const struct few_chain c = {256};
    static const struct {
        int K, n[4];
    } expect[] = {
        {64, {64}},        {256, {256}},           {384, {192, 192}},     {511, {256, 255}},
        {512, {256, 256}}, {576, {256, 160, 160}}, {768, {256, 256, 256}}};
    for (size_t i = 0; i < sizeof expect / sizeof *expect; i++)
        for (int k = 0, j = 0; k < expect[i].K; k += expect[i].n[j++])
            ck_assert_int_eq(few_piece(c, expect[i].K - k), expect[i].n[j]);
    ck_assert_int_eq(few_piece((struct few_chain){0}, 5000), 5000);
}
END_TEST

enum { N = 24, K = 640 };
static float x[FEW_ROWS * K], y[FEW_ROWS * N];
static uint16_t w[N * K];

static void fill(void)
{
    trial_fill(x, FEW_ROWS * K, MATMUL_F32, 1, 16);
    trial_fill(w, N * K, MATMUL_BF16, 2, 8);
}

START_TEST(each_sum_is_its_chain)
{
    static const struct few_chain chain[] = {{256}, {384}, {0}, {64}};
    fill();
    for (size_t i = 0; i < sizeof chain / sizeof *chain; i++) {
        few_rows_run *run = kernels()(N, K, chain[i]);
        if (!run) {
            printf("no fused multiply-add here: nothing is served in few rows\n");
            return;
        }
        for (int rows = 1; rows <= FEW_ROWS; rows++) {
            memset(y, 0xff, sizeof y);
            run(y, x, w, rows, N, K, chain[i]);
            for (int r = 0; r < FEW_ROWS; r++)
                for (int n = 0; n < N; n++) {
                    float sum = chained(x + r * K, w + n * K, K, chain[i]);
                    if (r < rows)
                        ck_assert_msg(memcmp(&y[r * N + n], &sum, sizeof sum) == 0, "row %d of %d",
                                      r, rows);
                    else
                        ck_assert_msg(isnan(y[r * N + n]), "row %d of %d is written", r, rows);
                }
        }
    }
}
END_TEST

START_TEST(whole_squares_only)
{
    ck_assert(!kernels()(23, 640, (struct few_chain){0}));
    ck_assert(!kernels()(24, 636, (struct few_chain){0}));
    ck_assert(!kernels()(24, 264, (struct few_chain){200})); /* pieces of 132 */
}
END_TEST

/* Planted: two chains, of even and odd inputs. */
static void in_two(float *out, const float *in, const uint16_t *weight, int rows, int n, int k,
                   struct few_chain c)
{
    (void)c;
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) {
            float sum[2] = {0};
            for (int i = 0; i < k; i++)
                sum[i % 2] = fmaf(in[r * k + i], widened(weight[j * k + i]), sum[i % 2]);
            out[r * n + j] = sum[0] + sum[1];
        }
}
static few_rows_run *in_two_of(int n, int k, struct few_chain c)
{
    (void)n, (void)k, (void)c;
    return in_two;
}

START_TEST(another_order_is_not_used)
{
    ck_assert(!few_rows_find(64, 576, in_two_of).run);
    ck_assert(!few_rows_find(64, 128, in_two_of).run);
}
END_TEST

/* Rows of 40 alone, in twos, ... in eights. */
START_TEST(few_rows_have_the_bits_of_many)
{
    enum { ROWS = 40 };
    static const int size[][2] = {{64, 64}, {64, 576}, {192, 896}, {1536, 576}, {100, 200}};
    const struct ops *ops = ops_find(PRECISION_BF16, NULL);
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        int n = size[i][0], k = size[i][1];
        struct linear l;
        struct arena a = {0};
        ops->linear_place(&l, n, k, false, &a);
        arena_back(&a, &device_host, a.used);
        ops->linear_place(&l, n, k, false, &a);
        uint16_t *in = calloc((size_t)(ROWS * k), sizeof *in),
                 *weight = calloc((size_t)(n * k), sizeof *weight);
        float *many = calloc((size_t)(ROWS * n), sizeof *many),
              *few = calloc((size_t)(ROWS * n), sizeof *few);
        trial_fill(in, (size_t)(ROWS * k), MATMUL_BF16, 3, 16);
        trial_fill(weight, (size_t)(n * k), MATMUL_BF16, 4, 8);
        ops->linear_pack(&l, weight);
        ops->linear_forward(many, true, in, &l, NULL, ROWS);
        for (int rows = 1; rows <= FEW_ROWS; rows++) {
            for (int t = 0; t < ROWS; t += rows)
                ops->linear_forward(few + t * n, true, in + t * k, &l, NULL,
                                    rows < ROWS - t ? rows : ROWS - t);
            ck_assert_msg(memcmp(few, many, (size_t)(ROWS * n) * sizeof *few) == 0,
                          "%d x %d, %d rows", n, k, rows);
        }
        printf("%d x %d: %s\n", n, k, l.stored ? "few rows as stored" : "blocks of the library");
        arena_free(&a);
        free(in);
        free(weight);
        free(many);
        free(few);
    }
}
END_TEST

#define TESTS(X)                 \
    X(pieces)                    \
    X(each_sum_is_its_chain)     \
    X(whole_squares_only)        \
    X(another_order_is_not_used) \
    X(few_rows_have_the_bits_of_many)

UNIT_MAIN("products of a few rows")
