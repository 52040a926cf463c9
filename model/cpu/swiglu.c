/* SwiGLU: y = silu(gate) * up, silu(g) = g / (1 + e^-g). */
#include "model/cpu/vec.h"

static inline vec sigmoid(vec x)
{
    return 1.0f / (1.0f + vec_exp(-x));
}

void OP(swiglu_forward)(void *y, const void *gu, int T, int F)
{
    for (int t = 0; t < T; t++) {
        const real *gate = (const real *)gu + (size_t)t * 2 * (size_t)F, *up = gate + F;
        real *out = (real *)y + (size_t)t * (size_t)F;
        FOR_VECS(f, left, F, {
            memory_ahead(gate + f);
            memory_ahead(up + f);
            memory_ahead(out + f);
            vec g = vec_in(gate + f, left);
            vec_out(out + f, g * sigmoid(g) * vec_in(up + f, left), left);
        });
    }
}

/* silu'(g) = s (1 + g (1 - s)), s = sigmoid(g) */
void OP(swiglu_backward)(void *dgu, const void *dy, const void *gu, int T, int F)
{
    for (int t = 0; t < T; t++) {
        size_t row = (size_t)t * 2 * (size_t)F;
        const real *gate = (const real *)gu + row, *up = gate + F;
        const real *d = (const real *)dy + (size_t)t * (size_t)F;
        real *dgate = (real *)dgu + row, *dup = dgate + F;
        FOR_VECS(f, left, F, {
            memory_ahead(gate + f);
            memory_ahead(up + f);
            memory_ahead(d + f);
            vec g = vec_in(gate + f, left), u = vec_in(up + f, left), dd = vec_in(d + f, left);
            vec s = sigmoid(g);
            vec_out(dgate + f, dd * u * s * (1.0f + g * (1.0f - s)), left);
            vec_out(dup + f, dd * g * s, left);
        });
    }
}
