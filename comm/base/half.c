#include "comm/base/half.h"

#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Exponents are shifted by a product with a power of two, which also makes subnormal numbers
 * normal; infinities and NaNs get a float's largest exponent. */
float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff;
    if (rest >= 0x7c00) return of_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    float size = of_bits(rest << 13) * 0x1p112f; /* 127 - 15 */
    return of_bits(sign | bits_of(size));
}

/* What a half can hold in steps of 2^-24 (its subnormal numbers) is rounded by adding a number
 * whose last bit is worth that much; above, the 13 bits too many are rounded away in the integer,
 * where a carry moves into the exponent as it should. */
uint16_t half_of_float(float value)
{
    uint32_t bits = bits_of(value), rest = bits & 0x7fffffff;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (rest > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
    if (rest >= 0x47800000) return (uint16_t)(sign | 0x7c00); /* 2^16 */
    if (rest < 0x38800000)                                    /* 2^-14 */
        return (uint16_t)(sign | (bits_of(of_bits(rest) + 0.5f) - bits_of(0.5f)));
    rest += 0xfff + (rest >> 13 & 1);
    return (uint16_t)(sign | (rest - (112u << 23)) >> 13);
}

float bf16_to_float(uint16_t bf16)
{
    return of_bits((uint32_t)bf16 << 16);
}

uint16_t bf16_of_float(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
