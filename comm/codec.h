/* Numbers as they cross between nodes: as they are, as bf16, or as 8-bit integers in blocks of 128
 * with one scale each.
 *
 * Both short forms round to nearest, ties to even. What rounding loses the sender keeps
 * (`residual`) and adds to the next numbers it sends there: error feedback, Seide et al. 2014 and
 * Karimireddy et al. 2019 (arXiv 1901.09847); over many steps the sum of what arrived differs from
 * the sum of what was meant by one rounding only. Local and pure, all of it. */
#ifndef DUET_COMM_CODEC_H
#define DUET_COMM_CODEC_H

#include <stddef.h>

enum codec { CODEC_FP32, CODEC_BF16, CODEC_INT8 };
enum { CODEC_BLOCK = 128 }; /* numbers that share a scale */

/* Bytes of n numbers; adds up over runs whose lengths are multiples of CODEC_BLOCK. */
size_t codec_bytes(enum codec w, size_t n);
/* Floats that have room for them. */
size_t codec_floats(enum codec w, size_t n);
/* to = round(x + residual), residual = what was lost. residual NULL: nothing is added or kept, as
 * always with fp32. Where a number is not finite (in int8: anywhere in its block) so is what
 * arrives, and nothing is kept. */
void codec_encode(enum codec w, void *to, const float *x, float *residual, size_t n);
void codec_decode(enum codec w, float *x, const void *from, size_t n);

#endif
