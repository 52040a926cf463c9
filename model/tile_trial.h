/* Does model/tile_rows.h give rows the bits that the library's blocks give them? Tried on the
 * data of model/row_trial.h when a shape is made; model/matmul.c alone includes this. */
#ifndef DUET_MODEL_TILE_TRIAL_H
#define DUET_MODEL_TILE_TRIAL_H

#include <stdbool.h>
#include "model/tile_rows.h"

enum { TRIAL_TILE = 16 }; /* rows of the library's block that is compared with */

struct tile_trial {
    int n, k;
    bool tiles;                                                     /* or pairs? */
    const void *packed;                                             /* from data of trial_fill */
    void (*library)(void *ctx, int block, float *y, const void *x); /* its smallest block is 0 */
    void *ctx;
};

/* The piece of a sum with which it does, or BY_TILES; 0: none. */
int tile_trial(const struct tile_trial *t);

#endif
