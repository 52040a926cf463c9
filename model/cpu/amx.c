/* Products by tile registers (model/amx.h): the same for all variants, so one of them has it. */
#include "model/cpu/real.h"
#include "model/amx.h"

#if REAL_IS_BF16 && defined(__AVX512BW__)
#include "model/cpu/tile_registers.h"

#define TILES __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,amx-tile,amx-bf16")))

/* RUN steps of a pair of left strips (32 KiB) stay in the first cache while they meet the columns
 * of a panel, which stays in the second. */
enum { RUN = 16, PANEL = 512, LINE = 64 };

/* --- packing --- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static __mmask32 first(size_t n)
{
    return n >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1;
}

/* Row by row, 64 bytes a tile. */
TILES void amx_pack_left(uint16_t *to, struct amx_matrix m, size_t rows, size_t k)
{
    size_t steps = amx_steps(k), all = amx_size(rows, k) / (steps * AMX_DEPTH);
    for (size_t r = 0; r < all; r++) {
        uint16_t *out = to + r / AMX_SIDE * steps * AMX_TILE + r % AMX_SIDE * AMX_DEPTH;
        for (size_t s = 0; s < steps; s++) {
            size_t at = s * AMX_DEPTH;
            __mmask32 mask = r < rows ? first(k - at) : 0;
            __m512i line = _mm512_maskz_loadu_epi16(mask, m.at + (r < rows ? r * m.ld + at : 0));
            _mm512_store_si512(out + s * AMX_TILE, line);
        }
    }
}

/* Pairs of rows 2p and 2p + 1 of the AMX_DEPTH rows from `row` on, of the 16 columns from `col` on.
 */
TILES static inline void pairs_load(__m512i pair[AMX_SIDE], struct amx_matrix m, size_t row,
                                    size_t rows, size_t col, size_t cols)
{
    __mmask16 mask = col < cols ? (__mmask16)first(cols - col) : 0;
    for (size_t p = 0; p < AMX_SIDE; p++) {
        __m512i half[2];
        for (size_t i = 0; i < 2; i++) {
            size_t r = row + 2 * p + i;
            __mmask16 here = r < rows ? mask : 0;
            const uint16_t *at = m.at + (here ? r * m.ld + col : 0);
            half[i] = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(here, at));
        }
        pair[p] = _mm512_or_si512(half[0], _mm512_slli_epi32(half[1], 16));
    }
}

/* Both read AMX_DEPTH rows at a time: a page of the matrix for each. */
TILES static inline void pack_pairs(uint16_t *to, struct amx_matrix m, size_t k, size_t cols,
                                    bool turned)
{
    size_t steps = amx_steps(k), strips = amx_size(cols, k) / (steps * AMX_TILE);
    for (size_t s = 0; s < steps; s++)
        for (size_t c = 0; c < strips; c++) {
            __m512i pair[AMX_SIDE];
            pairs_load(pair, m, s * AMX_DEPTH, k, c * AMX_SIDE, cols);
            if (turned) square_turn(pair);
            uint16_t *tile = to + (c * steps + s) * AMX_TILE;
            for (int i = 0; i < AMX_SIDE; i++) _mm512_store_si512(tile + i * AMX_DEPTH, pair[i]);
        }
}

TILES void amx_pack_left_turned(uint16_t *to, struct amx_matrix m, size_t rows, size_t k)
{
    pack_pairs(to, m, k, rows, true);
}

TILES void amx_pack_right(uint16_t *to, struct amx_matrix m, size_t k, size_t cols)
{
    pack_pairs(to, m, k, cols, false);
}

/* --- multiplying --- */

/* Tiles 0 to 3 are sums, 4 and 5 left strips, 6 and 7 right strips. Four sums of a pair of strips
 * each; meanwhile the sums of the next four come nearer. */
TILES static inline void chain(const uint16_t *left, size_t left_strip, const uint16_t *right,
                               size_t right_strip, size_t steps, const float *next, size_t ld)
{
    for (size_t s = 0; s < steps; s++) {
        _tile_loadd(4, left, LINE);
        _tile_loadd(6, right, LINE);
        _tile_loadd(7, right + right_strip, LINE);
        _tile_loadd(5, left + left_strip, LINE);
        for (size_t i = 0; next && i < 2; i++) {
            const char *line = (const char *)(next + (2 * s + i) * ld);
            _mm_prefetch(line, _MM_HINT_T0);
            _mm_prefetch(line + LINE, _MM_HINT_T0);
        }
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        left += AMX_TILE;
        right += AMX_TILE;
    }
}

