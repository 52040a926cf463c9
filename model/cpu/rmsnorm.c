/* RMSNorm: y = round(x rstd) gain, rstd = 1/sqrt(mean(x^2) + eps) (rounded before the gain, as
 * Hugging Face's Llama does). */
#include <math.h>
#include "model/cpu/vec.h"

/* Whole rows in vectors of fixed width: the order of the sum depends on C only (P1). */
void OP(rmsnorm_forward)(void *y, float *rstd, const void *x, const void *gain, int T, int C,
                         float eps)
{
    const real *g = gain;
    for (int t = 0; t < T; t++) {
        const real *in = (const real *)x + (size_t)t * (size_t)C;
        real *out = (real *)y + (size_t)t * (size_t)C;
        vec squares = {0};
        FOR_VECS(c, left, C, {
            memory_ahead(in + c);
            memory_ahead(out + c);
            vec v = vec_in(in + c, left);
            squares = vec_fma(v, v, squares);
        });
        float r = 1.0f / sqrtf(vec_sum(squares) / (float)C + eps);
        rstd[t] = r;
        FOR_VECS(c, left, C, {
            vec_out(out + c, vec_rounded(vec_in(in + c, left) * r) * vec_in(g + c, left), left);
        });
    }
}

/* Sum over c of gain dy x */
static float sum_gain_dy_x(const real *g, const real *dy, const real *x, int C)
{
    vec sum = {0};
    FOR_VECS(c, left, C, {
        memory_ahead(dy + c);
        memory_ahead(x + c);
        sum = vec_fma(vec_in(g + c, left) * vec_in(dy + c, left), vec_in(x + c, left), sum);
    });
    return vec_sum(sum);
}

static void gain_gradient(float *dgain, const real *dy, const real *x, float r, int C)
{
    FOR_VECS(c, left, C, {
        vec sum = left == LANES ? vec_load(dgain + c) : vec_load_n(dgain + c, left, 0.0f);
        sum = vec_fma(vec_in(dy + c, left), vec_rounded(vec_in(x + c, left) * r), sum);
        if (left == LANES)
            vec_store(dgain + c, sum);
        else
            vec_store_n(dgain + c, sum, left);
    });
}

/* With xhat = x r: dx = r (gain dy - xhat mean(gain dy xhat)) + carry = r gain dy - x r^3 mean(gain
 * dy x) + carry. */
void OP(rmsnorm_backward)(void *dx, float *dgain, const void *dy, const void *x, const void *gain,
                          const float *rstd, const void *carry, int T, int C)
{
    const real *g = gain;
    for (int t = 0; t < T; t++) {
        size_t row = (size_t)t * (size_t)C;
        const real *in = (const real *)x + row, *d = (const real *)dy + row;
        float r = rstd[t];
        float pull = r * r * (sum_gain_dy_x(g, d, in, C) / (float)C);
        if (dgain) gain_gradient(dgain, d, in, r, C);
        FOR_VECS(c, left, C, {
            vec own = vec_in(g + c, left) * vec_in(d + c, left) - vec_in(in + c, left) * pull;
            vec out = own * r;
            memory_ahead((real *)dx + row + c);
            if (carry) memory_ahead((const real *)carry + row + c);
            if (carry) out += vec_in((const real *)carry + row + c, left);
            vec_out((real *)dx + row + c, out, left);
        });
    }
}

/* The heads of a row lie behind one another: a call for each row. */
void OP(rmsnorm_heads_forward)(void *y, float *rstd, const void *x, const void *gain,
                               struct head_rows h, float eps)
{
    for (int t = 0; t < h.T; t++) {
        size_t at = (size_t)t * (size_t)h.stride;
        OP(rmsnorm_forward)
        ((real *)y + at, rstd + (size_t)t * (size_t)h.statistics, (const real *)x + at, gain,
         h.heads, h.D, eps);
    }
}

void OP(rmsnorm_heads_backward)(void *dx, float *dgain, const void *dy, const void *x,
                                const void *gain, const float *rstd, struct head_rows h)
{
    for (int t = 0; t < h.T; t++) {
        size_t at = (size_t)t * (size_t)h.stride;
        OP(rmsnorm_backward)
        ((real *)dx + at, dgain, (const real *)dy + at, (const real *)x + at, gain,
         rstd + (size_t)t * (size_t)h.statistics, NULL, h.heads, h.D);
    }
}
