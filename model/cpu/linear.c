/* Linear layers: fixed blocks of rows through the matrix library (model/matmul.h), with what it
 * does not do around it: widening or padding of inputs, bias, rounding. */
#include "model/cpu/few_rows.h"
#include "model/gradients.h"
#include "model/precision.h"
#include "model/tile_rows.h"

static enum matmul_type type_here(void)
{
    return precision_kind(REAL_PRECISION)->product();
}

/* Gradients of bf16 by the processor's tiles, not by the library. */
static bool tiles_here(void)
{
    return type_here() == MATMUL_BF16 && matmul_tiles();
}

void OP(linear_place)(struct linear *l, int N, int K, bool backward, struct arena *a)
{
    bool tiles = tiles_here();
    const struct matmul_shape *s = matmul_shape_get(N, K, type_here(), backward && !tiles);
    *l = (struct linear){.N = N, .K = K, .backward = backward, .shape = s};
    if (type_here() == MATMUL_WIDENED) l->few = few_rows_find(N, K, OP(few_rows));
    l->forward_copy = arena_take(a, matmul_packed_bytes(s, MATMUL_FORWARD));
    if (!backward) return;
    if (tiles) gradients_reserve(K);
    l->backward_copy = arena_take(a, tiles ? gradients_packed_bytes(N, K)
                                           : matmul_packed_bytes(s, MATMUL_BACKWARD));
}

/* `rows` rows of `width` as the library's blocks want them: as they are when that is possible, else
 * copied into scratch, widened to float if need be, with zeros up to R rows. */
static const void *block_input(const real *x, int rows, int R, int width, enum matmul_type type,
                               void *scratch)
{
    size_t n = (size_t)rows * (size_t)width, all = (size_t)R * (size_t)width;
    if (type != MATMUL_WIDENED) {
        if (rows == R) return x;
        memcpy(scratch, x, n * sizeof *x);
        memset((real *)scratch + n, 0, (all - n) * sizeof *x);
    } else {
        OP(to_float)(scratch, x, n);
        memset((float *)scratch + n, 0, (all - n) * sizeof(float));
    }
    return scratch;
}

void OP(linear_pack)(struct linear *l, const void *w)
{
    matmul_pack(l->forward_copy, l->shape, MATMUL_FORWARD, w);
    if (l->backward && tiles_here())
        gradients_pack(l->backward_copy, w, l->N, l->K);
    else if (l->backward)
        matmul_pack(l->backward_copy, l->shape, MATMUL_BACKWARD, w);
    l->stored = l->few.run ? w : NULL;
}

/* Columns of sums of some rows -> those of the output, as far apart as said: + bias, rounded or
 * not. */
static void block_output(void *y, size_t y_row, bool y_float, const float *sums, size_t sums_row,
                         const real *bias, int rows, int N)
{
    for (int t = 0; t < rows; t++) {
        const float *restrict s = sums + (size_t)t * sums_row;
        size_t at = (size_t)t * y_row;
        if (y_float) {
            float *restrict out = (float *)y + at;
            for (int n = 0; n < N; n++) out[n] = bias ? s[n] + real_get(bias[n]) : s[n];
        } else if (bias) {
            real *restrict out = (real *)y + at;
            for (int n = 0; n < N; n++) out[n] = real_put(s[n] + real_get(bias[n]));
        } else {
            OP(to_real)((real *)y + at, s, (size_t)N);
        }
    }
}

#if REAL_IS_BF16
/* A few rows, strip by strip of the weight's columns. */
static void product_by_tiles(void *y, bool y_float, const real *x, const struct linear *l,
                             const real *bias, int rows)
{
    size_t N = (size_t)l->N, bytes = y_float ? sizeof(float) : sizeof(real);
    struct tile_rows t = tile_rows_begin(x, rows, l->K, matmul_tile_piece(l->shape, MATMUL_FORWARD),
                                         l->forward_copy, matmul_scratch(0), matmul_scratch(1));
    for (size_t n = 0; n < N; n += TILE_COLUMNS) {
        int columns = N - n < TILE_COLUMNS ? (int)(N - n) : TILE_COLUMNS;
        tile_rows_next(&t);
        block_output((char *)y + n * bytes, N, y_float, t.sums, TILE_COLUMNS,
                     bias ? bias + n : NULL, rows, columns);
    }
    tile_rows_end(&t);
}
#else
static void product_by_tiles(void *y, bool y_float, const real *x, const struct linear *l,
                             const real *bias, int rows)
{
    (void)y, (void)y_float, (void)x, (void)l, (void)bias, (void)rows;
}
#endif

