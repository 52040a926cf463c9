/* Operations on flat arrays: plain loops that the compiler vectorises. */
#include "model/cpu/real.h"

void OP(add)(void *y, const void *a, const void *b, size_t n)
{
    real *out = y;
    const real *p = a, *q = b;
    for (size_t i = 0; i < n; i++) out[i] = real_put(real_get(p[i]) + real_get(q[i]));
}

void OP(to_real)(void *out, const float *in, size_t n)
{
    real *restrict o = out;
    for (size_t i = 0; i < n; i++) o[i] = real_put(in[i]);
}

void OP(to_float)(float *out, const void *in, size_t n)
{
    const real *restrict p = in;
    for (size_t i = 0; i < n; i++) out[i] = real_get(p[i]);
}
