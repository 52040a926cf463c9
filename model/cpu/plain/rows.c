/* The row-wise operations in the plainest loops. */
#include <math.h>
#include "model/cpu/real.h"

static bool is_own(struct share own, int token)
{
    return token >= own.first && token < own.first + own.n;
}

void OP(embed_forward)(void *x, const void *table, const int *token, struct share own, int T, int C)
{
    const real *rows = table;
    for (int t = 0; t < T; t++)
        for (int c = 0; c < C; c++)
            ((real *)x)[(size_t)t * (size_t)C + (size_t)c] =
                is_own(own, token[t]) ? rows[(size_t)(token[t] - own.first) * (size_t)C + (size_t)c]
                                      : real_put(0);
}

void OP(embed_backward)(float *dtable, const void *dx, const int *token, struct share own, int T,
                        int C)
{
    const real *g = dx;
    for (int t = 0; t < T; t++)
        for (int c = 0; c < C && is_own(own, token[t]); c++)
            dtable[(size_t)(token[t] - own.first) * (size_t)C + (size_t)c] +=
                real_get(g[(size_t)t * (size_t)C + (size_t)c]);
}

/* x times rstd is rounded before the gain is applied, as Hugging Face's models do. */
void OP(rmsnorm_forward)(void *y, float *rstd, const void *x, const void *gain, int T, int C,
                         float eps)
{
    const real *g = gain;
    for (int t = 0; t < T; t++) {
        const real *in = (const real *)x + (size_t)t * (size_t)C;
        real *out = (real *)y + (size_t)t * (size_t)C;
        double squares = 0;
        for (int c = 0; c < C; c++) squares += (double)real_get(in[c]) * (double)real_get(in[c]);
        rstd[t] = (float)(1.0 / sqrt(squares / C + (double)eps));
        for (int c = 0; c < C; c++)
            out[c] = real_put(real_round(real_get(in[c]) * rstd[t]) * real_get(g[c]));
    }
}

/* With xhat = x rstd: dx = rstd (gain dy - xhat mean(gain dy xhat)) + carry; dgain = sum of dy xhat
 * over rows. */
void OP(rmsnorm_backward)(void *dx, float *dgain, const void *dy, const void *x, const void *gain,
                          const float *rstd, const void *carry, int T, int C)
{
    const real *g = gain;
    for (int t = 0; t < T; t++) {
        size_t row = (size_t)t * (size_t)C;
        const real *in = (const real *)x + row, *d = (const real *)dy + row;
        real *out = (real *)dx + row;
        double mean = 0;
        for (int c = 0; c < C; c++)
            mean += (double)(real_get(g[c]) * real_get(d[c])) * (double)(real_get(in[c]) * rstd[t]);
        mean /= C;
        for (int c = 0; c < C; c++) {
            float xhat = real_get(in[c]) * rstd[t];
            double own =
                (double)rstd[t] * ((double)(real_get(g[c]) * real_get(d[c])) - (double)xhat * mean);
            float residual = carry ? real_get(((const real *)carry)[row + (size_t)c]) : 0;
            if (dgain) dgain[c] += real_get(d[c]) * real_round(xhat);
            out[c] = real_put((float)own + residual);
        }
    }
}

/* Where heads of row t begin in x, and their statistics in rstd. */
static const real *heads_at(const void *x, struct head_rows h, int t)
{
    return (const real *)x + (size_t)t * (size_t)h.stride;
}

void OP(rmsnorm_heads_forward)(void *y, float *rstd, const void *x, const void *gain,
                               struct head_rows h, float eps)
{
    for (int t = 0; t < h.T; t++) {
        real *heads = (real *)y + (size_t)t * (size_t)h.stride;
        float *statistics = rstd + (size_t)t * (size_t)h.statistics;
        OP(rmsnorm_forward)(heads, statistics, heads_at(x, h, t), gain, h.heads, h.D, eps);
    }
}

void OP(rmsnorm_heads_backward)(void *dx, float *dgain, const void *dy, const void *x,
                                const void *gain, const float *rstd, struct head_rows h)
{
    for (int t = 0; t < h.T; t++) {
        real *heads = (real *)dx + (size_t)t * (size_t)h.stride;
        const float *statistics = rstd + (size_t)t * (size_t)h.statistics;
        OP(rmsnorm_backward)
        (heads, dgain, heads_at(dy, h, t), heads_at(x, h, t), gain, statistics, NULL, h.heads, h.D);
    }
}

void OP(add)(void *y, const void *a, const void *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((real *)y)[i] = real_put(real_get(((const real *)a)[i]) + real_get(((const real *)b)[i]));
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

void OP(swiglu_forward)(void *y, const void *gu, int T, int F)
{
    for (int t = 0; t < T; t++) {
        const real *gate = (const real *)gu + (size_t)t * 2 * (size_t)F, *up = gate + F;
        real *out = (real *)y + (size_t)t * (size_t)F;
        for (int f = 0; f < F; f++) {
            double g = (double)real_get(gate[f]);
            out[f] = real_put((float)(g * sigmoid(g) * (double)real_get(up[f])));
        }
    }
}

/* d silu(g) = s (1 + g (1 - s)) with s = sigmoid(g). In place: dgu may be gu. */
void OP(swiglu_backward)(void *dgu, const void *dy, const void *gu, int T, int F)
{
    for (int t = 0; t < T; t++) {
        size_t row = (size_t)t * 2 * (size_t)F;
        const real *gate = (const real *)gu + row, *up = gate + F;
        const real *d = (const real *)dy + (size_t)t * (size_t)F;
        real *dgate = (real *)dgu + row, *dup = dgate + F;
        for (int f = 0; f < F; f++) {
            double g = (double)real_get(gate[f]), u = (double)real_get(up[f]);
            double s = sigmoid(g), dd = (double)real_get(d[f]);
            dgate[f] = real_put((float)(dd * u * s * (1.0 + g * (1.0 - s))));
            dup[f] = real_put((float)(dd * g * s));
        }
    }
}

/* Pairs are (i, i + D/2), Hugging Face's layout; the inverse turns by the negative angle. */
void OP(rope)(void *x, int T, int stride, int heads, int D, const int *pos, const float *cos_sin,
              bool inverse)
{
    int half = D / 2;
    for (int t = 0; t < T; t++)
        for (int h = 0; h < heads; h++) {
            real *v = (real *)x + (size_t)t * (size_t)stride + (size_t)h * (size_t)D;
            const float *cosine = cos_sin + (size_t)pos[t] * (size_t)D, *sine = cosine + half;
            for (int i = 0; i < half; i++) {
                float a = real_get(v[i]), b = real_get(v[i + half]), c = cosine[i];
                float s = inverse ? -sine[i] : sine[i];
                v[i] = real_put(a * c - b * s);
                v[i + half] = real_put(b * c + a * s);
            }
        }
}

void OP(to_real)(void *out, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i++) ((real *)out)[i] = real_put(in[i]);
}

void OP(to_float)(float *out, const void *in, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = real_get(((const real *)in)[i]);
}
