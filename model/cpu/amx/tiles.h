/* Attention on tiles of bf16 (AMX): what its files share.
 *
 * A tile has 16 rows of 64 bytes: 16 x 32 of bf16, or 16 x 16 sums in float. One instruction adds a
 * tile A (16 x 32) times a tile B (32 x 16) to a tile of sums. Each sum gets its 16 even products,
 * fused one after the other, plus its 16 odd ones, at once: what it becomes depends on its row of A
 * and its column of B alone (P1), and the same instruction decodes and learns (P2).
 *
 * B lies in pairs: row k has elements 2k and 2k+1 of every column side by side. So keys that meet
 * queries lie as tiles of (16 pairs of channels, 16 keys), and what is summed over positions lies
 * as tiles of (16 pairs of positions, 16 channels). */
#ifndef DUET_MODEL_CPU_AMX_TILES_H
#define DUET_MODEL_CPU_AMX_TILES_H

#include "comm/watch.h"
#include "model/cpu/runs.h"
#include "model/cpu/tile_registers.h"
#include "model/cpu/vec.h"
#include <math.h>

enum {
    SIDE = 16,   /* rows of a tile, columns of sums */
    DEPTH = 32,  /* what one instruction sums over */
    TILE = 1024, /* bytes */
    LINE = 64    /* bytes of a tile's row */
};

/* A head's channels where they are summed over, and where they are columns; zeros from D on. */
static inline size_t depth_of(int D)
{
    return (size_t)round_up(D, DEPTH);
}
static inline size_t width_of(int D)
{
    return (size_t)round_up(D, SIDE);
}

/* Rows of A and of the sums have `rows` rows, B has 16. Tiles are zero afterwards. */
void OP(tiles_configure)(int rows);
void OP(tiles_release)(void);

/* Tiles of a matrix, by bytes: a tile's rows are `row` apart; its tiles are `across` apart in the
 * direction that the product keeps, `along` in the other (of sums: down and to the right). */
struct tiles {
    void *p;
    size_t row, across, along;
};

/* C (M x N tiles) (+)= A (M x K) B (K x N), K in order. */
void OP(tiles_multiply)(struct tiles C, struct tiles A, struct tiles B, int M, int N, int K,
                        bool add);

/* n rows of a head, `step` elements apart, to `all` rows of depth_of elements, zeros around them.
 */
void OP(pack_rows)(real *to, const real *from, size_t step, int n, int all, int D);
/* The same rows as tiles of B that meet queries: per 16 rows, tiles of 32 channels. all: a multiple
 * of 16. */
void OP(pack_keys)(real *to, const real *from, size_t step, int n, int all, int D);
/* The same as tiles of B summed over positions: per 32 rows, tiles of 16 channels. all: a multiple
 * of 32. */
void OP(pack_pairs)(real *to, const real *from, size_t step, int n, int all, int D);
/* Those transposed, as tiles of A: per 32 rows, tiles of (16 channels, 32 rows). */
void OP(pack_channels)(real *to, const real *from, size_t step, int n, int all, int D);

/* 2^t to about 1e-7; 1 at 0, 0 at -infinity, and NaN at NaN. Taylor-like polynomial of the part
 * behind the point, whose first coefficient is exact. */
static inline __m512 exp2_of(__m512 t)
{
    __m512 r = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 p = _mm512_set1_ps(0.00186713008f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.00901703028f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.0557999131f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.24016445f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.693151312f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, t);
}

#define LOG2_E 1.44269504f
#define LN_2   0.693147181f

/* 1/sqrt(D), for powers of two. */
static inline float scale_of(int D)
{
    return LOG2_E / sqrtf((float)D);
}

/* 32 floats to bf16, to nearest even; a then b. */
static inline void halves_store(void *to, __m512 a, __m512 b)
{
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(b, a));
}

/* Lanes below n. */
static inline __mmask16 lanes_below(int n)
{
    return (__mmask16)(n >= LANES ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}

/* n floats times `by` to bf16, read in whole vectors. + 0 makes a -0 a +0: keys that a row does not
 * see add +0 to its sums, but only where rows are grouped. */
static inline void row_write(real *to, const float *from, float by, int n)
{
    for (int i = 0; i < n; i += SIDE) {
        __m512 x = _mm512_mul_ps(_mm512_loadu_ps(from + i), _mm512_set1_ps(by));
        x = _mm512_add_ps(x, _mm512_setzero_ps());
        _mm256_mask_storeu_epi16(to + i, lanes_below(n - i), (__m256i)_mm512_cvtneps_pbh(x));
    }
}

/* A row's scores of a run, below largest: its weights, which are summed by lane, and in bf16. */
static inline __m512 row_weigh(real *weight, const float *score, __m512 total, float scale,
                               float largest, int keys)
{
    __m512 s = _mm512_set1_ps(scale), most = _mm512_set1_ps(largest);
    for (int i = 0; i < keys; i += DEPTH) {
        __m512 a = exp2_of(_mm512_fmsub_ps(_mm512_loadu_ps(score + i), s, most));
        __m512 b = exp2_of(_mm512_fmsub_ps(_mm512_loadu_ps(score + i + SIDE), s, most));
        total = _mm512_add_ps(_mm512_add_ps(total, a), b);
        halves_store(weight + i, a, b);
    }
    return total;
}

/* Scratch from its first line of the cache on. */
static inline char *carve_begin(void *scratch)
{
    return (char *)scratch + (LINE - (uintptr_t)scratch % LINE) % LINE;
}

/* Carves `bytes` from *at, on lines of the cache. */
static inline void *carve(char **at, size_t bytes)
{
    void *p = *at;
    *at += (bytes + LINE - 1) / LINE * LINE;
    return p;
}

#endif
