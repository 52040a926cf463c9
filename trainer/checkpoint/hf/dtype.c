#include "trainer/checkpoint/hf/dtype.h"

#include <string.h>
#include "comm/base/die.h"

static const struct {
    const char *name;
    int bits;
} KIND[] = {
#define ROW(name, bits) {#name, bits},
    ST_DTYPES(ROW)
#undef ROW
};

const char *st_name(enum st_dtype d)
{
    return KIND[d].name;
}

int st_bits(enum st_dtype d)
{
    return KIND[d].bits;
}

bool st_find(const char *name, enum st_dtype *d)
{
    for (int i = 0; i < ST_KINDS; i++)
        if (strcmp(name, KIND[i].name) == 0) {
            *d = (enum st_dtype)i;
            return true;
        }
    return false;
}

bool st_is_weight(enum st_dtype d)
{
    return d == ST_F16 || d == ST_BF16 || d == ST_F32;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Sign 1, exponent 5 (bias 15), fraction 10. A fraction without exponent is that many 2^-24. */
static float from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ff;
    if (exponent == 31) return float_of(sign | 0x7f800000u | fraction << 13);
    if (exponent > 0) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
    return float_of(sign | bits_of((float)fraction * 0x1p-24f));
}

/* To the nearest, ties to even: `bits` without its lowest `drop` bits. */
static uint32_t round_off(uint32_t bits, int drop)
{
    uint32_t odd = bits >> drop & 1;
    return (bits + (1u << (drop - 1)) - 1 + odd) >> drop;
}

static uint16_t to_f16(float x)
{
    uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) {
        uint32_t payload = size >> 13 & 0x3ff;
        return (uint16_t)(sign | 0x7c00 | (payload ? payload : 0x200));
    }
    if (size >= 0x477ff000u) return (uint16_t)(sign | 0x7c00); /* 65520 and above */
    if (size >= 0x38800000u)                                   /* 2^-14 and above */
        return (uint16_t)(sign | round_off(size - (112u << 23), 13));
    if (size < 0x33000000u) return (uint16_t)sign; /* below half of the least, 2^-25 */
    uint32_t whole = (size & 0x7fffff) | 0x800000;
    return (uint16_t)(sign | round_off(whole, 126 - (int)(size >> 23)));
}

static uint16_t to_bf16(float x)
{
    uint32_t bits = bits_of(x);
    if ((bits & 0x7fffffffu) <= 0x7f800000u) return (uint16_t)round_off(bits, 16);
    return (uint16_t)(bits >> 16 & 0x7f ? bits >> 16 : bits >> 16 | 0x40);
}

void st_to_float(float *out, const void *in, enum st_dtype d, size_t n)
{
    const uint16_t *half = in;
    INVARIANT(st_is_weight(d), "type %s", st_name(d));
    if (d == ST_F32) memcpy(out, in, n * sizeof *out);
    for (size_t i = 0; d == ST_BF16 && i < n; i++) out[i] = float_of((uint32_t)half[i] << 16);
    for (size_t i = 0; d == ST_F16 && i < n; i++) out[i] = from_f16(half[i]);
}

void st_from_float(void *out, const float *in, enum st_dtype d, size_t n)
{
    uint16_t *half = out;
    INVARIANT(st_is_weight(d), "type %s", st_name(d));
    if (d == ST_F32) memcpy(out, in, n * sizeof *in);
    for (size_t i = 0; d == ST_BF16 && i < n; i++) half[i] = to_bf16(in[i]);
    for (size_t i = 0; d == ST_F16 && i < n; i++) half[i] = to_f16(in[i]);
}
