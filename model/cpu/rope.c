/* Rotary embedding, half-split: element i turns with i + D/2. */
#include "model/cpu/vec.h"

/* The rest behind the last whole vector has the same formula, so that D need not be a multiple of
 * LANES. */
static void turn(real *v, const float *cosine, const float *sine, float sign, int half)
{
    int i = 0;
    for (; i + LANES <= half; i += LANES) {
        memory_ahead(v + i);
        memory_ahead(v + half + i);
        vec a = vec_get(v + i), b = vec_get(v + half + i);
        vec c = vec_load(cosine + i), s = vec_load(sine + i) * sign;
        vec_put(v + i, a * c - b * s);
        vec_put(v + half + i, b * c + a * s);
    }
    for (; i < half; i++) {
        float a = real_get(v[i]), b = real_get(v[half + i]), c = cosine[i], s = sine[i] * sign;
        v[i] = real_put(a * c - b * s);
        v[half + i] = real_put(b * c + a * s);
    }
}

void OP(rope)(void *x, int T, int stride, int heads, int D, const int *pos, const float *cos_sin,
              bool inverse)
{
    float sign = inverse ? -1.0f : 1.0f;
    for (int t = 0; t < T; t++) {
        const float *cosine = cos_sin + (size_t)pos[t] * (size_t)D;
        real *row = (real *)x + (size_t)t * (size_t)stride;
        for (int h = 0; h < heads; h++)
            turn(row + (size_t)h * (size_t)D, cosine, cosine + D / 2, sign, D / 2);
    }
}
