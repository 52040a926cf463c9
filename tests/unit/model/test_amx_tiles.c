/* on each instruction set */
/* The tiles of model/cpu/amx: a product's sums are those that the processor's manual states, and
 * depend on nothing but a row and a column. Runs where the processor has them. */
#include <math.h>
#include "tests/support/check_unit.h"
#include "tests/support/ops_data.h"

#if defined(__x86_64__)
void tiles_configure_amx_bf16(int rows);
void tiles_release_amx_bf16(void);
struct tiles {
    void *p;
    size_t row, across, along;
};
void tiles_multiply_amx_bf16(struct tiles C, struct tiles A, struct tiles B, int M, int N, int K,
                             bool add);

enum { SIDE = 16, DEPTH = 32, TILE = 1024, M = 3, N = 3, K = 2 };

static const struct ops *ops;
static bool setup(void)
{
    ops = ops_find(PRECISION_BF16, "amx");
    return ops != NULL;
}

/* Row-major (16 M, 32 K), and tiles of pairs. */
struct factors {
    void *a, *b;
    float *left, *right, sums[16 * M][16 * N];
};

static struct factors factors_make(void)
{
    enum { A = 16 * M * DEPTH * K, B = N * K * TILE / 2 };
    struct factors f = {
        reals_spread(ops, A, 1, 1.0f), reals_spread(ops, B, 2, 1.0f), NULL, NULL, {{0}}};
    float *start = floats_spread(16 * M * 16 * N, 3, 1.0f);
    f.left = floats_of(ops, f.a, A);
    f.right = floats_of(ops, f.b, B);
    memcpy(f.sums, start, sizeof f.sums);
    free(start);
    return f;
}

static void factors_free(struct factors *f)
{
    void *all[] = {f->a, f->b, f->left, f->right};
    for (int i = 0; i < 4; i++) free(all[i]);
}

static void product(struct factors *f, float (*to)[16 * N], int m)
{
    size_t row = sizeof *to, deep = DEPTH * K * 2;
    struct tiles C = {to, row, SIDE * row, 64}, A = {f->a, deep, SIDE * deep, 64};
    struct tiles B = {f->b, 64, K * TILE, TILE};
    tiles_multiply_amx_bf16(C, A, B, m, N, K, true);
}

/* Sum (m, n) of the manual: a tile's even products, fused one after the other, its odd ones, and
 * both together to what was there. */
static float expected(const struct factors *f, int m, int n)
{
    float sum = f->sums[m][n];
    for (int k = 0; k < K; k++) {
        float part[2] = {0, 0};
        for (int i = 0; i < DEPTH; i++)
            part[i % 2] =
                fmaf(f->left[(m * K + k) * DEPTH + i],
                     f->right[((n / SIDE * K + k) * SIDE + i / 2) * DEPTH + n % SIDE * 2 + i % 2],
                     part[i % 2]);
        sum += part[0] + part[1];
    }
    return sum;
}

START_TEST(order)
{
    if (!setup()) return;
    struct factors f = factors_make();
    float to[16 * M][16 * N];
    memcpy(to, f.sums, sizeof to);
    tiles_configure_amx_bf16(SIDE);
    product(&f, to, M);
    tiles_release_amx_bf16();
    for (int m = 0; m < 16 * M; m++)
        for (int n = 0; n < 16 * N; n++) ck_assert(to[m][n] == expected(&f, m, n));
    factors_free(&f);
}
END_TEST

/* A row alone has the bits that it has among others. */
START_TEST(fewer_rows)
{
    if (!setup()) return;
    struct factors f = factors_make();
    float all[16 * M][16 * N], few[16 * M][16 * N];
    memcpy(all, f.sums, sizeof all);
    tiles_configure_amx_bf16(SIDE);
    product(&f, all, M);
    for (int rows = 1; rows <= SIDE; rows++) {
        memcpy(few, f.sums, sizeof few);
        tiles_configure_amx_bf16(rows);
        product(&f, few, 1);
        ck_assert_mem_eq(few, all, (size_t)rows * sizeof *all);
        ck_assert_mem_eq(few[rows], f.sums[rows], sizeof *all);
    }
    tiles_release_amx_bf16();
    factors_free(&f);
}
END_TEST

#define TESTS(X) \
    X(order)     \
    X(fewer_rows)

#else
#define TESTS(X)
#endif

UNIT_MAIN("amx_tiles", .timeout_s = 60)
