/* Products of up to 64 rows with a bf16 weight as oneDNN packs it for AMX: a decode call's.
 *
 * Such a product is as fast as the weight comes from memory. The library reads it at two thirds of
 * that rate with one row and at half with 64, because what it fetches from the second cache and
 * what it writes take the places of lines that are on their way. Here each strip of the weight, 64
 * columns, is read once and in order, ahead of its use; what it meets stays in the first cache.
 *
 * By the processor's tiles where matmul_tiles (model/matmul.h) says yes, up to 15 rows by its
 * instruction for pairs of bf16 where matmul_pairs does; there the library makes
 * the sums of 16 rows where one is asked for. A sum is the library's, bit for bit (promise P1): one
 * chain over k, 32 terms a step of the tiles; by pairs, one of pieces, each a chain of two terms a
 * step that begins with 0, added in order. How long pieces are is tried when a shape is made
 * (model/tile_trial.h). */
#ifndef DUET_MODEL_TILE_ROWS_H
#define DUET_MODEL_TILE_ROWS_H

#include <stddef.h>
#include <stdint.h>

enum { TILE_ROWS = 64, PAIR_ROWS = 15, TILE_COLUMNS = 64, TILE_DEPTH = 32 };
enum { BY_TILES = -1 }; /* in place of a piece: a whole sum, by tiles */

/* Rows on their way through the strips of a weight. */
struct tile_rows {
    int rows, steps, K;   /* up to TILE_ROWS; of TILE_DEPTH along K */
    int piece;            /* k of a piece, or BY_TILES */
    const uint16_t *tile; /* rows as tiles, or one after the other */
    float *sums;          /* (rows, TILE_COLUMNS) */
    const char *strip;    /* the next of the weight */
};
/* Bytes of room: 64-byte aligned. */
static inline size_t tile_rows_room(int K)
{
    size_t steps = ((size_t)K + TILE_DEPTH - 1) / TILE_DEPTH;
    return steps * TILE_DEPTH * TILE_ROWS * sizeof(uint16_t);
}
enum { TILE_SUMS = TILE_ROWS * TILE_COLUMNS * 4 };

/* x bf16 (rows, K), rows at most TILE_ROWS; packed: strip after strip, each K (padded with zeros to
 * TILE_DEPTH) by TILE_COLUMNS, pairs of k side by side. piece: even, K or more for a whole sum,
 * or BY_TILES, which holds the processor's tiles until tile_rows_end. room: tile_rows_room(K)
 * bytes; sums: TILE_SUMS bytes. */
struct tile_rows tile_rows_begin(const uint16_t *x, int rows, int K, int piece, const void *packed,
                                 void *room, float *sums);
/* The sums of the next strip's columns, in t->sums. */
void tile_rows_next(struct tile_rows *t);
void tile_rows_end(const struct tile_rows *t);

#endif
