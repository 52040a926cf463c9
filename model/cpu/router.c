/* The two ends of a layer of experts: the router's probabilities, and the weighted sum of a row's
 * experts. All sums in float. */
#include <math.h>
#include "model/cpu/vec.h"

static inline vec float_in(const float *p, int n, float rest)
{
    return n == LANES ? vec_load(p) : vec_load_n(p, n, rest);
}

static inline void float_out(float *p, vec v, int n)
{
    if (n == LANES)
        vec_store(p, v);
    else
        vec_store_n(p, v, n);
}

static inline const real *row_of(const void *rows, int i, int C)
{
    return (const real *)rows + (size_t)i * (size_t)C;
}

static float dot(const real *a, const real *b, int n)
{
    vec sum = {0};
    FOR_VECS(i, left, n, { sum = vec_fma(vec_in(a + i, left), vec_in(b + i, left), sum); });
    return vec_sum(sum);
}

/* FOR_VECS pads with -inf, whose exp is 0. */
static void softmax(float *p, int E)
{
    vec most = vec_all(-INFINITY), sum = {0};
    FOR_VECS(e, left, E, { most = vec_max(most, float_in(p + e, left, -INFINITY)); });
    float largest = vec_largest(most);
    FOR_VECS(e, left, E, {
        vec x = vec_exp(float_in(p + e, left, -INFINITY) - largest);
        sum += x;
        float_out(p + e, x, left);
    });
    float all = vec_sum(sum);
    for (int e = 0; e < E; e++) p[e] /= all;
}

void OP(router_forward)(float *prob, const void *x, const void *w, int T, int C, int E)
{
    for (int t = 0; t < T; t++) {
        float *p = prob + (size_t)t * (size_t)E;
        for (int e = 0; e < E; e++) p[e] = dot(row_of(x, t, C), row_of(w, e, C), C);
        softmax(p, E);
    }
}

/* The scalar head: one product a row, whatever other rows are there (P1). */
void OP(score_forward)(float *score, const void *x, const void *w, int T, int C)
{
    for (int t = 0; t < T; t++) score[t] = dot(row_of(x, t, C), w, C);
}

/* Sums in a fixed order: the K rows, then the experts by number. */
void OP(router_backward_input)(void *dx, const void *drows, const int *at, const float *dlogits,
                               const void *w, int T, int C, int E, int K)
{
    for (int t = 0; t < T; t++) {
        const float *dl = dlogits + (size_t)t * (size_t)E;
        const int *of = at + (size_t)t * (size_t)K;
        real *out = (real *)dx + (size_t)t * (size_t)C;
        FOR_VECS(c, left, C, {
            vec d = {0};
            for (int j = 0; j < K; j++) d += vec_in(row_of(drows, of[j], C) + c, left);
            for (int e = 0; e < E; e++)
                d = vec_fma(vec_all(dl[e]), vec_in(row_of(w, e, C) + c, left), d);
            vec_out(out + c, d, left);
        });
    }
}

/* Rows in order: the gradient does not depend on how experts were exchanged. */
void OP(router_backward_weight)(float *dw, const float *dlogits, const void *x, int T, int C, int E)
{
    for (int e = 0; e < E; e++) {
        float *out = dw + (size_t)e * (size_t)C;
        FOR_VECS(c, left, C, {
            vec sum = {0};
            for (int t = 0; t < T; t++)
                sum = vec_fma(vec_all(dlogits[(size_t)t * (size_t)E + (size_t)e]),
                              vec_in(row_of(x, t, C) + c, left), sum);
            float_out(out + c, float_in(out + c, left, 0) + sum, left);
        });
    }
}

/* The K rows are added in the order of the choice, before the residual. */
void OP(combine_forward)(void *y, const void *x, const void *rows, const int *at,
                         const float *weight, int T, int C, int K)
{
    for (int t = 0; t < T; t++) {
        const int *of = at + (size_t)t * (size_t)K;
        const float *w = weight + (size_t)t * (size_t)K;
        real *out = (real *)y + (size_t)t * (size_t)C;
        FOR_VECS(c, left, C, {
            vec sum = {0};
            for (int j = 0; j < K; j++)
                sum = vec_fma(vec_all(w[j]), vec_in(row_of(rows, of[j], C) + c, left), sum);
            vec_out(out + c, vec_in(row_of(x, t, C) + c, left) + sum, left);
        });
    }
}

/* One pass over dy for both gradients. */
void OP(combine_backward)(void *drows, float *dweight, const void *dy, const void *rows,
                          const int *at, const float *weight, int T, int C, int K)
{
    for (int t = 0; t < T; t++)
        for (int j = 0; j < K; j++) {
            size_t i = (size_t)t * (size_t)K + (size_t)j;
            const real *d = row_of(dy, t, C);
            real *out = (real *)drows + (size_t)at[i] * (size_t)C;
            dweight[i] = dot(d, row_of(rows, at[i], C), C);
            FOR_VECS(c, left, C, { vec_out(out + c, vec_in(d + c, left) * weight[i], left); });
        }
}
