#include "trainer/gguf/quant.h"

#include <math.h>
#include <string.h>
#include "comm/base/half.h"

static uint16_t get16(const unsigned char *b)
{
    return (uint16_t)(b[0] | b[1] << 8);
}

static void put16(unsigned char *b, uint16_t value)
{
    b[0] = (unsigned char)value;
    b[1] = (unsigned char)(value >> 8);
}

static void f32_read(float *out, const unsigned char *b)
{
    uint32_t bits = get16(b) | (uint32_t)get16(b + 2) << 16;
    memcpy(out, &bits, sizeof bits);
}

static void f32_write(unsigned char *b, const float *in)
{
    uint32_t bits;
    memcpy(&bits, in, sizeof bits);
    put16(b, (uint16_t)bits);
    put16(b + 2, (uint16_t)(bits >> 16));
}

static void f16_read(float *out, const unsigned char *b)
{
    *out = half_to_float(get16(b));
}

static void f16_write(unsigned char *b, const float *in)
{
    put16(b, half_of_float(*in));
}

static void bf16_read(float *out, const unsigned char *b)
{
    *out = bf16_to_float(get16(b));
}

static void bf16_write(unsigned char *b, const float *in)
{
    put16(b, bf16_of_float(*in));
}

/* --- blocks of 32 --- */

enum { BLOCK = 32, HALF = BLOCK / 2 };

/* x = scale * q, q of 8 bits. */
static void q8_0_read(float *out, const unsigned char *b)
{
    float scale = half_to_float(get16(b));
    for (int i = 0; i < BLOCK; i++) out[i] = scale * (float)(int8_t)b[2 + i];
}

/* The scale that numbers are divided by is the one before it is rounded to fp16, as llama.cpp
 * does. */
static void q8_0_write(unsigned char *b, const float *in)
{
    float most = 0;
    for (int i = 0; i < BLOCK; i++) most = fmaxf(most, fabsf(in[i]));
    float scale = most / 127, inverse = scale > 0 ? 1 / scale : 0;
    put16(b, half_of_float(scale));
    for (int i = 0; i < BLOCK; i++) b[2 + i] = (unsigned char)(int8_t)roundf(in[i] * inverse);
}

/* Number i of a block and number i + 16 share a byte, the former in the lower four bits. */
static void nibbles_read(float *out, const unsigned char *b)
{
    for (int i = 0; i < HALF; i++) {
        out[i] = (float)(b[i] & 15);
        out[i + HALF] = (float)(b[i] >> 4);
    }
}

static int nibble(float x)
{
    return x < 0 ? 0 : x > 15 ? 15 : (int)x;
}

/* x = scale * (q - 8). The scale may be negative: it makes the number of largest size -8. */
static void q4_0_read(float *out, const unsigned char *b)
{
    float scale = half_to_float(get16(b));
    nibbles_read(out, b + 2);
    for (int i = 0; i < BLOCK; i++) out[i] = scale * (out[i] - 8);
}

static void q4_0_write(unsigned char *b, const float *in)
{
    float most = 0;
    for (int i = 0; i < BLOCK; i++)
        if (fabsf(in[i]) > fabsf(most)) most = in[i];
    float scale = most / -8, inverse = scale != 0 ? 1 / scale : 0;
    put16(b, half_of_float(scale));
    for (int i = 0; i < HALF; i++)
        b[2 + i] = (unsigned char)(nibble(in[i] * inverse + 8.5f) |
                                   nibble(in[i + HALF] * inverse + 8.5f) << 4);
}

/* x = scale * q + least. */
static void q4_1_read(float *out, const unsigned char *b)
{
    float scale = half_to_float(get16(b)), least = half_to_float(get16(b + 2));
    nibbles_read(out, b + 4);
    for (int i = 0; i < BLOCK; i++) out[i] = scale * out[i] + least;
}

static void q4_1_write(unsigned char *b, const float *in)
{
    float least = in[0], most = in[0];
    for (int i = 1; i < BLOCK; i++) {
        least = fminf(least, in[i]);
        most = fmaxf(most, in[i]);
    }
    float scale = (most - least) / 15, inverse = scale > 0 ? 1 / scale : 0;
    put16(b, half_of_float(scale));
    put16(b + 2, half_of_float(least));
    for (int i = 0; i < HALF; i++)
        b[4 + i] = (unsigned char)(nibble((in[i] - least) * inverse + 0.5f) |
                                   nibble((in[i + HALF] - least) * inverse + 0.5f) << 4);
}

static const struct quant quants[] = {
    {"f32", 0, 0, 1, 4, f32_read, f32_write},
    {"f16", 1, 1, 1, 2, f16_read, f16_write},
    {"q4_0", 2, 2, BLOCK, 2 + HALF, q4_0_read, q4_0_write},
    {"q4_1", 3, 3, BLOCK, 4 + HALF, q4_1_read, q4_1_write},
    {"q8_0", 8, 7, BLOCK, 2 + BLOCK, q8_0_read, q8_0_write},
    {"bf16", 30, 32, 1, 2, bf16_read, bf16_write},
};
enum { QUANTS = sizeof quants / sizeof *quants };

const struct quant *quant_find(uint32_t type)
{
    for (int i = 0; i < QUANTS; i++)
        if (quants[i].type == type) return &quants[i];
    return NULL;
}

const struct quant *quant_named(const char *name)
{
    for (int i = 0; i < QUANTS; i++)
        if (strcmp(quants[i].name, name) == 0) return &quants[i];
    return NULL;
}

const char *quant_type_name(uint32_t type)
{
    static const char *const names[] = {
        "f32",     "f16",    "q4_0",    "q4_1",  "q4_2",   "q4_3",  "q5_0",  "q5_1",
        "q8_0",    "q8_1",   "q2_K",    "q3_K",  "q4_K",   "q5_K",  "q6_K",  "q8_K",
        "iq2_xxs", "iq2_xs", "iq3_xxs", "iq1_s", "iq4_nl", "iq3_s", "iq2_s", "iq4_xs",
        "i8",      "i16",    "i32",     "i64",   "f64",    "iq1_m", "bf16"};
    return type < sizeof names / sizeof *names ? names[type] : "a type that is not known here";
}

/* A range may begin and end inside a block: blocks are read whole and cut. */
void quant_read(const struct quant *q, float *out, const unsigned char *bytes, uint64_t first,
                size_t n)
{
    const unsigned char *block = bytes + first / (unsigned)q->numbers * (unsigned)q->bytes;
    size_t skip = first % (unsigned)q->numbers;
    while (n > 0) {
        float part[QUANT_BLOCK_MAX];
        size_t have = (unsigned)q->numbers - skip, take = have < n ? have : n;
        q->read(part, block);
        memcpy(out, part + skip, take * sizeof *out);
        out += take;
        n -= take;
        block += q->bytes;
        skip = 0;
    }
}

void quant_write(const struct quant *q, unsigned char *bytes, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i += (unsigned)q->numbers, bytes += q->bytes) q->write(bytes, in + i);
}
