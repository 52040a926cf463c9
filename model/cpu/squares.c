/* The sum of squares behind the gradient norm: every square of a float is exact in double and is
 * rounded once, by the rule of exact_add, so that the sum has the same bits in any order. */
#include "comm/base/exact.h"
#include "model/cpu/vec.h"

#define SCALE ((double)(1 << SQUARE_BITS))
/* Added to a double of at most 2^51 it leaves the nearest integer in the lowest bits, as
 * two's complement on top of its own. */
#define MAGIC      0x1.8p52
#define MAGIC_BITS 0x4338000000000000u

/* What a sum below 2^50 on top of MAGIC may have of bits: a larger one, or a NaN, has others. */
#define SMALL_BITS (MAGIC_BITS | ((UINT64_C(1) << 50) - 1))

enum { PAIRS = LANES / 2 };
typedef float floats __attribute__((vector_size(4 * PAIRS)));
typedef double doubles __attribute__((vector_size(8 * PAIRS)));
typedef uint64_t words __attribute__((vector_size(8 * PAIRS)));

static inline doubles widened(const float *x)
{
    floats f;
    memcpy(&f, x, sizeof f);
#if defined(__AVX512F__)
    return (doubles)_mm512_cvtps_pd((__m256)f); /* which gcc makes of halves */
#else
    return __builtin_convertvector(f, doubles);
#endif
}

/* a*b + c, where a*b is exact: the same with or without an instruction for it. */
static inline doubles doubles_fma(doubles a, doubles b, doubles c)
{
#if defined(__AVX512F__)
    return (doubles)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
    return (doubles)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;
#endif
}

static int64_t words_sum(words v, int n)
{
    uint64_t sum = 0 - (uint64_t)n * MAGIC_BITS;
    for (int i = 0; i < PAIRS; i++) sum += v[i];
    return (int64_t)sum;
}

/* n, a multiple of PAIRS and at most EXACT_PARTS. False, and nothing is added, when a term is too
 * large for this, or a NaN. */
static bool add_small(struct exact_sum *sum, const float *x, int n)
{
    const doubles magic = MAGIC - (doubles){0}, places = 0x1p52 - (doubles){0};
    words high = {0}, low = {0}, any = {0};
    for (int i = 0; i < n; i += PAIRS) {
        memory_ahead(x + i);
        doubles v = widened(x + i), w = v * (SCALE * 0x1p12); /* v w: the term in 2^-12 */
        doubles h = doubles_fma(v, w, magic), rest = doubles_fma(v, w, magic - h);
        high += (words)h;
        low += (words)doubles_fma(rest, places, magic);
        any |= (words)h;
    }
    for (int i = 0; i < PAIRS; i++)
        if (any[i] & ~SMALL_BITS) return false;
    exact_add_parts(sum, words_sum(high, n), words_sum(low, n));
    return true;
}

void OP(square_sum)(struct exact_sum *sum, const float *x, size_t n)
{
    for (size_t from = 0; from < n; from += EXACT_PARTS) {
        size_t left = n - from < EXACT_PARTS ? n - from : EXACT_PARTS, i = left / PAIRS * PAIRS;
        if (!add_small(sum, x + from, (int)i)) i = 0;
        for (; i < left; i++) exact_add(sum, (double)x[from + i] * (double)x[from + i] * SCALE);
    }
}
