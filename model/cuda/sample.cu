/* What drawing a token asks of a whole row of logits. Sums are in double and good to 1e-11 of
 * themselves, in an order that follows from the length of the row; who uses them allows for what
 * another order would have given (model/sampling.c). */
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

extern "C" {
#include "model/sampling.h"
}

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

/* --- whole draws --- */

constexpr int MOST_PIECES = 1024;

/* The largest of the row that is a number, and the lowest place of it; V where there is none. */
struct largest {
    float most;
    int at;
};
/* For all threads of a block, once in a kernel: a second call would write to what slower threads
 * still read. */
__device__ __forceinline__ largest row_largest(const float *z, int V)
{
    __shared__ float most_of[BLOCK / WARP];
    __shared__ int first;
    float m = -INFINITY;
    for (int v = (int)threadIdx.x; v < V; v += BLOCK) m = fmaxf(m, z[v]);
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2) m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, by));
    if (threadIdx.x % WARP == 0) most_of[threadIdx.x / WARP] = m;
    if (threadIdx.x == 0) first = V;
    __syncthreads();
    for (int w = 0; w < BLOCK / WARP; w++) m = fmaxf(m, most_of[w]);
    for (int v = (int)threadIdx.x; v < V; v += BLOCK)
        if (z[v] == m && m > -INFINITY) atomicMin(&first, v);
    __syncthreads();
    return {m, first};
}

__device__ __forceinline__ double weight_at(float z, float most, double inv_temp)
{
    double x = ((double)z - (double)most) * inv_temp;
    return x >= -700 ? exp(x) : 0; /* a NaN weighs nothing */
}

/* As draw_any of model/sampling_large.c: the piece in which the sum is reached, then token by
 * token. */
__device__ __forceinline__ int inverted(const double *piece, int pieces, int each, const float *z,
                                        int V, float most, double inv_temp, double u)
{
    double total = 0, reached = 0;
    int p = 0;
    for (int i = 0; i < pieces; i++) total += piece[i];
    double goal = u * total, doubt = (3e-11 + 4e-16 * V) * total;
    while (p < pieces - 1 && reached + piece[p] <= goal) reached += piece[p++];
    for (int v = p * each; v < V; v++) {
        double w = weight_at(z[v], most, inv_temp);
        if (w <= 0) continue;
        if (reached + w > goal)
            return reached < goal - doubt && reached + w > goal + doubt ? v : -1;
        reached += w;
    }
    return -1;
}

/* A block a row; a warp a piece of it. */
__global__ static void __launch_bounds__(BLOCK)
    sample_rows_kernel(int *token, const float *logits, const double *u, double temperature,
                       int step, int V, int each)
{
    __shared__ double piece[MOST_PIECES];
    const float *z = logits + (size_t)blockIdx.x * (size_t)step;
    largest l = row_largest(z, V);
    int pieces = (V + each - 1) / each, lane = (int)threadIdx.x % WARP;
    double inv_temp = temperature > 0 ? 1 / temperature : 0;
    bool plain = temperature > 0 && l.at < V && fabsf(l.most) < INFINITY;
    for (int p = (int)threadIdx.x / WARP; plain && p < pieces; p += BLOCK / WARP) {
        int end = V - p * each < each ? V : (p + 1) * each;
        double sum = 0;
        for (int v = p * each + lane; v < end; v += WARP) sum += weight_at(z[v], l.most, inv_temp);
#pragma unroll
        for (int by = WARP / 2; by > 0; by /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, by);
        if (lane == 0) piece[p] = sum;
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    token[blockIdx.x] = plain ? inverted(piece, pieces, each, z, V, l.most, inv_temp, u[blockIdx.x])
                        : temperature <= 0 && l.at < V ? l.at
                                                       : -1;
}

/* With truncation, or a temperature whose inverse is not finite, the host draws. */
void sample_rows(int *token, const float *z, const double *u, const struct sampling *s, int T,
                 int V, int n)
{
    bool cut = s->temperature > 0 && ((s->top_k > 0 && s->top_k < n) || s->top_p < 1 ||
                                      !(1 / (double)s->temperature < INFINITY));
    int each = (int)pieces(pieces((size_t)n, MOST_PIECES), WARP) * WARP;
    if (cut)
        CUDA_OK(cudaMemsetAsync(token, 0xff, (size_t)T * sizeof *token, cuda_stream()));
    else
        launch(sample_rows_kernel, (unsigned)T, BLOCK, token, z, u, (double)s->temperature, V, n,
               each);
}

template struct rows<float>;
template struct rows<bf16>;
