/* Products of a few rows by tiles (model/tile_rows.h): the same for all variants, so one of them
 * has it. */
#include "model/cpu/pair_rows.h"
#include "model/cpu/real.h"
#include "model/tile_rows.h"

#if REAL_IS_BF16 && defined(__AVX512BW__)
#include "model/cpu/tile_registers.h"

enum { SIDE = 16, TILE = SIDE * TILE_DEPTH }; /* rows of a tile; its elements */

#define TILES __attribute__((target("amx-tile,amx-bf16")))

/* A step of a strip is a page: 16 pairs of k, TILE_COLUMNS each. The weight is fetched four pages
 * ahead; RUN steps of many rows stay in the first cache, with their rows and sums. */
enum { LINE = 64, PAIRS = 4 * TILE_COLUMNS, PAGE = SIDE * PAIRS, AHEAD = 4 * PAGE, RUN = 3 };

/* Tiles of 16 rows side by side for each step, an even number of them if there are several. */
static int tiles_across(int rows)
{
    return rows <= SIDE ? 1 : rows <= 2 * SIDE ? 2 : 4;
}

static void rows_pack(uint16_t *to, const uint16_t *x, int rows, int K)
{
    int across = tiles_across(rows), steps = (K + TILE_DEPTH - 1) / TILE_DEPTH;
    for (int s = 0; s < steps; s++)
        for (int r = 0; r < across * SIDE; r++, to += TILE_DEPTH) {
            int at = s * TILE_DEPTH, n = K - at < TILE_DEPTH ? K - at : TILE_DEPTH;
            if (r >= rows) n = 0;
            if (n > 0) memcpy(to, x + (size_t)r * (size_t)K + at, (size_t)n * sizeof *to);
            if (n < TILE_DEPTH) memset(to + n, 0, (size_t)(TILE_DEPTH - n) * sizeof *to);
        }
}

/* Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 the weight. */
TILES static void tiles_begin(void *room, const uint16_t *x, int rows, int K)
{
    rows_pack(room, x, rows, K);
    tile_configure(rows < SIDE ? rows : SIDE);
}

struct tile_rows tile_rows_begin(const uint16_t *x, int rows, int K, int piece, const void *packed,
                                 void *room, float *sums)
{
    if (piece == BY_TILES)
        tiles_begin(room, x, rows, K);
    else
        pair_rows_pack(room, x, rows, K);
    return (struct tile_rows){rows,  (K + TILE_DEPTH - 1) / TILE_DEPTH, K, piece, room, sums,
                              packed};
}

TILES static void tiles_end(void)
{
    _tile_release();
}

void tile_rows_end(const struct tile_rows *t)
{
    if (t->piece == BY_TILES) tiles_end();
}

static inline void fetch(const char *from, int bytes)
{
    for (int i = 0; i < bytes; i += LINE) _mm_prefetch(from + i, _MM_HINT_T1);
}

TILES static void sums_zero(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* Up to 16 rows: all columns of the strip at once. */
TILES static void strip_of_few(const struct tile_rows *t)
{
    const char *w = t->strip;
    const uint16_t *a = t->tile;
    sums_zero();
    for (int s = 0; s < t->steps; s++, a += TILE, w += PAGE) {
        fetch(w + AHEAD, PAGE);
        _tile_loadd(4, a, LINE);
        _tile_loadd(6, w, PAIRS);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, w + LINE, PAIRS);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(6, w + 2 * LINE, PAIRS);
        _tile_dpbf16ps(2, 4, 6);
        _tile_loadd(7, w + 3 * LINE, PAIRS);
        _tile_dpbf16ps(3, 4, 7);
    }
    _tile_stored(0, t->sums, TILE_COLUMNS * 4);
    _tile_stored(1, t->sums + SIDE, TILE_COLUMNS * 4);
    _tile_stored(2, t->sums + 2 * SIDE, TILE_COLUMNS * 4);
    _tile_stored(3, t->sums + 3 * SIDE, TILE_COLUMNS * 4);
}

/* n steps of 32 rows by 32 columns, whose sums are c; meanwhile some of the weight is fetched. */
TILES static void square(float *c, const uint16_t *a, size_t across, const char *w, int n,
                         bool first, const char *next, int bytes)
{
    float *below = c + (size_t)SIDE * TILE_COLUMNS;
    if (first) {
        sums_zero();
    } else {
        _tile_loadd(0, c, TILE_COLUMNS * 4);
        _tile_loadd(1, c + SIDE, TILE_COLUMNS * 4);
        _tile_loadd(2, below, TILE_COLUMNS * 4);
        _tile_loadd(3, below + SIDE, TILE_COLUMNS * 4);
    }
    for (int s = 0; s < n; s++, a += across * TILE, w += PAGE, next += bytes) {
        fetch(next, bytes);
        _tile_loadd(4, a, LINE);
        _tile_loadd(5, a + TILE, LINE);
        _tile_loadd(6, w, PAIRS);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(2, 5, 6);
        _tile_loadd(7, w + LINE, PAIRS);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, TILE_COLUMNS * 4);
    _tile_stored(1, c + SIDE, TILE_COLUMNS * 4);
    _tile_stored(2, below, TILE_COLUMNS * 4);
    _tile_stored(3, below + SIDE, TILE_COLUMNS * 4);
}

/* More rows: RUN steps at a time, of which two or four squares make all sums. */
TILES static void strip_of_many(const struct tile_rows *t)
{
    int across = tiles_across(t->rows), squares = across;
    for (int s = 0, n; s < t->steps; s += n) {
        n = t->steps - s < RUN ? t->steps - s : RUN;
        const char *w = t->strip + (size_t)s * PAGE, *next = w + AHEAD;
        const uint16_t *a = t->tile + (size_t)s * (size_t)across * TILE;
        for (int q = 0; q < squares; q++, next += n * PAGE / squares) {
            int right = q / (across / 2), down = q % (across / 2);
            float *c = t->sums + down * 2 * SIDE * TILE_COLUMNS + right * 2 * SIDE;
            square(c, a + (size_t)down * 2 * TILE, (size_t)across, w + right * 2 * LINE, n, s == 0,
                   next, PAGE / squares);
        }
    }
}

void tile_rows_next(struct tile_rows *t)
{
    if (t->piece != BY_TILES)
        pair_rows_next(t);
    else if (t->rows <= SIDE)
        strip_of_few(t);
    else
        strip_of_many(t);
    t->strip += (size_t)t->steps * PAGE;
}
#elif REAL_IS_BF16 && !defined(__x86_64__)
#include "comm/base/die.h"

/* None of them is called where matmul_tiles and matmul_pairs say no. */
struct tile_rows tile_rows_begin(const uint16_t *x, int rows, int K, int piece, const void *packed,
                                 void *room, float *sums)
{
    (void)x, (void)piece, (void)packed, (void)room;
    INVARIANT(false, "tiles for %d x %d on a processor without", rows, K);
    return (struct tile_rows){.sums = sums};
}

void tile_rows_next(struct tile_rows *t)
{
    INVARIANT(false, "tiles for %d rows on a processor without", t->rows);
}

void tile_rows_end(const struct tile_rows *t)
{
    (void)t;
}
#endif