/* y (T, n) = x (T, k) times a packed weight, block by block. */
static void product(void *y, bool y_float, const real *x, int n, int k, const struct linear *l,
                    enum matmul_direction d, const real *bias, int T)
{
    const void *packed = d == MATMUL_FORWARD ? l->forward_copy : l->backward_copy;
    enum matmul_type type = type_here();
    bool float_out = y_float || sizeof(real) == sizeof(float);
    size_t out_bytes = float_out ? sizeof(float) : sizeof(real);
    for (int t = 0, R; t < T; t += R) {
        bool few = d == MATMUL_FORWARD && l->stored && T - t <= FEW_ROWS;
        R = few ? T - t : matmul_block(l->shape, d, T - t);
        int most = d == MATMUL_FORWARD ? matmul_tile_rows(l->shape, d) : 0;
        bool tiles = R <= most || T - t <= most;
        if (tiles) R = T - t < most ? T - t : most;
        int rows = T - t < R ? T - t : R;
        void *out = (char *)y + (size_t)t * (size_t)n * out_bytes;
        if (tiles) {
            product_by_tiles(out, float_out, x + (size_t)t * (size_t)k, l, bias, rows);
            continue;
        }
        bool direct = float_out && !bias && rows == R;
        float *sums = direct ? out : matmul_scratch(1);
        const void *in =
            block_input(x + (size_t)t * (size_t)k, rows, R, k, type, matmul_scratch(0));
        if (few)
            l->few.run(sums, in, l->stored, R, n, k, l->few.chain);
        else
            matmul_run(sums, l->shape, d, in, packed, R);
        if (!direct) block_output(out, (size_t)n, float_out, sums, (size_t)n, bias, rows, n);
    }
}

void OP(linear_forward)(void *y, bool y_float, const void *x, const struct linear *l,
                        const void *bias, int T)
{
    product(y, y_float, x, l->N, l->K, l, MATMUL_FORWARD, bias, T);
}

void OP(linear_backward_input)(void *dx, bool dx_float, const void *dy, const struct linear *l,
                               int T)
{
    struct gradients_to to = {dx_float ? NULL : dx, dx_float ? dx : NULL};
    if (tiles_here())
        gradients_input(to, dy, l->backward_copy, l->N, l->K, T);
    else
        product(dx, dx_float, dy, l->K, l->N, l, MATMUL_BACKWARD, NULL, T);
}

/* In pieces of a fixed number of rows added in order, so that the bits depend on dy and x alone. */
static void library_weight(float *dw, const real *dy, const real *x, int N, int K, int T)
{
    enum matmul_type type = type_here();
    const struct matmul_shape *s = matmul_shape_get(N, K, type, true);
    int R = matmul_gradient_rows(s);
    for (int t = 0; t < T; t += R) {
        int rows = T - t < R ? T - t : R;
        const real *g = dy + (size_t)t * (size_t)N, *in = x + (size_t)t * (size_t)K;
        matmul_gradient(dw, s, block_input(g, rows, R, N, type, matmul_scratch(0)),
                        block_input(in, rows, R, K, type, matmul_scratch(1)));
    }
}

void OP(linear_backward_weight)(float *dw, float *db, const void *dy, const void *x, int N, int K,
                                int T)
{
    const real *g = dy;
    if (tiles_here()) {
        gradients_reserve(K);
        gradients_weight(dw, dy, x, N, K, T);
    } else {
        library_weight(dw, dy, x, N, K, T);
    }
    for (int t = 0; db && t < T; t++)
        for (int n = 0; n < N; n++) db[n] += real_get(g[(size_t)t * (size_t)N + (size_t)n]);
}
