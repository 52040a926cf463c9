/* A row of functions a form, which work on whole blocks: loops of a known length, which the
 * compiler makes wide; what is missing in the last block is zeros. int8: for each block a float
 * scale = max|x| / 127, then a byte x / scale a number. */
#include "comm/codec.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { SCALE_BYTES = sizeof(float) };

/* ---- bf16: the upper half of a float ---- */

static uint16_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    uint32_t none = bits >> 16 | 0x40; /* not a number: rounding could make an infinity of it */
    return (uint16_t)(x == x ? rounded : none);
}

static float bf16_value(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void bf16_encode(void *to, const float *v, float *back)
{
    uint16_t *half = to;
    for (int i = 0; i < CODEC_BLOCK; i++) half[i] = bf16_of(v[i]);
    for (int i = 0; i < CODEC_BLOCK; i++) back[i] = bf16_value(half[i]);
}

static void bf16_decode(float *x, const void *from)
{
    const uint16_t *half = from;
    for (int i = 0; i < CODEC_BLOCK; i++) x[i] = bf16_value(half[i]);
}

/* ---- int8 ---- */

/* As bits, floats without their signs are in order, those that are not finite last. */
static float largest_of(const float *v)
{
    uint32_t bits[CODEC_BLOCK], most = 0;
    float largest;
    memcpy(bits, v, sizeof bits);
    for (int i = 0; i < CODEC_BLOCK; i++) bits[i] &= 0x7fffffff;
    for (int i = 0; i < CODEC_BLOCK; i++) most = bits[i] > most ? bits[i] : most;
    memcpy(&largest, &most, sizeof largest);
    return largest;
}

/* |x| <= 127: adding 1.5 * 2^23 leaves no bits behind the point, so the sum is rounded, ties to
 * even. */
static float nearest_of(float x)
{
    static const float shift = 12582912.0f;
    return (x + shift) - shift;
}

/* A block that is not finite gets the scale NaN, so that the receiver sees it; a block of denormals
 * is sent as zeros and stays in the residual. */
static void int8_encode(void *to, const float *v, float *back)
{
    unsigned char *out = to;
    float scale = largest_of(v) / 127;
    if (scale < FLT_MIN) scale = 0; /* too few bits to divide by: all of it stays behind */
    if (!isfinite(scale)) scale = NAN;
    memcpy(out, &scale, SCALE_BYTES);
    int8_t q[CODEC_BLOCK] = {0};
    if (scale > 0)
        for (int i = 0; i < CODEC_BLOCK; i++) q[i] = (int8_t)(int)nearest_of(v[i] / scale);
    for (int i = 0; i < CODEC_BLOCK; i++) back[i] = (float)q[i] * scale;
    memcpy(out + SCALE_BYTES, q, sizeof q);
}

static void int8_decode(float *x, const void *from)
{
    const unsigned char *in = from;
    int8_t q[CODEC_BLOCK];
    float scale;
    memcpy(&scale, in, SCALE_BYTES);
    memcpy(q, in + SCALE_BYTES, sizeof q);
    for (int i = 0; i < CODEC_BLOCK; i++) x[i] = (float)q[i] * scale;
}

/* ---- all ---- */

static const struct code_form {
    size_t number_bytes, block_bytes;                      /* a block's beside its numbers */
    void (*encode)(void *to, const float *v, float *back); /* back: what decode will make of it */
    void (*decode)(float *x, const void *from);
} forms[] = {
    [CODEC_FP32] = {4, 0, NULL, NULL},
    [CODEC_BF16] = {2, 0, bf16_encode, bf16_decode},
    [CODEC_INT8] = {1, SCALE_BYTES, int8_encode, int8_decode},
};
enum { BLOCK_BYTES = 4 * CODEC_BLOCK }; /* at most */

size_t codec_bytes(enum codec w, size_t n)
{
    return n * forms[w].number_bytes + (n + CODEC_BLOCK - 1) / CODEC_BLOCK * forms[w].block_bytes;
}

size_t codec_floats(enum codec w, size_t n)
{
    return (codec_bytes(w, n) + sizeof(float) - 1) / sizeof(float);
}

static void encode_block(const struct code_form *f, unsigned char *to, const float *x,
                         float *residual)
{
    float v[CODEC_BLOCK], back[CODEC_BLOCK];
    memcpy(v, x, sizeof v);
    if (residual)
        for (int i = 0; i < CODEC_BLOCK; i++) v[i] += residual[i];
    f->encode(to, v, back);
    if (!residual) return;
    for (int i = 0; i < CODEC_BLOCK; i++) back[i] = v[i] - back[i];
    for (int i = 0; i < CODEC_BLOCK; i++) residual[i] = fabsf(back[i]) <= FLT_MAX ? back[i] : 0;
}

/* The last block, of n. */
static void encode_rest(enum codec w, unsigned char *to, const float *x, float *residual, size_t n)
{
    float all[CODEC_BLOCK] = {0}, kept[CODEC_BLOCK] = {0};
    unsigned char coded[BLOCK_BYTES];
    memcpy(all, x, n * sizeof *x);
    if (residual) memcpy(kept, residual, n * sizeof *kept);
    encode_block(&forms[w], coded, all, residual ? kept : NULL);
    if (residual) memcpy(residual, kept, n * sizeof *kept);
    memcpy(to, coded, codec_bytes(w, n));
}

/* The last block may be short; it is encoded in a whole one, so that every block has the same
 * kernel and the same bits. */
void codec_encode(enum codec w, void *to, const float *x, float *residual, size_t n)
{
    unsigned char *out = to;
    size_t at = 0, block = codec_bytes(w, CODEC_BLOCK);
    if (w == CODEC_FP32) {
        memcpy(to, x, n * sizeof *x);
        return;
    }
    for (; at + CODEC_BLOCK <= n; at += CODEC_BLOCK, out += block)
        encode_block(&forms[w], out, x + at, residual ? residual + at : NULL);
    if (at < n) encode_rest(w, out, x + at, residual ? residual + at : NULL, n - at);
}

/* As codec_encode: a short last block is decoded in a whole one. */
void codec_decode(enum codec w, float *x, const void *from, size_t n)
{
    const unsigned char *in = from;
    size_t at = 0, block = codec_bytes(w, CODEC_BLOCK);
    if (w == CODEC_FP32) {
        memcpy(x, from, n * sizeof *x);
        return;
    }
    for (; at + CODEC_BLOCK <= n; at += CODEC_BLOCK, in += block) forms[w].decode(x + at, in);
    if (at == n) return;
    unsigned char coded[BLOCK_BYTES] = {0};
    float all[CODEC_BLOCK];
    memcpy(coded, in, codec_bytes(w, n - at));
    forms[w].decode(all, coded);
    memcpy(x + at, all, (n - at) * sizeof *x);
}
