/* A row of functions a form. int8: for each block a float scale = max|x| / 127, then a byte x / scale a number. */
#include "comm/wire.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { SCALE_BYTES = sizeof(float) };

static size_t block_at(size_t n, size_t at)
{
    return n - at < WIRE_BLOCK ? n - at : WIRE_BLOCK;
}

/* ---- bf16: the upper half of a float ---- */

static uint16_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return (uint16_t)(bits >> 16 | 0x40); /* rounding could make an infinity of it */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float bf16_value(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void bf16_encode(void *to, const float *x, float *residual, size_t n)
{
    uint16_t *half = to;
    for (size_t i = 0; i < n; i++) {
        float v = residual ? x[i] + residual[i] : x[i];
        half[i] = bf16_of(v);
        float lost = v - bf16_value(half[i]);
        if (residual) residual[i] = isfinite(lost) ? lost : 0;
    }
}

static void bf16_decode(float *x, const void *from, size_t n)
{
    const uint16_t *half = from;
    for (size_t i = 0; i < n; i++) x[i] = bf16_value(half[i]);
}

/* ---- int8 ---- */

static float largest_of(const float *v, size_t n, bool *finite)
{
    float largest = 0;
    *finite = true;
    for (size_t i = 0; i < n; i++) {
        float a = fabsf(v[i]);
        largest = a > largest ? a : largest;
        *finite = *finite && a <= FLT_MAX; /* false for what is not a number, too */
    }
    return largest;
}

/* |x| <= 127: adding 1.5 * 2^23 leaves no bits behind the point, so the sum is rounded, ties to even. */
static float nearest_of(float x)
{
    static const float shift = 12582912.0f;
    return (x + shift) - shift;
}

static void int8_encode_block(unsigned char *to, const float *v, float *residual, size_t n)
{
    bool finite;
    float scale = largest_of(v, n, &finite) / 127;
    if (scale < FLT_MIN)
        scale = 0; /* too few bits left to divide by: what there is waits in the residual */
    if (!finite) scale = NAN;
    memcpy(to, &scale, SCALE_BYTES);
    for (size_t i = 0; i < n; i++) {
        float q = scale > 0 ? nearest_of(v[i] / scale) : 0;
        to[SCALE_BYTES + i] = (unsigned char)(int8_t)q;
        if (residual) residual[i] = finite ? v[i] - q * scale : 0;
    }
}

static void int8_encode(void *to, const float *x, float *residual, size_t n)
{
    unsigned char *out = to;
    float v[WIRE_BLOCK];
    for (size_t at = 0; at < n; at += WIRE_BLOCK) {
        size_t m = block_at(n, at);
        for (size_t i = 0; i < m; i++) v[i] = residual ? x[at + i] + residual[at + i] : x[at + i];
        int8_encode_block(out, v, residual ? residual + at : NULL, m);
        out += SCALE_BYTES + m;
    }
}

static void int8_decode(float *x, const void *from, size_t n)
{
    const unsigned char *in = from;
    for (size_t at = 0; at < n; at += WIRE_BLOCK) {
        size_t m = block_at(n, at);
        float scale;
        memcpy(&scale, in, SCALE_BYTES);
        for (size_t i = 0; i < m; i++) x[at + i] = (float)(int8_t)in[SCALE_BYTES + i] * scale;
        in += SCALE_BYTES + m;
    }
}

/* ---- all ---- */

static void fp32_encode(void *to, const float *x, float *residual, size_t n)
{
    (void)residual;
    memcpy(to, x, n * sizeof *x);
}

static void fp32_decode(float *x, const void *from, size_t n)
{
    memcpy(x, from, n * sizeof *x);
}

static const struct form {
    size_t number_bytes, block_bytes; /* a block's beside its numbers */
    void (*encode)(void *to, const float *x, float *residual, size_t n);
    void (*decode)(float *x, const void *from, size_t n);
} forms[] = {
    [WIRE_FP32] = {4, 0, fp32_encode, fp32_decode},
    [WIRE_BF16] = {2, 0, bf16_encode, bf16_decode},
    [WIRE_INT8] = {1, SCALE_BYTES, int8_encode, int8_decode},
};

size_t wire_bytes(enum reduce_wire w, size_t n)
{
    return n * forms[w].number_bytes + (n + WIRE_BLOCK - 1) / WIRE_BLOCK * forms[w].block_bytes;
}

size_t wire_floats(enum reduce_wire w, size_t n)
{
    return (wire_bytes(w, n) + sizeof(float) - 1) / sizeof(float);
}

void wire_encode(enum reduce_wire w, void *to, const float *x, float *residual, size_t n)
{
    forms[w].encode(to, x, residual, n);
}

void wire_decode(enum reduce_wire w, float *x, const void *from, size_t n)
{
    forms[w].decode(x, from, n);
}
