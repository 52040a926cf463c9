/* Products of tiles, and heads as tiles. */
#include "model/cpu/amx/tiles.h"

/* Tiles 0 to 3 are sums, 4 and 5 of A, 6 and 7 of B. */
void OP(tiles_configure)(int rows)
{
    tile_configure(rows);
}

void OP(tiles_release)(void)
{
    _tile_release();
}

/* M x N tiles of sums, each 1 or 2. */
__attribute__((always_inline)) static inline void block(struct tiles C, struct tiles A,
                                                        struct tiles B, int K, bool add,
                                                        const int M, const int N)
{
    char *c = C.p;
    const char *a = A.p, *b = B.p;
    if (add) {
        _tile_loadd(0, c, C.row);
        if (N == 2) _tile_loadd(1, c + C.along, C.row);
        if (M == 2) _tile_loadd(2, c + C.across, C.row);
        if (M == 2 && N == 2) _tile_loadd(3, c + C.across + C.along, C.row);
    } else {
        _tile_zero(0);
        if (N == 2) _tile_zero(1);
        if (M == 2) _tile_zero(2);
        if (M == 2 && N == 2) _tile_zero(3);
    }
    for (int k = 0; k < K; k++, a += A.along, b += B.along) {
        _tile_loadd(4, a, A.row);
        _tile_loadd(6, b, B.row);
        _tile_dpbf16ps(0, 4, 6);
        if (N == 2) _tile_loadd(7, b + B.across, B.row);
        if (N == 2) _tile_dpbf16ps(1, 4, 7);
        if (M == 2) _tile_loadd(5, a + A.across, A.row);
        if (M == 2) _tile_dpbf16ps(2, 5, 6);
        if (M == 2 && N == 2) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, C.row);
    if (N == 2) _tile_stored(1, c + C.along, C.row);
    if (M == 2) _tile_stored(2, c + C.across, C.row);
    if (M == 2 && N == 2) _tile_stored(3, c + C.across + C.along, C.row);
}

/* The compiler does not know that loads of tiles read memory. */
void OP(tiles_multiply)(struct tiles C, struct tiles A, struct tiles B, int M, int N, int K,
                        bool add)
{
    __asm__ volatile("" ::: "memory");
    for (int m = 0; m < M; m += 2)
        for (int n = 0; n < N; n += 2) {
            size_t i = (size_t)m, j = (size_t)n;
            struct tiles c = {(char *)C.p + i * C.across + j * C.along, C.row, C.across, C.along};
            struct tiles a = {(char *)A.p + i * A.across, A.row, A.across, A.along};
            struct tiles b = {(char *)B.p + j * B.across, B.row, B.across, B.along};
            bool tall = m + 1 < M, wide = n + 1 < N;
            if (tall && wide)
                block(c, a, b, K, add, 2, 2);
            else if (tall)
                block(c, a, b, K, add, 2, 1);
            else if (wide)
                block(c, a, b, K, add, 1, 2);
            else
                block(c, a, b, K, add, 1, 1);
        }
    __asm__ volatile("" ::: "memory");
}

/* --- packing --- */

/* Channels [c, c + n) of a row, zeros behind them. */
static __m512i channels(const real *from, int n)
{
    __mmask32 there = n >= 32 ? 0xffffffffu : (1u << n) - 1;
    return _mm512_maskz_loadu_epi16(there, from);
}

void OP(pack_rows)(real *to, const real *from, size_t step, int n, int all, int D)
{
    for (int t = 0; t < all; t++)
        for (int c = 0; c < D; c += DEPTH, to += DEPTH)
            _mm512_storeu_si512(to, t < n ? channels(from + (size_t)t * step + c, D - c)
                                          : _mm512_setzero_si512());
}

void OP(pack_keys)(real *to, const real *from, size_t step, int n, int all, int D)
{
    for (int t = 0; t < all; t += SIDE)
        for (int c = 0; c < D; c += DEPTH, to += TILE / sizeof *to) {
            __m512i row[SIDE];
            for (int i = 0; i < SIDE; i++)
                row[i] = t + i < n ? channels(from + (size_t)(t + i) * step + c, D - c)
                                   : _mm512_setzero_si512();
            square_turn(row);
            for (int i = 0; i < SIDE; i++) _mm512_storeu_si512(to + i * DEPTH, row[i]);
        }
}

/* Channels [c, c + 16) of rows t and t + 1, in turns. */
static __m512i pair(const real *from, size_t step, int left, int D)
{
    __m512i a = channels(from, smaller(D, SIDE));
    __m512i b = left > 1 ? channels(from + step, smaller(D, SIDE)) : _mm512_setzero_si512();
    a = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(a));
    b = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(b));
    return _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
}

static void pairs(real *to, const real *from, size_t step, int n, int all, int D, bool turned)
{
    for (int t = 0; t < all; t += DEPTH)
        for (int c = 0; c < D; c += SIDE, to += TILE / sizeof *to) {
            __m512i row[SIDE];
            for (int i = 0; i < SIDE; i++) {
                int at = t + 2 * i;
                row[i] = at < n ? pair(from + (size_t)at * step + c, step, n - at, D - c)
                                : _mm512_setzero_si512();
            }
            if (turned) square_turn(row);
            for (int i = 0; i < SIDE; i++) _mm512_storeu_si512(to + i * DEPTH, row[i]);
        }
}

void OP(pack_pairs)(real *to, const real *from, size_t step, int n, int all, int D)
{
    pairs(to, from, step, n, all, D, false);
}

void OP(pack_channels)(real *to, const real *from, size_t step, int n, int all, int D)
{
    pairs(to, from, step, n, all, D, true);
}
