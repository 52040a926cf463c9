/* Products by tiles: a row has among few the bits that it has among many, which the library
 * multiplies (P1), whatever the shape; and what gives other bits than the library is not used. */
#include "model/tile_trial.h"
#include "tests/support/check_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model/matmul.h"
#include "model/ops.h"
#include "model/row_trial.h"

enum { ROWS = 256 }; /* a block of the library */

struct layer {
    struct linear l;
    struct arena arena;
    uint16_t *in, *weight, *bias;
};

static void layer_make(struct layer *y, const struct ops *ops, int n, int k)
{
    *y = (struct layer){0};
    ops->linear_place(&y->l, n, k, false, &y->arena);
    arena_back(&y->arena, &device_host, y->arena.used);
    ops->linear_place(&y->l, n, k, false, &y->arena);
    y->in = calloc((size_t)(ROWS * k), sizeof *y->in);
    y->weight = calloc((size_t)(n * k), sizeof *y->weight);
    y->bias = calloc((size_t)n, sizeof *y->bias);
    trial_fill(y->in, (size_t)(ROWS * k), MATMUL_BF16, 3, 16);
    trial_fill(y->weight, (size_t)(n * k), MATMUL_BF16, 4, 8);
    trial_fill(y->bias, (size_t)n, MATMUL_BF16, 5, 8);
    ops->linear_pack(&y->l, y->weight);
}

static void layer_free(struct layer *y)
{
    arena_free(&y->arena);
    free(y->in);
    free(y->weight);
    free(y->bias);
}

/* Floats without a bias; rounded, with one. */
static void compare(const struct ops *ops, const struct layer *y, bool floats)
{
    static const int some[] = {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100};
    int n = y->l.N, k = y->l.K;
    size_t row = (size_t)n * (floats ? sizeof(float) : sizeof(uint16_t));
    char *many = calloc(ROWS, row), *few = calloc(ROWS, row);
    ops->linear_forward(many, floats, y->in, &y->l, floats ? NULL : y->bias, ROWS);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        int first = some[i] % 5; /* other rows at other places */
        memset(few, 0xff, ROWS * row);
        ops->linear_forward(few, floats, y->in + first * k, &y->l, floats ? NULL : y->bias,
                            some[i]);
        ck_assert_msg(memcmp(few, many + (size_t)first * row, (size_t)some[i] * row) == 0,
                      "%d x %d, %d rows, %s", n, k, some[i], floats ? "floats" : "rounded");
        size_t behind = (size_t)some[i] * row;
        while (behind < ROWS * row && few[behind] == (char)0xff) behind++;
        ck_assert_msg(behind == ROWS * row, "%d x %d: row %d is written", n, k, some[i]);
    }
    free(many);
    free(few);
}

START_TEST(few_rows_have_the_bits_of_many)
{
    static const int size[][2] = {{64, 32},    {64, 576},   {104, 128},  {960, 576}, {131, 96},
                                  {1152, 896}, {300, 1100}, {896, 4864}, {70, 40},   {40, 72}};
    const struct ops *ops = ops_find(PRECISION_BF16, NULL);
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        struct layer y;
        layer_make(&y, ops, size[i][0], size[i][1]);
        compare(ops, &y, true);
        compare(ops, &y, false);
        printf("%d x %d: %s\n", y.l.N, y.l.K,
               matmul_tile_rows(y.l.shape, MATMUL_FORWARD) ? "tiles" : "blocks of the library");
        layer_free(&y);
    }
}
END_TEST

/* A library that threads share is not replaced. */
START_TEST(one_thread_only)
{
    matmul_set_threads(2);
    ck_assert(!matmul_tiles());
    matmul_set_threads(1);
}
END_TEST

enum { N = 64, K = 96 };
static uint16_t packed[N * K];

/* The tiles' own sums, or with a last bit changed in one of them. */
static void tiles_as_library(void *ctx, int block, float *out, const void *x)
{
    static _Alignas(64) uint16_t room[K * TILE_ROWS];
    static _Alignas(64) float sums[TILE_ROWS * TILE_COLUMNS];
    struct tile_rows t =
        tile_rows_begin(x, TRIAL_TILE, K, matmul_tiles() ? BY_TILES : K, packed, room, sums);
    ck_assert_int_eq(block, 0);
    tile_rows_next(&t);
    tile_rows_end(&t);
    memcpy(out, sums, sizeof(float) * TRIAL_TILE * N);
    if (*(bool *)ctx) out[3 * N + 50] *= 1 + 1e-7f;
}

START_TEST(other_bits_are_not_used)
{
    bool changed = false;
    trial_fill(packed, N * K, MATMUL_BF16, 4, 8);
    struct tile_trial t = {N, K, matmul_tiles(), packed, tiles_as_library, &changed};
    if (!matmul_tile_rows(matmul_shape_get(N, K, matmul_type_of_bf16(), false), MATMUL_FORWARD)) {
        printf("no tiles here\n");
        return;
    }
    ck_assert(tile_trial(&t));
    changed = true;
    ck_assert(!tile_trial(&t));
}
END_TEST

#define TESTS(X)                      \
    X(few_rows_have_the_bits_of_many) \
    X(one_thread_only)                \
    X(other_bits_are_not_used)

UNIT_MAIN("products by tiles")
