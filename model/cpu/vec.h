/* A vector of the variant's natural width and the few functions that kernels need of it.
 *
 * Arithmetic is written with the compilers' vector type; intrinsics only where C has no word for
 * it: fused multiply-add (we compile with -ffp-contract=off, so that results do not hang on the
 * optimiser), larger-of, select. Every reduction in this folder keeps LANES partial sums and adds
 * them by vec_sum's fixed tree. */
#ifndef DUET_MODEL_CPU_VEC_H
#define DUET_MODEL_CPU_VEC_H

#include "comm/base/ahead.h"
#include "model/cpu/real.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t vec_int __attribute__((vector_size(4 * LANES)));
typedef uint32_t vec_bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t vec_half __attribute__((vector_size(2 * LANES)));

static inline vec vec_all(float f)
{
    return f - (vec){0};
}

static inline vec vec_load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vec_store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

/* a*b + c: fused where the instruction set has it. */
static inline vec vec_fma(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

/* Where mask (all bits or none, lane by lane) a, else b. */
static inline vec vec_select(vec_int mask, vec a, vec b)
{
    return (vec)(((vec_int)a & mask) | ((vec_int)b & ~mask));
}

/* The larger of a and b; b where either is NaN. */
static inline vec vec_max(vec a, vec b)
{
#if defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return vec_select(a > b, a, b);
#endif
}

/* The smaller of a and b; b where either is NaN. */
static inline vec vec_min(vec a, vec b)
{
#if defined(__AVX512F__)
    return (vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vec)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return vec_select(a < b, a, b);
#endif
}

/* Lanes 0, 1, 2, ... below n. */
static inline vec_int vec_first(int n)
{
    vec_int lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return lane < (n - (vec_int){0});
}

static inline float vec_sum(vec v)
{
    float a[LANES];
    vec_store(a, v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) a[i] += a[i + half];
    return a[0];
}

static inline float vec_largest(vec v)
{
    float most = v[0];
    for (int i = 1; i < LANES; i++) most = v[i] > most ? v[i] : most;
    return most;
}

/* --- real --- */

#if REAL_IS_BF16
static inline vec vec_get(const real *p)
{
    vec_half h;
    memcpy(&h, p, sizeof h);
#if defined(__AVX512F__)
    return (vec)((vec_bits)_mm512_cvtepu16_epi32((__m256i)h) << 16); /* gcc converts in halves */
#else
    return (vec)(__builtin_convertvector(h, vec_bits) << 16);
#endif
}

/* Round to nearest even in integers, NaN kept quiet: the same bits on every instruction set; the
 * processors' own conversions differ in denormals. */
static inline void vec_put(real *p, vec v)
{
    vec_bits u = (vec_bits)v, half = u >> 16;
    vec_bits rounded = (u + 0x7fffu + (half & 1u)) >> 16;
#if defined(__AVX512F__)
    __mmask16 nan = _mm512_cmpneq_ps_mask((__m512)v, (__m512)v);
    const __m512i quiet = _mm512_set1_epi32(0x40);
    __m256i h =
        _mm512_cvtepi32_epi16(_mm512_mask_or_epi32((__m512i)rounded, nan, (__m512i)half, quiet));
#else
    vec_bits nan = (vec_bits)(v != v), out = (rounded & ~nan) | ((half | 0x40u) & nan);
    vec_half h = __builtin_convertvector(out, vec_half);
#endif
    memcpy(p, &h, sizeof h);
}

static inline vec vec_rounded(vec v)
{
    vec_bits u = (vec_bits)v, rounded = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
    return vec_select(v != v, (vec)((u & 0xffff0000u) | 0x400000u), (vec)rounded);
}
#else
static inline vec vec_get(const real *p)
{
    return vec_load(p);
}
static inline void vec_put(real *p, vec v)
{
    vec_store(p, v);
}
static inline vec vec_rounded(vec v)
{
    return v;
}
#endif

/* The first n < LANES elements; the other lanes read `rest` and are not written. */
static inline vec vec_get_n(const real *p, int n, float rest)
{
    float a[LANES];
    for (int i = 0; i < LANES; i++) a[i] = i < n ? real_get(p[i]) : rest;
    return vec_load(a);
}

static inline vec vec_load_n(const float *p, int n, float rest)
{
    float a[LANES];
    for (int i = 0; i < LANES; i++) a[i] = i < n ? p[i] : rest;
    return vec_load(a);
}

static inline void vec_put_n(real *p, vec v, int n)
{
    real a[LANES];
    vec_put(a, v);
    memcpy(p, a, (size_t)n * sizeof *a);
}

static inline void vec_store_n(float *p, vec v, int n)
{
    float a[LANES];
    vec_store(a, v);
    memcpy(p, a, (size_t)n * sizeof *a);
}

/* n = LANES or fewer. */
static inline vec vec_in(const real *p, int n)
{
    return n == LANES ? vec_get(p) : vec_get_n(p, n, 0.0f);
}

static inline void vec_out(real *p, vec v, int n)
{
    if (n == LANES)
        vec_put(p, v);
    else
        vec_put_n(p, v, n);
}

/* p * 2^n for whole n that leave p's exponent within range; 0 where x is below `least`. */
static inline vec vec_powered(vec p, vec n, vec x, float least)
{
#if defined(__AVX512F__)
    __mmask16 there = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(least), _CMP_NLT_UQ);
    return (vec)_mm512_maskz_scalef_ps(there, (__m512)p, (__m512)n);
#else
    vec_int powered = (vec_int)p + (__builtin_convertvector(n, vec_int) << 23);
    return (vec)(powered & ~(x < vec_all(least)));
#endif
}

/* e^x to about 1e-7 relative on [-86.6, 88.3]; 0 below, e^88.3 above; NaN stays NaN.
 * x = n ln 2 + r with |r| <= ln(2)/2; e^r by its Taylor polynomial (the degree-8 tail is below
 * 1e-8); n goes into the exponent. Clamped so that a NaN goes through. */
static inline vec vec_exp(vec x)
{
    const vec shift = vec_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vec clamped = vec_min(vec_all(88.3f), vec_max(vec_all(-86.6f), x));
    vec n = vec_fma(clamped, vec_all(1.44269504f), shift);
    n -= shift;
    vec r = vec_fma(n, vec_all(-0.693359375f),
                    clamped); /* ln 2 in two parts: the first is exact times n */
    r = vec_fma(n, vec_all(2.12194440e-4f), r);
    vec p = vec_all(1.0f / 5040);
    p = vec_fma(p, r, vec_all(1.0f / 720));
    p = vec_fma(p, r, vec_all(1.0f / 120));
    p = vec_fma(p, r, vec_all(1.0f / 24));
    p = vec_fma(p, r, vec_all(1.0f / 6));
    p = vec_fma(p, r, vec_all(0.5f));
    p = vec_fma(p, r, vec_all(1.0f));
    p = vec_fma(p, r, vec_all(1.0f));
    return vec_powered(p, n, x, -86.6f);
}

/* Runs the block for i = 0, LANES, ... over n elements; `left` is how many of the LANES are there,
 * a constant in all runs but the last, so that the full ones have no branch on it. */
#define FOR_VECS(i, left, n, ...)                                                 \
    do {                                                                          \
        int i = 0;                                                                \
        for (const int left = LANES; i + left <= (n); i += LANES) __VA_ARGS__     \
        for (const int left = (n)-i; left > 0 && i < (n); i += LANES) __VA_ARGS__ \
    } while (0)

#endif
