/* What a number becomes on the wire, by definition: the oracle of comm/codec.c. */
#ifndef DUET_TESTS_SUPPORT_PLAIN_ROUND_H
#define DUET_TESTS_SUPPORT_PLAIN_ROUND_H

#include <math.h>
#include <stddef.h>

#include "comm/codec.h"

static inline float rounded_bf16(float x)
{
    int exponent;
    double fraction = frexp((double)x, &exponent);
    return (float)ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

static inline float rounded_int8(const float *x, size_t i, size_t n)
{
    size_t from = i / 128 * 128, to = from + 128 < n ? from + 128 : n;
    float largest = 0;
    for (size_t k = from; k < to; k++) largest = fmaxf(largest, fabsf(x[k]));
    float scale = largest / 127, q = scale > 0 ? x[i] / scale : 0;
    return (float)(int)nearbyint((double)q) * scale; /* an integer has no -0 */
}

/* Number i among n that cross together. */
static inline float plain_round(enum codec w, const float *x, size_t i, size_t n)
{
    return w == CODEC_FP32 ? x[i] : w == CODEC_BF16 ? rounded_bf16(x[i]) : rounded_int8(x, i, n);
}

#endif
