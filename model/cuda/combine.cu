/* What comes back from the experts: the weighted sum of a row's K rows, and its gradients. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

/* The K rows are added in the order of the choice, before the residual. */
template <class real>
__global__ void combine_forward_kernel(real *y, const real *x, const real *rows, const int *at,
                                       const float *weight, int C, int K, bool whole)
{
    size_t t = blockIdx.x, row = t * (size_t)C;
    int c = tile_first();
    if (c >= C) return;
    floats sum = {};
    for (int j = 0; j < K; j++) {
        size_t i = t * (size_t)K + (size_t)j;
        floats v = load(rows + (size_t)at[i] * (size_t)C + c, whole, C - c);
        float w = weight[i];
#pragma unroll
        for (int k = 0; k < SPAN; k++) sum.at[k] = fmaf(w, v.at[k], sum.at[k]);
    }
    floats v = load(x + row + c, whole, C - c);
#pragma unroll
    for (int k = 0; k < SPAN; k++) v.at[k] += sum.at[k];
    store(y + row + c, v, whole, C - c);
}

template <class real>
void rows<real>::combine_forward(void *y, const void *x, const void *of, const int *at,
                                 const float *weight, int T, int C, int K)
{
    launch(combine_forward_kernel<real>, tiles(T, C), TILE, (real *)y, (const real *)x,
           (const real *)of, at, weight, C, K, spans_fit((size_t)C, y, x, of));
}

/* A block a choice; one pass for both gradients. A thread reads a span of the expert's row before
 * it writes there: drows may be rows. */
template <class real>
__global__ void __launch_bounds__(BLOCK)
    combine_backward_kernel(real *drows, float *dweight, const real *dy, const real *rows,
                            const int *at, const float *weight, int C, int K, bool whole)
{
    size_t i = blockIdx.x, from = i / (size_t)K * (size_t)C, to = (size_t)at[i] * (size_t)C;
    float w = weight[i], sum = 0;
    for (int c = (int)threadIdx.x * SPAN; c < C; c += BLOCK * SPAN) {
        floats d = load(dy + from + c, whole, C - c), v = load(rows + to + c, whole, C - c);
#pragma unroll
        for (int k = 0; k < SPAN; k++) {
            sum = fmaf(d.at[k], v.at[k], sum);
            d.at[k] *= w;
        }
        store(drows + to + c, d, whole, C - c);
    }
    sum = row_sum<BLOCK>(sum);
    if (threadIdx.x == 0) dweight[i] = sum;
}

template <class real>
void rows<real>::combine_backward(void *drows, float *dweight, const void *dy, const void *of,
                                  const int *at, const float *weight, int T, int C, int K)
{
    launch(combine_backward_kernel<real>, (unsigned)(T * K), BLOCK, (real *)drows, dweight,
           (const real *)dy, (const real *)of, at, weight, C, K,
           spans_fit((size_t)C, drows, dy, of));
}

template struct rows<float>;
template struct rows<bf16>;
