/* What drawing a token asks of a whole row of logits. Sums are in double and good to 1e-11 of
 * themselves, in an order that follows from the length of the row; who uses them allows for what
 * another order would have given (model/sampling.c). */
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

/* A warp a group; a NaN does not count. */
__global__ static void sample_largest_kernel(float *most, const float *z, int V, int group)
{
    int g = (int)(blockIdx.x * (BLOCK / WARP) + threadIdx.x / WARP);
    if ((long)g * group >= V) return;
    int end = V - g * group < group ? V : (g + 1) * group;
    float m = -INFINITY;
    for (int v = g * group + (int)threadIdx.x % WARP; v < end; v += WARP) m = fmaxf(m, z[v]);
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2) m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, by));
    if (threadIdx.x % WARP == 0) most[g] = m;
}

template <class real> void rows<real>::sample_largest(float *most, const float *z, int V, int group)
{
    launch(sample_largest_kernel, pieces(pieces((size_t)V, (size_t)group), BLOCK / WARP), BLOCK,
           most, z, V, group);
}

__device__ __forceinline__ double block_sum(double x)
{
    __shared__ double of_thread[BLOCK];
    of_thread[threadIdx.x] = x;
    __syncthreads();
    for (int half = BLOCK / 2; half > 0; half /= 2) {
        if ((int)threadIdx.x < half) of_thread[threadIdx.x] += of_thread[threadIdx.x + half];
        __syncthreads();
    }
    return of_thread[0];
}

/* A block a piece. */
__global__ static void __launch_bounds__(BLOCK)
    sample_weights_kernel(double *sum, double *weight, const float *z, float most, double inv_temp,
                          int V, int piece)
{
    int from = (int)blockIdx.x * piece, end = V - from < piece ? V : from + piece;
    double all = 0;
    for (int v = from + (int)threadIdx.x; v < end; v += BLOCK) {
        double x = ((double)z[v] - (double)most) * inv_temp, e = x >= -700 ? exp(x) : 0;
        all += e;
        if (weight) weight[v] = e;
    }
    all = block_sum(all);
    if (threadIdx.x == 0) sum[blockIdx.x] = all;
}

template <class real>
void rows<real>::sample_weights(double *sum, double *weight, const float *z, float most,
                                double inv_temp, int V, int piece)
{
    launch(sample_weights_kernel, pieces((size_t)V, (size_t)piece), BLOCK, sum, weight, z, most,
           inv_temp, V, piece);
}

__global__ static void __launch_bounds__(BLOCK)
    sample_sum_kernel(double *sum, const double *weight, const float *z, float from, int n)
{
    double all = 0;
    for (int v = (int)threadIdx.x; v < n; v += BLOCK) all += z[v] >= from ? weight[v] : 0;
    all = block_sum(all);
    if (threadIdx.x == 0) *sum = all;
}

/* The host wants the number: it waits. */
template <class real>
double rows<real>::sample_sum(const double *weight, const float *z, float from, int n)
{
    double sum, *there = (double *)(void *)scratch_floats();
    launch(sample_sum_kernel, 1, BLOCK, there, weight, z, from, n);
    CUDA_OK(cudaMemcpyAsync(&sum, there, sizeof sum, cudaMemcpyDeviceToHost, cuda_stream()));
    CUDA_OK(cudaStreamSynchronize(cuda_stream()));
    return sum;
}

template struct rows<float>;
template struct rows<bf16>;
