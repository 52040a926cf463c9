/* Operations on element after element: a span a thread. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

constexpr size_t BLOCK_SPANS = (size_t)BLOCK * SPAN;

/* The first element of this thread. */
__device__ __forceinline__ size_t first_element()
{
    return ((size_t)blockIdx.x * BLOCK + threadIdx.x) * SPAN;
}
/* How many of n elements are left from i on, SPAN at most. */
__device__ __forceinline__ int left_of(size_t n, size_t i)
{
    return n - i < SPAN ? (int)(n - i) : SPAN;
}

template <class real>
__global__ void add_kernel(real *y, const real *a, const real *b, size_t n, bool aligned)
{
    size_t i = first_element();
    if (i >= n) return;
    int left = left_of(n, i);
    bool whole = aligned && left == SPAN;
    floats x = load(a + i, whole, left), z = load(b + i, whole, left);
#pragma unroll
    for (int k = 0; k < SPAN; k++) x.at[k] += z.at[k];
    store(y + i, x, whole, left);
}

template <class real> void rows<real>::add(void *y, const void *a, const void *b, size_t n)
{
    launch(add_kernel<real>, pieces(n, BLOCK_SPANS), BLOCK, (real *)y, (const real *)a,
           (const real *)b, n, spans_fit(0, y, a, b));
}

template <class to, class from>
__global__ void convert_kernel(to *y, const from *x, size_t n, bool aligned)
{
    size_t i = first_element();
    if (i >= n) return;
    int left = left_of(n, i);
    bool whole = aligned && left == SPAN;
    store(y + i, load(x + i, whole, left), whole, left);
}

template <class real> void rows<real>::to_real(void *out, const float *in, size_t n)
{
    launch(convert_kernel<real, float>, pieces(n, BLOCK_SPANS), BLOCK, (real *)out, in, n,
           spans_fit(0, out, in));
}

template <class real> void rows<real>::to_float(float *out, const void *in, size_t n)
{
    launch(convert_kernel<float, real>, pieces(n, BLOCK_SPANS), BLOCK, out, (const real *)in, n,
           spans_fit(0, out, in));
}

/* --- SwiGLU: rows of gate columns, then up columns --- */

__device__ __forceinline__ float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

template <class real>
__global__ void swiglu_forward_kernel(real *y, const real *gu, int F, bool whole)
{
    int f = tile_first();
    if (f >= F) return;
    const real *row = gu + (size_t)blockIdx.x * 2 * (size_t)F;
    floats gate = load(row + f, whole, F - f), up = load(row + F + f, whole, F - f);
#pragma unroll
    for (int k = 0; k < SPAN; k++) up.at[k] *= gate.at[k] * sigmoid(gate.at[k]);
    store(y + (size_t)blockIdx.x * (size_t)F + f, up, whole, F - f);
}

template <class real> void rows<real>::swiglu_forward(void *y, const void *gu, int T, int F)
{
    launch(swiglu_forward_kernel<real>, tiles(T, F), TILE, (real *)y, (const real *)gu, F,
           spans_fit((size_t)F, y, gu));
}

/* d silu(g) = s (1 + g (1 - s)) with s = sigmoid(g). A thread reads what it writes over first: dgu
 * may be gu. */
template <class real>
__global__ void swiglu_backward_kernel(real *dgu, const real *dy, const real *gu, int F, bool whole)
{
    int f = tile_first();
    if (f >= F) return;
    size_t row = (size_t)blockIdx.x * 2 * (size_t)F;
    floats gate = load(gu + row + f, whole, F - f), up = load(gu + row + F + f, whole, F - f);
    floats d = load(dy + row / 2 + f, whole, F - f);
#pragma unroll
    for (int k = 0; k < SPAN; k++) {
        float g = gate.at[k], s = sigmoid(g);
        gate.at[k] = d.at[k] * up.at[k] * s * (1.0f + g * (1.0f - s));
        up.at[k] = d.at[k] * g * s;
    }
    store(dgu + row + f, gate, whole, F - f);
    store(dgu + row + F + f, up, whole, F - f);
}

template <class real>
void rows<real>::swiglu_backward(void *dgu, const void *dy, const void *gu, int T, int F)
{
    launch(swiglu_backward_kernel<real>, tiles(T, F), TILE, (real *)dgu, (const real *)dy,
           (const real *)gu, F, spans_fit((size_t)F, dgu, dy, gu));
}

template struct rows<float>;
template struct rows<bf16>;
