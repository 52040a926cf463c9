/* Rotary embedding, in place: element i of a head is turned with element i + D/2. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

/* A thread turns SPAN pairs of one head of one row. */
template <class real>
__global__ void rope_kernel(real *x, int stride, int heads, int D, const int *pos,
                            const float *cos_sin, float sign, bool whole)
{
    int half = D / 2, spans = (half + SPAN - 1) / SPAN;
    int n = (int)(blockIdx.y * TILE + threadIdx.x), h = n / spans, i = n % spans * SPAN;
    if (h >= heads) return;
    real *v = x + (size_t)blockIdx.x * (size_t)stride + (size_t)h * (size_t)D + i;
    const float *turn = cos_sin + (size_t)pos[blockIdx.x] * (size_t)D + i;
    int left = half - i;
    floats a = load(v, whole, left), b = load(v + half, whole, left);
    floats c = load(turn, whole, left), s = load(turn + half, whole, left);
#pragma unroll
    for (int k = 0; k < SPAN; k++) {
        float p = a.at[k], q = b.at[k], sine = sign * s.at[k];
        a.at[k] = p * c.at[k] - q * sine;
        b.at[k] = q * c.at[k] + p * sine;
    }
    store(v, a, whole, left);
    store(v + half, b, whole, left);
}

template <class real>
void rows<real>::rope(void *x, int T, int stride, int heads, int D, const int *pos,
                      const float *cos_sin, bool inverse)
{
    size_t spans = pieces((size_t)(D / 2), SPAN);
    launch(rope_kernel<real>, dim3((unsigned)T, pieces((size_t)heads * spans, TILE)), TILE,
           (real *)x, stride, heads, D, pos, cos_sin, inverse ? -1.0f : 1.0f,
           spans_fit((size_t)(D / 2), x, cos_sin) && stride % SPAN == 0);
}

template struct rows<float>;
template struct rows<bf16>;
