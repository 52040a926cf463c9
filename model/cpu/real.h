/* What a kernel file is compiled for: VARIANT (avx512_bf16, plain_fp32, ...) and the type `real` of
 * weights and activations. Every file of this folder is compiled once for each instruction set and
 * precision; OP(add) is that variant's own name of a function. */
#ifndef DUET_MODEL_CPU_REAL_H
#define DUET_MODEL_CPU_REAL_H

#include <stdint.h>
#include <string.h>
#include "model/ops.h"
#include "model/ops_rows.h"

#define PASTE_NAMES(a, b) a##_##b
#define PASTE(a, b)       PASTE_NAMES(a, b)
#define OP(name)          PASTE(name, VARIANT)

static inline float bf16_get(uint16_t b)
{
    uint32_t u = (uint32_t)b << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Round to nearest, ties to even; a NaN stays one (its quiet bit is set). */
static inline uint16_t bf16_put(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    uint32_t quiet = (u >> 16) | 0x40u;
    return (uint16_t)(f != f ? quiet : rounded);
}

#if REAL_IS_BF16
typedef uint16_t real;
#define REAL_PRECISION PRECISION_BF16
#define REAL_NAME      PRECISION_NAME_BF16
static inline float real_get(real r)
{
    return bf16_get(r);
}
static inline real real_put(float f)
{
    return bf16_put(f);
}
#else
typedef float real;
#define REAL_PRECISION PRECISION_FP32
#define REAL_NAME      PRECISION_NAME_FP32
static inline float real_get(real r)
{
    return r;
}
static inline real real_put(float f)
{
    return f;
}
#endif

/* The value that storing f as real and loading it again gives. */
static inline float real_round(float f)
{
    return real_get(real_put(f));
}

/* A variant defines every row: declared with the types of struct ops. */
#define OP_DECLARE(row) extern __typeof__(*((const struct ops *)0)->row) OP(row);
OPS_ROWS(OP_DECLARE)

/* The variant's table, for table.c. */
#define OP_FILL(row) .row = OP(row),
#define OPS_TABLE                                                                           \
    {                                                                                       \
        .name = VARIANT_ISA "-" REAL_NAME, .isa = VARIANT_ISA, .precision = REAL_PRECISION, \
        .real_bytes = sizeof(real), OPS_ROWS(OP_FILL)                                       \
    }
extern const struct ops OP(ops);

#endif
