/* Products of a few rows by pairs (model/cpu/pair_rows.h): the same for all variants, so one of
 * them has it. */
#include "model/cpu/pair_rows.h"
#include "model/cpu/real.h"

#if REAL_IS_BF16 && defined(__AVX512BW__)
#include <immintrin.h>

/* GROUP rows have 24 sums of 16 columns in registers, beside four of the weight. The weight is
 * fetched sixteen pairs of k ahead: among the other loads the processor is late for it. */
enum { GROUP = 6, VECTORS = TILE_COLUMNS / 16, PAIR = 4 * TILE_COLUMNS, LINE = 64, AHEAD = 16 };

static size_t row_pairs(int K)
{
    return ((size_t)K + 1) / 2;
}

/* Whole pairs: a K that is odd gets a zero behind it. */
void pair_rows_pack(uint16_t *room, const uint16_t *x, int rows, int K)
{
    size_t row = 2 * row_pairs(K);
    for (int r = 0; r < rows; r++, room += row, x += K) {
        room[row - 1] = 0;
        memcpy(room, x, (size_t)K * sizeof *x);
    }
}

/* A piece: each of its sums is one chain over k, stored or added to those of the pieces before.
 * row: pairs from one row to the next. */
__attribute__((always_inline, target("avx512bf16"))) static inline void piece_of(
    int rows, float *sums, const uint16_t *x, size_t row, size_t pairs, const char *w, bool first)
{
    __m512 sum[GROUP][VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) sum[r][v] = _mm512_setzero_ps();
    for (size_t p = 0; p < pairs; p++, w += PAIR) {
        __m512i of[VECTORS];
        for (int v = 0; v < VECTORS; v++) {
            of[v] = _mm512_loadu_si512(w + v * LINE);
            _mm_prefetch(w + AHEAD * PAIR + v * LINE, _MM_HINT_T0);
        }
        for (int r = 0; r < rows; r++) {
            int pair;
            memcpy(&pair, x + 2 * ((size_t)r * row + p), sizeof pair);
            const __m512i all = _mm512_set1_epi32(pair);
            for (int v = 0; v < VECTORS; v++)
                sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)of[v], (__m512bh)all);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) {
            float *to = sums + r * TILE_COLUMNS + 16 * v;
            if (!first) sum[r][v] = _mm512_add_ps(_mm512_loadu_ps(to), sum[r][v]);
            _mm512_storeu_ps(to, sum[r][v]);
        }
}

/* A number of rows that the compiler knows has its sums in registers. */
__attribute__((target("avx512bf16"))) static void group_of(int rows, float *sums, const uint16_t *x,
                                                           size_t row, size_t pairs, const char *w,
                                                           bool first)
{
    switch (rows) {
    case 1: piece_of(1, sums, x, row, pairs, w, first); break;
    case 2: piece_of(2, sums, x, row, pairs, w, first); break;
    case 3: piece_of(3, sums, x, row, pairs, w, first); break;
    case 4: piece_of(4, sums, x, row, pairs, w, first); break;
    case 5: piece_of(5, sums, x, row, pairs, w, first); break;
    default: piece_of(GROUP, sums, x, row, pairs, w, first); break;
    }
}

/* Groups of about as many rows each: the second reads the piece from the second cache. */
void pair_rows_next(const struct tile_rows *t)
{
    const size_t row = row_pairs(t->K), most = (size_t)t->piece / 2;
    for (size_t p = 0, pairs; p < row; p += pairs) {
        pairs = row - p < most ? row - p : most;
        int groups = (t->rows + GROUP - 1) / GROUP;
        for (int at = 0, n; at < t->rows; at += n, groups--) {
            n = (t->rows - at + groups - 1) / groups;
            group_of(n, t->sums + at * TILE_COLUMNS, t->tile + 2 * ((size_t)at * row + p), row,
                     pairs, t->strip + p * PAIR, p == 0);
        }
    }
}
#endif
