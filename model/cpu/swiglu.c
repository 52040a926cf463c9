/* SwiGLU: y = silu(gate) * up, silu(g) = g / (1 + e^-g). */
#include "model/cpu/vec.h"

static inline vec get(const real *p, int left)
{
    return left == LANES ? vec_get(p) : vec_get_n(p, left, 0.0f);
}

static inline void put(real *p, vec v, int left)
{
    if (left == LANES)
        vec_put(p, v);
    else
        vec_put_n(p, v, left);
}

static inline vec sigmoid(vec x)
{
    return 1.0f / (1.0f + vec_exp(-x));
}

void OP(swiglu_forward)(void *y, const void *gu, int T, int F)
{
    for (int t = 0; t < T; t++) {
        const real *gate = (const real *)gu + (size_t)t * 2 * (size_t)F, *up = gate + F;
        real *out = (real *)y + (size_t)t * (size_t)F;
        FOR_VECS(f, left, F)
        {
            vec g = get(gate + f, left);
            put(out + f, g * sigmoid(g) * get(up + f, left), left);
        }
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
        FOR_VECS(f, left, F)
        {
            vec g = get(gate + f, left), u = get(up + f, left), dd = get(d + f, left);
            vec s = sigmoid(g);
            put(dgate + f, dd * u * s * (1.0f + g * (1.0f - s)), left);
            put(dup + f, dd * g * s, left);
        }
    }
}
