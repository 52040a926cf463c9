/* Types of numbers in safetensors files, and what a float is in those that this program reads and
 * writes. Local, allocates nothing. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_DTYPE_H
#define DUET_TRAINER_CHECKPOINT_HF_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, bits), in the order of the reference library: a file has its tensors sorted by it,
 * descending. */
#define ST_DTYPES(X)  \
    X(BOOL, 8)        \
    X(F4, 4)          \
    X(F6_E2M3, 6)     \
    X(F6_E3M2, 6)     \
    X(U8, 8)          \
    X(I8, 8)          \
    X(F8_E5M2, 8)     \
    X(F8_E4M3, 8)     \
    X(F8_E8M0, 8)     \
    X(F8_E4M3FNUZ, 8) \
    X(F8_E5M2FNUZ, 8) \
    X(I16, 16)        \
    X(U16, 16)        \
    X(F16, 16)        \
    X(BF16, 16)       \
    X(I32, 32)        \
    X(U32, 32)        \
    X(F32, 32)        \
    X(C64, 64)        \
    X(F64, 64)        \
    X(I64, 64)        \
    X(U64, 64)

#define ST_VALUE(name, bits) ST_##name,
enum st_dtype { ST_DTYPES(ST_VALUE) ST_KINDS };
#undef ST_VALUE

const char *st_name(enum st_dtype d);
int st_bits(enum st_dtype d);
/* false: no such type. */
bool st_find(const char *name, enum st_dtype *d);
/* Weights can be of this type: F16, BF16, F32. */
bool st_is_weight(enum st_dtype d);

/* n numbers of a weight's type to and from floats. To F16 and BF16 to the nearest, ties to even; a
 * NaN stays one; to F16 what is too large becomes infinity. What is read comes back as it was, but
 * for the payload of a NaN. */
void st_to_float(float *out, const void *in, enum st_dtype d, size_t n);
void st_from_float(void *out, const float *in, enum st_dtype d, size_t n);

#endif
