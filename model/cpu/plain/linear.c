/* Linear layers in the plainest loops: the packed copy is the weight itself. */
#include "model/cpu/real.h"

void OP(linear_place)(struct linear *l, int N, int K, bool backward, struct arena *a)
{
    *l = (struct linear){.N = N, .K = K, .backward = backward};
    l->forward_copy = arena_take_n(a, (size_t)N * (size_t)K, sizeof(real));
    l->backward_copy = l->forward_copy;
}

void OP(linear_pack)(struct linear *l, const void *w)
{
    memcpy(l->forward_copy, w, (size_t)l->N * (size_t)l->K * sizeof(real));
}

/* Sum over i < n of a[i*a_step] * b[i*b_step] */
static double dot(const real *a, int a_step, const real *b, int b_step, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)real_get(a[(size_t)i * (size_t)a_step]) *
               (double)real_get(b[(size_t)i * (size_t)b_step]);
    return sum;
}

/* y = x W^T + b; W has a row for each output. */
void OP(linear_forward)(void *y, bool y_float, const void *x, const struct linear *l,
                        const void *bias, int T)
{
    const real *in = x, *w = l->forward_copy, *b = bias;
    int N = l->N, K = l->K;
    for (int t = 0; t < T; t++)
        for (int n = 0; n < N; n++) {
            double sum = dot(in + (size_t)t * (size_t)K, 1, w + (size_t)n * (size_t)K, 1, K);
            if (b) sum += (double)real_get(b[n]);
            size_t at = (size_t)t * (size_t)N + (size_t)n;
            if (y_float)
                ((float *)y)[at] = (float)sum;
            else
                ((real *)y)[at] = real_put((float)sum);
        }
}

/* dx = dy W. */
void OP(linear_backward_input)(void *dx, bool dx_float, const void *dy, const struct linear *l,
                               int T)
{
    const real *w = l->backward_copy, *in = dy;
    for (int t = 0; t < T; t++)
        for (int k = 0; k < l->K; k++) {
            size_t at = (size_t)t * (size_t)l->K + (size_t)k;
            float sum = (float)dot(in + (size_t)t * (size_t)l->N, 1, w + k, l->K, l->N);
            if (dx_float)
                ((float *)dx)[at] = sum;
            else
                ((real *)dx)[at] = real_put(sum);
        }
}

/* dW += dy^T x. Gradients accumulate over micro-batches. */
void OP(linear_backward_weight)(float *dw, float *db, const void *dy, const void *x, int N, int K,
                                int T)
{
    const real *g = dy, *in = x;
    for (int n = 0; n < N; n++) {
        for (int k = 0; k < K; k++)
            dw[(size_t)n * (size_t)K + (size_t)k] += (float)dot(g + n, N, in + k, K, T);
        double sum = 0;
        for (int t = 0; t < T; t++) sum += (double)real_get(g[(size_t)t * (size_t)N + (size_t)n]);
        if (db) db[n] += (float)sum;
    }
}
