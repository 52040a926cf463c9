/* Whether the kernels of a product keep promise P1: that a row of the result has the same bits
 * wherever the row stands in a block of rows, and whatever stands beside it. Asked once for each
 * shape, before the product is used.
 *
 * The answer is worth what its data can show. Sums that are exact in float, such as those of small
 * multiples of a power of two, have the same bits in any order, and a kernel that adds in another
 * order would pass. So elements here have full mantissas and exponents over a range: some rows
 * hardly any, some a wide one. tests/unit/model/test_row_trial.c plants kernels that must not pass.
 */
#ifndef DUET_MODEL_ROW_TRIAL_H
#define DUET_MODEL_ROW_TRIAL_H

#include <stdbool.h>
#include "model/matmul.h"

/* y float (rows, n) = x (rows, k) times a weight that only the caller knows, in blocks of several
 * sizes. */
struct row_trial {
    int n, k;
    enum matmul_type type; /* of x: MATMUL_F32 or MATMUL_BF16 */
    int blocks;
    const int *rows; /* of each block, ascending; at least TRIAL_ROWS */
    void (*run)(void *ctx, int block, float *y, const void *x);
    void *ctx;
};
enum { TRIAL_ROWS = 5 };

/* keep[b]: blocks that give each other's bits at every position. The smallest block that agrees
 * with itself is the measure of the larger ones. False when no block does. */
bool row_trial(bool *keep, const struct row_trial *t);

/* dw float (n, k) += dy^T x of exactly `rows` rows. */
struct gradient_trial {
    int n, k, rows;
    enum matmul_type type;
    void (*run)(void *ctx, float *dw, const void *dy, const void *x);
    void *ctx;
};
/* Whether the bits depend on the rows that have a gradient only: not on the others, nor on where in
 * memory all lie. */
bool gradient_trial(const struct gradient_trial *t);

/* n elements of full mantissas, with exponents from 0 down to -spread. */
void trial_fill(void *out, size_t n, enum matmul_type type, unsigned seed, int spread);

#endif
