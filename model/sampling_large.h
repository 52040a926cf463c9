/* Drawing from a large vocabulary: seen by sampling.c only. */
#ifndef DUET_MODEL_SAMPLING_LARGE_H
#define DUET_MODEL_SAMPLING_LARGE_H

#include "model/ops.h"
#include "model/sampling.h"

enum {
    SAMPLING_LARGE = 4096,
    SAMPLING_GROUP = 32,
    SAMPLING_PIECE = 512, /* a multiple of SAMPLING_GROUP */
    SAMPLING_UNSURE = -1
};

/* One row, and room to work. */
struct sampling_row {
    const struct ops *ops;
    const struct sampling *sampling;
    const float *z; /* (V) */
    double u;
    int V, groups, pieces;
    float most;
    double *weight, *piece; /* (V), (pieces) */
    int *index;             /* (V) */
    float *group, *ranked;  /* (groups) the largest of each, with which the row comes; scratch */
};
/* Room only; returns its bytes. scratch NULL: measures. */
size_t sampling_row_place(struct sampling_row *r, int V, void *scratch);

/* The token that `exactly` would give, or SAMPLING_UNSURE. temperature > 0. */
int sampling_large(struct sampling_row *r);
/* For a top p that takes many tokens; goal is its sum, which may be wrong by `doubt`. */
int sampling_wide(struct sampling_row *r, double goal, double doubt);

#endif
