/* What drawing a token asks of a whole row of logits. Sums are in double and good to 1e-11 of
 * themselves; who uses them allows for that (model/sampling.c), so nothing depends on their last
 * bits. */
#include <math.h>
#include "model/cpu/vec.h"

void OP(sample_largest)(float *most, const float *z, int V, int group)
{
    for (int from = 0; from < V; from += group) {
        int n = V - from < group ? V - from : group;
        vec m = vec_all(-INFINITY);
        FOR_VECS(v, left, n, {
            vec x =
                left == LANES ? vec_load(z + from + v) : vec_load_n(z + from + v, left, -INFINITY);
            m = vec_max(x, m); /* m where x is NaN */
        });
        *most++ = vec_largest(m);
    }
}

/* --- in double --- */

enum { WIDE = LANES / 2 };
typedef double wide __attribute__((vector_size(8 * WIDE)));
typedef int64_t wide_int __attribute__((vector_size(8 * WIDE)));
typedef uint64_t wide_bits __attribute__((vector_size(8 * WIDE)));
typedef float half __attribute__((vector_size(4 * WIDE)));

static inline wide wide_all(double d)
{
    return d - (wide){0};
}

static inline wide wide_fma(wide a, wide b, wide c)
{
#if defined(__AVX512F__)
    return (wide)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
    return (wide)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;
#endif
}

/* e^x for x <= 0 to about 1e-13 of itself; 0 below -700 and where x is NaN. As vec_exp, with a
 * polynomial of degree 10. */
static inline wide wide_exp(wide x)
{
    const wide shift = wide_all(6755399441055744.0); /* 1.5 * 2^52 */
    wide n = wide_fma(x, wide_all(1.4426950408889634), shift);
    wide_bits exponent = (wide_bits)n << 52; /* of what lies below, any bits: they are dropped */
    n -= shift;
    wide r = wide_fma(n, wide_all(-0.693147180369123816490), x);
    r = wide_fma(n, wide_all(-1.90821492927058770002e-10), r);
    wide p = wide_all(1.0 / 3628800);
    static const double factor[] = {1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
                                    1.0 / 24,     1.0 / 6,     0.5,        1.0,       1.0};
    for (int i = 0; i < 10; i++) p = wide_fma(p, r, wide_all(factor[i]));
    wide e = (wide)((wide_bits)p + exponent);
    return (wide)((wide_int)e & (x >= wide_all(-700.0)));
}

/* Logits v, v + 1, ...; -infinity past `left`. */
static inline wide wide_load(const float *z, int left)
{
    half h;
    if (left == WIDE) {
        memcpy(&h, z, sizeof h);
    } else {
        float a[WIDE];
        for (int i = 0; i < WIDE; i++) a[i] = i < left ? z[i] : -INFINITY;
        memcpy(&h, a, sizeof h);
    }
    return __builtin_convertvector(h, wide);
}

/* The weight is stored as it is added, so that sample_sum adds the same numbers. */
void OP(sample_weights)(double *sum, double *weight, const float *z, float most, double inv_temp,
                        int V, int piece)
{
    for (int from = 0; from < V; from += piece) {
        int end = V - from < piece ? V : from + piece;
        wide all = {0};
        for (int v = from; v < end; v += WIDE) {
            int left = end - v < WIDE ? end - v : WIDE;
            wide e = wide_exp((wide_load(z + v, left) - (double)most) * inv_temp);
            all += e;
            if (weight) memcpy(weight + v, &e, (size_t)left * sizeof *weight);
        }
        double total = 0;
        for (int i = 0; i < WIDE; i++) total += all[i];
        *sum++ = total;
    }
}

/* Four sums hide the latency of an addition; a mask instead of a branch, since the comparison goes
 * either way at random. */
double OP(sample_sum)(const double *weight, const float *z, float from, int n)
{
    wide all[4] = {{0}};
    double total = 0;
    int v = 0;
    for (; v + 4 * WIDE <= n; v += 4 * WIDE)
        for (int k = 0; k < 4; k++) {
            wide w;
            memcpy(&w, weight + v + k * WIDE, sizeof w);
            wide_int in = wide_load(z + v + k * WIDE, WIDE) >= (double)from;
            all[k] += (wide)((wide_int)w & in);
        }
    for (; v < n; v++) total += z[v] >= from ? weight[v] : 0;
    wide both = (all[0] + all[1]) + (all[2] + all[3]);
    for (int i = 0; i < WIDE; i++) total += both[i];
    return total;
}

void OP(fill_columns)(float *y, struct share columns, float value, int T, int N)
{
    for (int t = 0; t < T; t++)
        for (int n = columns.first; n < columns.first + columns.n; n++)
            y[(size_t)t * (size_t)N + (size_t)n] = value;
}
