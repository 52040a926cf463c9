#include "model/tile_trial.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "model/row_trial.h"

/* A trial and room for it. */
struct tried {
    const struct tile_trial *t;
    int piece;
    void *room;
    float *sums;
};

/* Block 0 is the library's, then a tile of rows, then as many as there may be. */
static const int block_rows[] = {TRIAL_TILE, TRIAL_TILE, TILE_ROWS};

/* Strips side by side, as the library's blocks have their columns. */
static void run_either(void *ctx, int block, float *y, const void *x)
{
    const struct tried *r = ctx;
    size_t n = (size_t)r->t->n;
    if (block == 0) {
        r->t->library(r->t->ctx, 0, y, x);
        return;
    }
    struct tile_rows tiles =
        tile_rows_begin(x, block_rows[block], r->t->k, r->piece, r->t->packed, r->room, r->sums);
    for (size_t at = 0; at < n; at += TILE_COLUMNS) {
        size_t here = n - at < TILE_COLUMNS ? n - at : TILE_COLUMNS;
        tile_rows_next(&tiles);
        for (size_t i = 0; i < (size_t)block_rows[block]; i++)
            memcpy(y + i * n + at, r->sums + i * TILE_COLUMNS, here * sizeof *y);
    }
    tile_rows_end(&tiles);
}

/* oneDNN's kernels of AVX-512 add up to 1,024 k at a time, as its reckoning of caches has it. */
static const int pieces[] = {512, 1024, 1 << 30};

/* The library does not tell how it cuts its sums: cuts are tried, until one gives its bits, or the
 * one before was a whole sum. */
int tile_trial(const struct tile_trial *t)
{
    bool same = false;
    struct tried r = {t, 0, memory_take_aligned(tile_rows_room(t->k), "trying tiles"),
                      memory_take_aligned(TILE_SUMS, "trying tiles")};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces && !same; i++) {
        bool keep[3];
        if (i > 0 && (t->tiles || pieces[i - 1] >= t->k)) break; /* was a whole sum, too */
        r.piece = t->tiles ? BY_TILES : pieces[i];
        row_trial(keep,
                  &(struct row_trial){t->n, t->k, MATMUL_BF16, 3, block_rows, run_either, &r});
        same = keep[0] && keep[1] && keep[2];
    }
    free(r.room);
    free(r.sums);
    if (!same) log_debug("no products of a few rows for %d x %d", t->n, t->k);
    return same ? r.piece : 0;
}
