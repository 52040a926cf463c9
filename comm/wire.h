/* Numbers as they cross between nodes: as they are, as bf16, or as 8-bit integers in blocks of 128
 * with one scale each.
 *
 * Both short forms round to nearest, ties to even. What rounding loses the sender keeps
 * (`residual`) and adds to the next numbers it sends there: error feedback, Seide et al. 2014 and
 * Karimireddy et al. 2019 (arXiv 1901.09847); over many steps the sum of what arrived differs from
 * the sum of what was meant by one rounding only. Local and pure, all of it. */
#ifndef DUET_COMM_WIRE_H
#define DUET_COMM_WIRE_H

#include <stddef.h>

enum reduce_wire { WIRE_FP32, WIRE_BF16, WIRE_INT8 };
enum { WIRE_BLOCK = 128 }; /* numbers that share a scale */

/* Bytes of n numbers; adds up over runs whose lengths are multiples of WIRE_BLOCK. */
size_t wire_bytes(enum reduce_wire w, size_t n);
/* Floats that have room for them. */
size_t wire_floats(enum reduce_wire w, size_t n);
/* to = round(x + residual), residual = what was lost. residual NULL: nothing is added or kept, as
 * always with fp32. Where a number is not finite (in int8: anywhere in its block) so is what
 * arrives, and nothing is kept. */
void wire_encode(enum reduce_wire w, void *to, const float *x, float *residual, size_t n);
void wire_decode(enum reduce_wire w, float *x, const void *from, size_t n);

#endif