TILES static inline void sums_load(const float *from, size_t ld)
{
    _tile_loadd(0, from, ld * sizeof *from);
    _tile_loadd(1, from + AMX_SIDE, ld * sizeof *from);
    _tile_loadd(2, from + AMX_SIDE * ld, ld * sizeof *from);
    _tile_loadd(3, from + AMX_SIDE * ld + AMX_SIDE, ld * sizeof *from);
}

TILES static inline void sums_store(float *to, size_t ld)
{
    _tile_stored(0, to, ld * sizeof *to);
    _tile_stored(1, to + AMX_SIDE, ld * sizeof *to);
    _tile_stored(2, to + AMX_SIDE * ld, ld * sizeof *to);
    _tile_stored(3, to + AMX_SIDE * ld + AMX_SIDE, ld * sizeof *to);
}

TILES static void sums_zero(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

static void copy(float *to, size_t to_ld, const float *from, size_t from_ld, size_t rows,
                 size_t cols)
{
    for (size_t r = 0; r < rows; r++) memcpy(to + r * to_ld, from + r * from_ld, cols * sizeof *to);
}

TILES static void round_rows(uint16_t *to, size_t ld, const float *from, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        __m512 low = _mm512_load_ps(from + r * AMX_PAIR);
        __m512 high = _mm512_load_ps(from + r * AMX_PAIR + AMX_SIDE);
        __m512i line = (__m512i)_mm512_cvtne2ps_pbh(high, low);
        _mm512_mask_storeu_epi16(to + r * ld, first(cols), line);
    }
}

/* The four sums at (row, col) over the steps from `from` on. */
TILES static inline void block(const struct amx_product *p, size_t row, size_t col, size_t from,
                               size_t steps)
{
    _Alignas(LINE) float edge[AMX_PAIR * AMX_PAIR];
    size_t rows = least(AMX_PAIR, p->rows - row), cols = least(AMX_PAIR, p->cols - col);
    bool whole = rows == AMX_PAIR && cols == AMX_PAIR, fresh = from == 0 && !p->add;
    bool rounds = p->rounded && from + steps == p->steps, near = fresh && rounds;
    float *sum = near ? NULL : p->sum + row * p->ld + col;
    if (fresh) {
        sums_zero();
    } else if (whole) {
        sums_load(sum, p->ld);
    } else {
        copy(edge, AMX_PAIR, sum, p->ld, rows, cols);
        sums_load(edge, AMX_PAIR);
    }
    chain(p->left + row / AMX_SIDE * p->left_strip + from * AMX_TILE, p->left_strip,
          p->right + col / AMX_SIDE * p->right_strip + from * AMX_TILE, p->right_strip, steps,
          near ? NULL : sum + AMX_PAIR, p->ld);
    if (whole && !rounds) {
        sums_store(sum, p->ld);
        return;
    }
    sums_store(edge, AMX_PAIR);
    if (rounds)
        round_rows(p->rounded + row * p->rounded_ld + col, p->rounded_ld, edge, rows, cols);
    else
        copy(sum, p->ld, edge, AMX_PAIR, rows, cols);
}

TILES void amx_multiply(const struct amx_product *p)
{
    tile_configure(AMX_SIDE);
    for (size_t panel = 0; panel < p->cols; panel += PANEL)
        for (size_t row = 0; row < p->rows; row += AMX_PAIR)
            for (size_t from = 0; from < p->steps; from += RUN) {
                size_t end = least(panel + PANEL, p->cols), steps = least(RUN, p->steps - from);
                for (size_t col = panel; col < end; col += AMX_PAIR)
                    block(p, row, col, from, steps);
            }
    _tile_release();
}

#elif REAL_IS_BF16 && !defined(__x86_64__)
#include "comm/base/die.h"

/* None of them is called where matmul_tiles says no. */
void amx_pack_left(uint16_t *to, struct amx_matrix m, size_t rows, size_t k)
{
    (void)to, (void)m;
    INVARIANT(false, "tiles for %zu x %zu on a processor without", rows, k);
}

void amx_pack_left_turned(uint16_t *to, struct amx_matrix m, size_t rows, size_t k)
{
    amx_pack_left(to, m, rows, k);
}

void amx_pack_right(uint16_t *to, struct amx_matrix m, size_t k, size_t cols)
{
    amx_pack_left(to, m, k, cols);
}

void amx_multiply(const struct amx_product *p)
{
    amx_pack_left(NULL, (struct amx_matrix){p->left, 0}, p->rows, p->steps);
}
#endif
