/* Products of small tiles for attention, and heads as tiles.
 *
 * Of a product, some rows by some vectors of columns are summed in registers: enough sums side by
 * side to hide a fused multiply-add's latency (four cycles, two a cycle), few enough to leave
 * registers for the factors. */
#include "model/cpu/attention.h"

#if LANES == 4
enum { ROWS = 4 }; /* no fused multiply-add: the product wants a register, too */
#else
enum { ROWS = 6 };
#endif

/* MR rows and NV vectors of columns. */
__attribute__((always_inline)) static inline void micro(struct tile C, const float *a, size_t row,
                                                        size_t col, struct tile B, int K, bool add,
                                                        const int MR, const int NV)
{
    vec sum[ROWS][4];
    const float *b = B.p;
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NV; j++)
            sum[i][j] = add ? vec_load(C.p + (size_t)i * C.row + j * LANES) : (vec){0};
    for (int k = 0; k < K; k++, a += col, b += B.row) {
        vec right[4];
        for (int j = 0; j < NV; j++) right[j] = vec_load(b + j * LANES);
        for (int i = 0; i < MR; i++) {
            vec left = vec_all(a[(size_t)i * row]);
            for (int j = 0; j < NV; j++) sum[i][j] = vec_fma(left, right[j], sum[i][j]);
        }
    }
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NV; j++) vec_store(C.p + (size_t)i * C.row + j * LANES, sum[i][j]);
}

/* NV vectors of columns of all M rows. */
__attribute__((always_inline)) static inline void columns(struct tile C, struct tile A,
                                                          struct tile B, int M, int K, bool add,
                                                          const int NV)
{
    int left = M;
#define ROWS_AT_ONCE(mr)                                                     \
    for (; left >= (mr); left -= (mr), A.p += (mr)*A.row, C.p += (mr)*C.row) \
    micro(C, A.p, A.row, A.col, B, K, add, mr, NV)
    ROWS_AT_ONCE(ROWS);
    ROWS_AT_ONCE(4);
    ROWS_AT_ONCE(2);
    ROWS_AT_ONCE(1);
}

/* C's columns from left to right: a slice of B stays in the nearest cache for all rows. */
__attribute__((always_inline)) static inline void multiply(struct tile C, struct tile A,
                                                           struct tile B, int M, int N, int K,
                                                           bool add)
{
    int left = N;
#if LANES == 16
    for (; left >= 4 * LANES; left -= 4 * LANES, B.p += 4 * LANES, C.p += 4 * LANES)
        columns(C, A, B, M, K, add, 4);
#endif
    for (; left >= 2 * LANES; left -= 2 * LANES, B.p += 2 * LANES, C.p += 2 * LANES)
        columns(C, A, B, M, K, add, 2);
#if LANES == 16
    for (; left > 0; left -= LANES, B.p += LANES, C.p += LANES) columns(C, A, B, M, K, add, 1);
#endif
}

/* Twice, so that the compiler knows which of A's two steps is 1. */
void OP(tile_multiply)(struct tile C, struct tile A, struct tile B, int M, int N, int K, bool add)
{
    if (A.col == 1)
        multiply(C, (struct tile){A.p, A.row, 1}, B, M, N, K, add);
    else
        multiply(C, (struct tile){A.p, 1, A.col}, B, M, N, K, add);
}

void OP(head_load)(float *to, const real *from, size_t step, int rows, int D, float scale)
{
    int width = head_width(D);
    for (int t = 0; t < rows; t++) {
        float *restrict row = to + (size_t)t * (size_t)width;
        const real *restrict in = from + (size_t)t * step;
        for (int i = 0; i < D; i++) row[i] = real_get(in[i]) * scale;
        for (int i = D; i < width; i++) row[i] = 0;
    }
}

/* By squares of 16, so that both sides stay in the cache. */
void OP(head_transpose)(float *to, const real *from, size_t step, int n, int D, float *some)
{
    size_t width = (size_t)head_width(D);
    for (int first = 0; first < n; first += KEYS, to += (size_t)D * KEYS) {
        int rows = smaller(KEYS, n - first);
        OP(head_load)(some, from + (size_t)first * step, step, rows, D, 1.0f);
        memset(some + (size_t)rows * width, 0, (size_t)(KEYS - rows) * width * sizeof *some);
        for (int strip = 0; strip < KEYS; strip += 16)
            for (int i = 0; i < D; i++)
                for (int j = strip; j < strip + 16; j++)
                    to[i * KEYS + j] = some[(size_t)j * width + (size_t)i];
    }
}
