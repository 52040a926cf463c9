/* Products of a few rows (model/few_rows.h): eight columns at a time, whose weights are turned from
 * rows of the matrix into vectors of eight outputs, eight inputs at a time, and widened on the way.
 *
 * Only where there are fused multiply-adds: without them the chains are not the library's. */
#include "model/cpu/few_rows.h"

#if defined(__FMA__) && REAL_IS_BF16
enum { SIDE = 8 }; /* outputs and inputs of a turned square */

typedef float eight __attribute__((vector_size(4 * SIDE)));
typedef uint32_t eight_bits __attribute__((vector_size(4 * SIDE)));
typedef uint16_t eight_half __attribute__((vector_size(2 * SIDE)));
typedef uint32_t four_pairs __attribute__((vector_size(2 * SIDE)));
typedef uint64_t two_fours __attribute__((vector_size(2 * SIDE)));

static inline eight eight_fma(eight a, eight b, eight c)
{
    return (eight)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

static inline eight_half half_load(const uint16_t *p)
{
    eight_half h;
    memcpy(&h, p, sizeof h);
    return h;
}

/* to[k][n] = w[n][k] of a square whose rows are `stride` apart: neighbours interleaved as halves,
 * then as pairs, then as fours. */
static inline void turn(eight to[SIDE], const uint16_t *w, size_t stride)
{
    eight_half half[SIDE];
    four_pairs pair[SIDE];
    for (int i = 0; i < SIDE; i += 2) {
        eight_half a = half_load(w + (size_t)i * stride),
                   b = half_load(w + (size_t)(i + 1) * stride);
        half[i] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
        half[i + 1] = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    }
    for (int i = 0; i < SIDE; i += 4)
        for (int j = 0; j < 2; j++) {
            four_pairs a = (four_pairs)half[i + j], b = (four_pairs)half[i + 2 + j];
            pair[i + 2 * j] = __builtin_shufflevector(a, b, 0, 4, 1, 5);
            pair[i + 2 * j + 1] = __builtin_shufflevector(a, b, 2, 6, 3, 7);
        }
    for (int i = 0; i < SIDE / 2; i++) {
        two_fours a = (two_fours)pair[i], b = (two_fours)pair[i + 4];
        eight_half even = (eight_half)__builtin_shufflevector(a, b, 0, 2);
        eight_half odd = (eight_half)__builtin_shufflevector(a, b, 1, 3);
        to[2 * i] = (eight)(__builtin_convertvector(even, eight_bits) << 16);
        to[2 * i + 1] = (eight)(__builtin_convertvector(odd, eight_bits) << 16);
    }
}

/* sum[r] of a piece: inputs [0, n) of each row, n a multiple of SIDE. */
static inline void piece(eight *sum, const float *x, const uint16_t *w, int rows, int n, size_t K)
{
    for (int r = 0; r < rows; r++) sum[r] = (eight){0};
    for (int k = 0; k < n; k += SIDE) {
        eight to[SIDE];
        turn(to, w + k, K);
        for (int i = 0; i < SIDE; i++)
            for (int r = 0; r < rows; r++) {
                eight a = x[(size_t)r * K + (size_t)(k + i)] - (eight){0};
                sum[r] = eight_fma(a, to[i], sum[r]);
            }
    }
}

/* Eight outputs of a constant number of rows: sums stay in registers. */
static inline __attribute__((always_inline)) void outputs(float *y, const float *x,
                                                          const uint16_t *w, int rows, size_t N,
                                                          int K, struct few_chain c)
{
    eight all[FEW_ROWS] = {{0}}, sum[FEW_ROWS];
    for (int k = 0, n; k < K; k += n) {
        n = few_piece(c, K - k);
        piece(sum, x + k, w + k, rows, n, (size_t)K);
        for (int r = 0; r < rows; r++) all[r] = k == 0 ? sum[r] : all[r] + sum[r];
    }
    for (int r = 0; r < rows; r++) memcpy(y + (size_t)r * N, &all[r], sizeof all[r]);
}

#define ROWS_CASE(rows)                                                  \
    case rows:                                                           \
        for (size_t n = 0; n < (size_t)N; n += SIDE)                     \
            outputs(y + n, x, w + n * (size_t)K, rows, (size_t)N, K, c); \
        break;

static void run(float *y, const float *x, const uint16_t *w, int rows, int N, int K,
                struct few_chain c)
{
    switch (rows) {
        ROWS_CASE(1)
        ROWS_CASE(2)
        ROWS_CASE(3)
        ROWS_CASE(4)
        ROWS_CASE(5)
        ROWS_CASE(6)
        ROWS_CASE(7)
        ROWS_CASE(8)
    }
}

/* Whole squares only: pieces, too, begin at one. */
few_rows_run *OP(few_rows)(int N, int K, struct few_chain c)
{
    bool whole = N % SIDE == 0;
    for (int k = 0, n; k < K; k += n) {
        n = few_piece(c, K - k);
        whole = whole && n % SIDE == 0;
    }
    return whole ? run : NULL;
}
#else
few_rows_run *OP(few_rows)(int N, int K, struct few_chain c)
{
    (void)N, (void)K, (void)c;
    return NULL;
}
#endif
