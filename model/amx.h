/* Products of bf16 matrices with float sums by the processor's tile registers (AMX), where there
 * are any: for gradients, whose sums no other rank or phase has to repeat.
 *
 * An element of the result is one chain over k: 32 terms a step, steps in order, from 0 or from
 * what stands there already. So it depends on its own row and column only (P1), and on no cut of k
 * at a multiple of AMX_DEPTH.
 *
 * Matrices are packed into tiles of 1 KiB, 16 rows (or columns) by AMX_DEPTH of k: those of a strip
 * of 16 one behind the other along k. Strips come in pairs; what is beyond the matrix is 0. */
#ifndef DUET_MODEL_AMX_H
#define DUET_MODEL_AMX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AMX_SIDE = 16, AMX_DEPTH = 32, AMX_TILE = AMX_SIDE * AMX_DEPTH, AMX_PAIR = 2 * AMX_SIDE };

/* Tiles along k. */
static inline size_t amx_steps(size_t k)
{
    return (k + AMX_DEPTH - 1) / AMX_DEPTH;
}
/* Elements of a packed matrix. */
static inline size_t amx_size(size_t rows, size_t k)
{
    return (rows + AMX_PAIR - 1) / AMX_PAIR * 2 * amx_steps(k) * AMX_TILE;
}

/* A matrix as it lies: rows `ld` elements apart. */
struct amx_matrix {
    const uint16_t *at;
    size_t ld;
};
/* Left factors (rows, k), from (rows, k) or from its transpose (k, rows). */
void amx_pack_left(uint16_t *to, struct amx_matrix m, size_t rows, size_t k);
void amx_pack_left_turned(uint16_t *to, struct amx_matrix m, size_t rows, size_t k);
/* A right factor (k, cols), from (k, cols). */
void amx_pack_right(uint16_t *to, struct amx_matrix m, size_t k, size_t cols);

/* sum (rows, cols) = left right, or += where `add`. With `rounded` that gets the result, and sum
 * holds what is between runs of steps. */
struct amx_product {
    const uint16_t *left, *right;
    size_t left_strip, right_strip; /* elements from one strip to the next */
    size_t rows, cols, steps;
    float *sum;
    size_t ld;
    bool add;
    uint16_t *rounded; /* NULL: none */
    size_t rounded_ld;
};
void amx_multiply(const struct amx_product *p);

#endif
