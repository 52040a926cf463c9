/* Gradients of linear layers by the processor's tiles (model/amx.h), where it has them: in place of
 * the matrix library's, whose kernels for long sums are not the same for any number of rows, and
 * which packs the factors of a weight's gradient at each call.
 *
 * Bits depend on a row's own numbers alone (P1), and those of a weight's gradient not on how rows
 * are cut into calls at multiples of AMX_DEPTH. Local, nothing allocates but gradients_reserve. */
#ifndef DUET_MODEL_GRADIENTS_H
#define DUET_MODEL_GRADIENTS_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the copy of a weight (N, K) that gradients_input wants, 64-byte aligned. */
size_t gradients_packed_bytes(int N, int K);
/* w bf16 (N, K) as stored -> copy. */
void gradients_pack(uint16_t *copy, const uint16_t *w, int N, int K);
/* Room to work in for weights up to this one: before the first gradient. */
void gradients_reserve(int K);

/* dx (T, K) = dy bf16 (T, N) W; one of both, the other NULL. */
struct gradients_to {
    uint16_t *rounded;
    float *sum;
};
void gradients_input(struct gradients_to dx, const uint16_t *dy, const uint16_t *copy, int N, int K,
                     int T);
/* dw float (N, K) += dy^T x, bf16 (T, N) and (T, K). */
void gradients_weight(float *dw, const uint16_t *dy, const uint16_t *x, int N, int K, int T);

#endif
