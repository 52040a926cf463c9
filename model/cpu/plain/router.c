/* Router and weighted sum of experts in the plainest loops. */
#include <math.h>
#include "model/cpu/real.h"

static double value(const void *rows, int row, int C, int c)
{
    return (double)real_get(((const real *)rows)[(size_t)row * (size_t)C + (size_t)c]);
}

/* Softmax over all experts before the choice, as in DeepSeekMoE. The comparison lets a NaN through.
 */
void OP(router_forward)(float *prob, const void *x, const void *w, int T, int C, int E)
{
    for (int t = 0; t < T; t++) {
        float *p = prob + (size_t)t * (size_t)E;
        double most = -INFINITY, sum = 0;
        for (int e = 0; e < E; e++) {
            double z = 0;
            for (int c = 0; c < C; c++) z += value(x, t, C, c) * value(w, e, C, c);
            p[e] = (float)z;
            if (!(z <= most)) most = z;
        }
        for (int e = 0; e < E; e++) sum += exp((double)p[e] - most);
        for (int e = 0; e < E; e++) p[e] = (float)(exp((double)p[e] - most) / sum);
    }
}

void OP(score_forward)(float *score, const void *x, const void *w, int T, int C)
{
    for (int t = 0; t < T; t++) {
        double z = 0;
        for (int c = 0; c < C; c++) z += value(x, t, C, c) * value(w, 0, C, c);
        score[t] = (float)z;
    }
}

/* Adds what comes back from the K expert rows and from the router's logits. */
void OP(router_backward_input)(void *dx, const void *drows, const int *at, const float *dlogits,
                               const void *w, int T, int C, int E, int K)
{
    for (int t = 0; t < T; t++)
        for (int c = 0; c < C; c++) {
            double d = 0;
            for (int j = 0; j < K; j++) d += value(drows, at[t * K + j], C, c);
            for (int e = 0; e < E; e++)
                d += (double)dlogits[(size_t)t * (size_t)E + (size_t)e] * value(w, e, C, c);
            ((real *)dx)[(size_t)t * (size_t)C + (size_t)c] = real_put((float)d);
        }
}

void OP(router_backward_weight)(float *dw, const float *dlogits, const void *x, int T, int C, int E)
{
    for (int e = 0; e < E; e++)
        for (int c = 0; c < C; c++) {
            double sum = 0;
            for (int t = 0; t < T; t++)
                sum += (double)dlogits[(size_t)t * (size_t)E + (size_t)e] * value(x, t, C, c);
            dw[(size_t)e * (size_t)C + (size_t)c] += (float)sum;
        }
}

/* The residual stream plus the experts' outputs, weighted. */
void OP(combine_forward)(void *y, const void *x, const void *rows, const int *at,
                         const float *weight, int T, int C, int K)
{
    for (int t = 0; t < T; t++)
        for (int c = 0; c < C; c++) {
            double sum = 0;
            for (int j = 0; j < K; j++)
                sum += (double)weight[t * K + j] * value(rows, at[t * K + j], C, c);
            ((real *)y)[(size_t)t * (size_t)C + (size_t)c] =
                real_put((float)(value(x, t, C, c) + sum));
        }
}

/* drows and dweight from one gradient: dy times weight, dy . row. */
void OP(combine_backward)(void *drows, float *dweight, const void *dy, const void *rows,
                          const int *at, const float *weight, int T, int C, int K)
{
    for (int i = 0; i < T * K; i++) {
        double sum = 0;
        for (int c = 0; c < C; c++) sum += value(dy, i / K, C, c) * value(rows, at[i], C, c);
        dweight[i] = (float)sum;
        for (int c = 0; c < C; c++)
            ((real *)drows)[(size_t)at[i] * (size_t)C + (size_t)c] =
                real_put(weight[i] * (float)value(dy, i / K, C, c));
    }
}
