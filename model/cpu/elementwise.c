/* Operations on flat arrays: whole vectors, then what is left by the same formula. */
#include "model/cpu/vec.h"

void OP(add)(void *y, const void *a, const void *b, size_t n)
{
    real *out = y;
    const real *p = a, *q = b;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        memory_ahead(p + i);
        memory_ahead(q + i);
        memory_ahead(out + i);
        vec_put(out + i, vec_get(p + i) + vec_get(q + i));
    }
    for (; i < n; i++) out[i] = real_put(real_get(p[i]) + real_get(q[i]));
}

void OP(to_real)(void *out, const float *in, size_t n)
{
    real *o = out;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        memory_ahead(in + i);
        memory_ahead(o + i);
        vec_put(o + i, vec_load(in + i));
    }
    for (; i < n; i++) o[i] = real_put(in[i]);
}

void OP(to_float)(float *out, const void *in, size_t n)
{
    const real *p = in;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        memory_ahead(p + i);
        memory_ahead(out + i);
        vec_store(out + i, vec_get(p + i));
    }
    for (; i < n; i++) out[i] = real_get(p[i]);
}
