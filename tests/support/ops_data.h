/* Data for tests of struct ops: random floats, the same as real, and comparison. */
#ifndef DUET_TESTS_SUPPORT_OPS_DATA_H
#define DUET_TESTS_SUPPORT_OPS_DATA_H

#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/arena.h"
#include "model/ops.h"

static const char *const test_isas[] = {"amx", "avx512", "avx2", "base", "plain"};
enum { TEST_ISAS = 5 };

/* Uniform in [-scale, scale) from a seed. Freed by the caller. */
static inline float *floats_random(size_t n, unsigned seed, float scale)
{
    float *p = malloc(n * sizeof *p);
    uint32_t s = seed * 2654435761u + 12345u;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        p[i] = scale * ((float)(s >> 8) / 8388608.0f - 1.0f);
    }
    return p;
}

static inline void *reals_of(const struct ops *ops, const float *p, size_t n)
{
    void *r = malloc(n * ops->real_bytes);
    ops->to_real(r, p, n);
    return r;
}

static inline void *reals_random(const struct ops *ops, size_t n, unsigned seed, float scale)
{
    float *p = floats_random(n, seed, scale);
    void *r = reals_of(ops, p, n);
    free(p);
    return r;
}

/* Where the order of a sum is in question: full mantissas with exponents over SPREAD powers of two,
 * scale the largest. Sums of reals_random are often exact in bf16, whose products have 16 bits: up
 * to some tens of terms any order gives the same. */
enum { SPREAD = 12 };
static inline float *floats_spread(size_t n, unsigned seed, float scale)
{
    float *p = floats_random(n, seed, scale);
    uint32_t s = seed * 40503u + 977u;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        p[i] = ldexpf(p[i], -(int)((s >> 24) * (SPREAD + 1) / 256));
    }
    return p;
}

static inline void *reals_spread(const struct ops *ops, size_t n, unsigned seed, float scale)
{
    float *p = floats_spread(n, seed, scale);
    void *r = reals_of(ops, p, n);
    free(p);
    return r;
}

static inline float *floats_of(const struct ops *ops, const void *r, size_t n)
{
    float *p = malloc(n * sizeof *p);
    ops->to_float(p, r, n);
    return p;
}

/* Largest |a - b| / (1 + |b|); infinite when one of them is NaN and the other is not. */
static inline double worst_error(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(a[i]) && isnan(b[i])) continue;
        double e = fabs((double)a[i] - (double)b[i]) / (1 + fabs((double)b[i]));
        if (!(e <= worst)) worst = isnan(e) ? INFINITY : e;
    }
    return worst;
}

static inline double worst_real_error(const struct ops *ops, const void *a, const void *b, size_t n)
{
    float *x = floats_of(ops, a, n), *y = floats_of(ops, b, n);
    double worst = worst_error(x, y, n);
    free(x);
    free(y);
    return worst;
}

/* A placed and packed linear layer. */
struct test_linear {
    struct linear l;
    struct arena a;
};

static inline void test_linear_make(struct test_linear *t, const struct ops *ops, const void *w,
                                    int N, int K)
{
    *t = (struct test_linear){0};
    ops->linear_place(&t->l, N, K, true, &t->a);
    arena_back(&t->a, &device_host, t->a.used);
    ops->linear_place(&t->l, N, K, true, &t->a);
    ops->linear_pack(&t->l, w);
}

#endif
