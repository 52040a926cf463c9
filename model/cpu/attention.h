/* What the three attention files share. Inside attention everything is float, in scratch; a head's rows are padded
 * with zeros from D to head_width floats. */
#ifndef DUET_MODEL_CPU_ATTENTION_H
#define DUET_MODEL_CPU_ATTENTION_H

#include "model/cpu/vec.h"

enum { QUERIES = 16 }; /* query rows handled together */

static inline int round_up(int n, int to)
{
    return (n + to - 1) / to * to;
}
static inline int head_width(int D)
{
    return round_up(D, 16);
}

/* A (rows, cols) view of floats. */
struct tile {
    float *p;
    size_t row, col; /* steps */
};

/* C (M, N) (+)= A (M, K) B (K, N). Each element adds its K products one after the other (fused where the instruction
 * set has it), whatever M is: a row's bits do not depend on the other rows. C's and B's columns are adjacent; N is
 * a multiple of 16. */
void OP(tile_multiply)(struct tile C, struct tile A, struct tile B, int M, int N, int K, bool add);

/* Scores s[0, n) -> p[j] = e^(s[j] - largest), and 0 up to the next multiple of 16; returns the largest, *sum = sum of p. */
float OP(softmax_row)(float *s, int n, float *sum);

/* One head's rows, `step` elements apart, to float rows of head_width; scaled. */
void OP(head_load)(float *to, const real *from, size_t step, int rows, int D, float scale);
/* to[d][j] = from row j of 16 rows, for d < D; rows past `rows` are 0. */
void OP(block_transpose)(float *to, const float *from, int rows, int D);

#endif
