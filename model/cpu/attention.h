/* What the three attention files share. Inside attention everything is float, in scratch; a head's
 * rows are padded with zeros from D to head_width floats. */
#ifndef DUET_MODEL_CPU_ATTENTION_H
#define DUET_MODEL_CPU_ATTENTION_H

#include "model/cpu/vec.h"

enum {
    QUERIES = 16, /* query rows handled together */
    KEYS =
        64 /* cached keys, and in the backward pass all keys, are handled in runs of this length */
};

static inline int round_up(int n, int to)
{
    return (n + to - 1) / to * to;
}
static inline int head_width(int D)
{
    return round_up(D, 16);
}
/* Columns of a row of transposed keys: a multiple of 16, and never of 64, so that a column does not
 * fall into one cache set. */
static inline int transposed_width(int n)
{
    return round_up(n, 64) + 16;
}

/* A view of floats: rows `row` apart, columns `col` apart. */
struct tile {
    float *p;
    size_t row, col;
};

/* C (M, N) (+)= A (M, K) B (K, N). Each element adds its K products one after the other (fused
 * where the instruction set has it), whatever M and N are: a row's bits do not depend on the other
 * rows. C's and B's columns are adjacent; N is a multiple of 16. */
void OP(tile_multiply)(struct tile C, struct tile A, struct tile B, int M, int N, int K, bool add);

/* Scores s[0, n) -> p[j] = e^(s[j] - largest), and 0 up to `end`, a multiple of 16; returns the
 * largest, *sum = sum of p. */
float OP(softmax_row)(float *s, int n, int end, float *sum);

/* A row of weighted values: divided by the sum of the weights. */
void OP(row_finish)(real *out, const float *row, float sum, int D);

/* One head's rows, `step` elements apart, to float rows of head_width; scaled. */
void OP(head_load)(float *to, const real *from, size_t step, int rows, int D, float scale);
/* to (D, transposed_width(n)) = transpose of from (n, head_width); columns from n up to a multiple
 * of 16 are 0. */
void OP(head_transpose)(float *to, const float *from, int n, int D);

#endif
