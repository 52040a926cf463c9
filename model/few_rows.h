/* Products of a few rows with a bf16 weight as it is stored, on machines that widen bf16 to float
 * (MATMUL_WIDENED): neither padded to a block of 16 rows nor read from a copy of twice the bytes.
 * What is left of a wave of answers, and a single answer, are such products.
 *
 * A row has the bits that the library's blocks give it (promise P1) because each of its sums is the
 * same chain of fused multiply-adds. How the library cuts that chain is not documented: the cuts
 * that it is known for are tried when a shape is made, on the data of model/row_trial.h, and where
 * none gives its bits all rows go to the library. */
#ifndef DUET_MODEL_FEW_ROWS_H
#define DUET_MODEL_FEW_ROWS_H

#include <stdint.h>

enum { FEW_ROWS = 8 }; /* most rows of a call: with more the library's blocks are as fast */

/* A sum over K is one of pieces, each a chain that begins with 0, added in order. Pieces are of
 * `block` inputs; of what is left less than two blocks make two halves. 0: one piece. */
struct few_chain {
    int block;
};
/* How long the piece is that begins where `left` inputs are left. Pure. */
int few_piece(struct few_chain c, int left);

/* y float (rows, N) = x float (rows, K) times w bf16 (N, K), rows at most FEW_ROWS. */
typedef void few_rows_run(float *y, const float *x, const uint16_t *w, int rows, int N, int K,
                          struct few_chain c);
/* The kernel of an instruction set for a weight (N, K) and these chains; NULL where it has none. */
typedef few_rows_run *few_rows_of(int N, int K, struct few_chain c);

/* What serves a weight; run NULL: the library alone. */
struct few_rows {
    few_rows_run *run;
    struct few_chain chain;
};

/* What gives rows the bits of the library's blocks for a weight (N, K): tried at the first call for
 * each instruction set, whose kernels `of` makes; kept. Not thread-safe, as model/matmul.h. */
struct few_rows few_rows_find(int N, int K, few_rows_of *of);

#endif
