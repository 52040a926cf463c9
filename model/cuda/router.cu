/* The router of a layer of experts: probabilities, choices and their order, and the gradients of
 * all that. Sums go by the length of a row, of a sequence, or in the order of rows. */
#include "model/cuda/exact.cuh"
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

extern __shared__ unsigned char dynamic_shared[];

/* --- probabilities: a block a row, a warp an expert at a time --- */

template <class real>
__device__ __forceinline__ float row_dot(const real *x, const real *w, int C, bool whole)
{
    float sum = 0;
    for (int c = (int)threadIdx.x % WARP * SPAN; c < C; c += WARP * SPAN) {
        floats a = load(x + c, whole, C - c), b = load(w + c, whole, C - c);
#pragma unroll
        for (int k = 0; k < SPAN; k++) sum = fmaf(a.at[k], b.at[k], sum);
    }
    return warp_sum(sum);
}

/* The largest over the block; a NaN does not count here, but makes the sum one. */
__device__ __forceinline__ float block_most(float m)
{
    __shared__ float of_warp[BLOCK / WARP];
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2) m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, by));
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = m;
    __syncthreads();
    m = of_warp[0];
#pragma unroll
    for (int w = 1; w < BLOCK / WARP; w++) m = fmaxf(m, of_warp[w]);
    return m;
}

/* Logits stand where the probabilities will. */
template <class real>
__global__ void __launch_bounds__(BLOCK)
    router_forward_kernel(float *prob, const real *x, const real *w, int C, int E, bool whole)
{
    float *p = prob + (size_t)blockIdx.x * (size_t)E, most = -INFINITY, sum = 0;
    const real *row = x + (size_t)blockIdx.x * (size_t)C;
    for (int e = (int)threadIdx.x / WARP; e < E; e += BLOCK / WARP) {
        float z = row_dot(row, w + (size_t)e * (size_t)C, C, whole);
        if (threadIdx.x % WARP == 0) p[e] = z;
    }
    __syncthreads();
    for (int e = (int)threadIdx.x; e < E; e += BLOCK) most = fmaxf(most, p[e]);
    most = block_most(most);
    for (int e = (int)threadIdx.x; e < E; e += BLOCK) sum += expf(p[e] - most);
    sum = row_sum<BLOCK>(sum);
    for (int e = (int)threadIdx.x; e < E; e += BLOCK) p[e] = expf(p[e] - most) / sum;
}

template <class real>
void rows<real>::router_forward(float *prob, const void *x, const void *w, int T, int C, int E)
{
    launch(router_forward_kernel<real>, (unsigned)T, BLOCK, prob, (const real *)x, (const real *)w,
           C, E, spans_fit((size_t)C, x, w));
}

/* The scalar head: a warp a row, whose sum goes as a logit's. */
template <class real>
__global__ void __launch_bounds__(WARP)
    score_forward_kernel(float *score, const real *x, const real *w, int C, bool whole)
{
    float z = row_dot(x + (size_t)blockIdx.x * (size_t)C, w, C, whole);
    if (threadIdx.x == 0) score[blockIdx.x] = z;
}

template <class real>
void rows<real>::score_forward(float *score, const void *x, const void *w, int T, int C)
{
    launch(score_forward_kernel<real>, (unsigned)T, WARP, score, (const real *)x, (const real *)w,
           C, spans_fit((size_t)C, x, w));
}

/* --- choices --- */

__device__ __forceinline__ bool among(const int *list, int n, int x)
{
    bool found = false;
    for (int i = 0; i < n; i++) found = found || list[i] == x;
    return found;
}

/* A thread a row, the loops of the host: also a NaN is treated alike. */
__global__ static void router_select_kernel(float *weight, int *expert, const float *prob, int T,
                                            int E, int K, bool normed)
{
    size_t t = blockIdx.x * (size_t)BLOCK + threadIdx.x;
    if (t >= (size_t)T) return;
    const float *p = prob + t * (size_t)E;
    float *w = weight + t * (size_t)K, sum = 0;
    int *of = expert + t * (size_t)K;
    for (int j = 0; j < K; j++) {
        int best = -1;
        for (int e = 0; e < E; e++)
            if (!among(of, j, e) && (best < 0 || p[e] > p[best])) best = e;
        of[j] = best;
        w[j] = p[best];
        sum += p[best];
    }
    for (int j = 0; normed && j < K; j++) w[j] /= sum;
}

template <class real>
void rows<real>::router_select(float *weight, int *expert, const float *prob, int T, int E, int K,
                               bool normed)
{
    launch(router_select_kernel, pieces((size_t)T, BLOCK), BLOCK, weight, expert, prob, T, E, K,
           normed);
}

/* How many of a block's threads before this one, and in all, say yes. */
struct votes {
    int before, all;
};
__device__ __forceinline__ votes block_votes(bool yes)
{
    __shared__ int of_warp[BLOCK / WARP];
    unsigned lanes = __ballot_sync(ALL_LANES, yes), lane = threadIdx.x % WARP;
    __syncthreads(); /* whoever still reads the last ones */
    if (lane == 0) of_warp[threadIdx.x / WARP] = __popc(lanes);
    __syncthreads();
    votes v = {__popc(lanes & ((1u << lane) - 1)), 0};
    for (int w = 0; w < BLOCK / WARP; w++) {
        v.before += w < (int)threadIdx.x / WARP ? of_warp[w] : 0;
        v.all += of_warp[w];
    }
    return v;
}

/* A block an expert: it counts the choices of those before it, then walks along its own in order.
 */
__global__ static void __launch_bounds__(BLOCK)
    router_sort_kernel(int *at, int *start, const int *expert, int n)
{
    int e = (int)blockIdx.x, place = 0;
    for (int from = 0; from < n; from += BLOCK) {
        int i = from + (int)threadIdx.x;
        place += block_votes(i < n && expert[i] < e).all;
    }
    if (threadIdx.x == 0) start[e] = place;
    if (threadIdx.x == 0 && e == (int)gridDim.x - 1) start[e + 1] = n;
    for (int from = 0; from < n; from += BLOCK) {
        int i = from + (int)threadIdx.x;
        bool own = i < n && expert[i] == e;
        votes v = block_votes(own);
        if (own) at[i] = place + v.before;
        place += v.all;
    }
}

/* The host needs the bounds, to know how many rows go where: it waits. */
template <class real>
void rows<real>::router_sort(int *at, int *start, const int *expert, int n, int E)
{
    int *there = (int *)scratch_floats();
    INVARIANT((size_t)E < SCRATCH_FLOATS, "%d experts", E);
    launch(router_sort_kernel, (unsigned)E, BLOCK, at, there, expert, n);
    CUDA_OK(cudaMemcpyAsync(start, there, (size_t)(E + 1) * sizeof *start, cudaMemcpyDeviceToHost,
                            cuda_stream()));
    CUDA_OK(cudaStreamSynchronize(cuda_stream()));
}

/* --- balance: by sequence --- */

/* Of sequence s: its rows, and how often each expert was chosen in it, in shared memory. */
struct sequence {
    int from, to;
    const int *count; /* (E) */
};
__device__ __forceinline__ sequence sequence_count(const int *expert, segments seg, int s, int E,
                                                   int K)
{
    int *count = (int *)(void *)dynamic_shared;
    sequence q = {seg.start[s], seg.start[s + 1], count};
    for (int e = (int)threadIdx.x; e < E; e += BLOCK) count[e] = 0;
    __syncthreads();
    for (int i = q.from * K + (int)threadIdx.x; i < q.to * K; i += BLOCK)
        atomicAdd(&count[expert[i]], 1);
    __syncthreads();
    return q;
}

/* E / (K * rows of the sequence). */
__device__ __forceinline__ double choice_worth(const sequence &q, int E, int K)
{
    return (double)E / ((double)K * (q.to - q.from));
}

/* A block a sequence. */
__global__ static void __launch_bounds__(BLOCK)
    router_load_kernel(unsigned long long *chosen, exact *balance, const float *prob,
                       const int *expert, segments seg, int E, int K)
{
    sequence q = sequence_count(expert, seg, (int)blockIdx.x, E, K);
    double sum = 0;
    for (size_t i = (size_t)q.from * (size_t)E + threadIdx.x; i < (size_t)q.to * (size_t)E;
         i += BLOCK)
        sum += q.count[i % (size_t)E] * (double)prob[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) add_exact_atomically(balance, exact_of(sum * choice_worth(q, E, K)));
    for (int e = (int)threadIdx.x; e < E; e += BLOCK)
        atomicAdd(&chosen[e], (unsigned long long)q.count[e]);
}

template <class real>
void rows<real>::router_load(uint64_t *chosen, struct exact_sum *balance, int *count,
                             const float *prob, const int *expert, struct segments seg, int E,
                             int K)
{
    (void)count;
    launch_shared(router_load_kernel, (unsigned)seg.n, BLOCK, (size_t)E * sizeof(int),
                  (unsigned long long *)chosen, (exact *)balance, prob, expert, seg, E, K);
}

/* --- gradients --- */

/* A warp a row; blocks of a sequence share its rows. The equations are those of the host's row. */
__global__ static void __launch_bounds__(BLOCK)
    router_backward_kernel(float *prob, chosen of, float balance, segments seg, int E, int K,
                           bool normed)
{
    sequence q = sequence_count(of.expert, seg, (int)blockIdx.x, E, K);
    float worth = (float)((double)balance * choice_worth(q, E, K));
    int lane = (int)threadIdx.x % WARP, warps = BLOCK / WARP;
    int first = q.from + (int)blockIdx.y * warps + (int)threadIdx.x / WARP;
    for (int t = first; t < q.to; t += (int)gridDim.y * warps) {
        float *p = prob + (size_t)t * (size_t)E, chosen = 0, all = 0;
        size_t at = (size_t)t * (size_t)K;
        for (int j = 0; j < K; j++) chosen += of.weight[at + j] * of.dweight[at + j];
        for (int e = lane; e < E; e += WARP) all += p[e] * (worth * (float)q.count[e]);
        all = warp_sum(all);
        if (!normed) all += chosen;
        for (int e = lane; e < E; e += WARP) p[e] *= worth * (float)q.count[e] - all;
        __syncwarp();
        for (int j = lane; j < K; j += WARP)
            p[of.expert[at + j]] +=
                of.weight[at + j] * (of.dweight[at + j] - (normed ? chosen : 0));
    }
}

template <class real>
void rows<real>::router_backward(float *prob, const struct chosen *of, float balance, int *count,
                                 struct segments seg, int E, int K, bool normed)
{
    constexpr unsigned SHARED_BY = 16; /* blocks of a sequence */
    (void)count;
    launch_shared(router_backward_kernel, dim3((unsigned)seg.n, SHARED_BY), BLOCK,
                  (size_t)E * sizeof(int), prob, *of, balance, seg, E, K, normed);
}

/* The K rows, then the experts by number. */
template <class real>
__global__ void router_backward_input_kernel(real *dx, const real *drows, const int *at,
                                             const float *dlogits, const real *w, int C, int E,
                                             int K, bool whole)
{
    size_t t = blockIdx.x;
    int c = tile_first();
    if (c >= C) return;
    floats sum = {};
    for (int j = 0; j < K; j++) {
        size_t row = (size_t)at[t * (size_t)K + (size_t)j];
        floats v = load(drows + row * (size_t)C + c, whole, C - c);
#pragma unroll
        for (int k = 0; k < SPAN; k++) sum.at[k] += v.at[k];
    }
    for (int e = 0; e < E; e++) {
        floats v = load(w + (size_t)e * (size_t)C + c, whole, C - c);
        float d = dlogits[t * (size_t)E + (size_t)e];
#pragma unroll
        for (int k = 0; k < SPAN; k++) sum.at[k] = fmaf(d, v.at[k], sum.at[k]);
    }
    store(dx + t * (size_t)C + c, sum, whole, C - c);
}

template <class real>
void rows<real>::router_backward_input(void *dx, const void *drows, const int *at,
                                       const float *dlogits, const void *w, int T, int C, int E,
                                       int K)
{
    launch(router_backward_input_kernel<real>, tiles(T, C), TILE, (real *)dx, (const real *)drows,
           at, dlogits, (const real *)w, C, E, K, spans_fit((size_t)C, dx, drows, w));
}

/* Rows in order; blocks in x: experts. */
template <class real>
__global__ void router_backward_weight_kernel(float *dw, const float *dlogits, const real *x, int T,
                                              int C, int E, bool whole)
{
    size_t e = blockIdx.x;
    int c = tile_first();
    if (c >= C) return;
    floats sum = {};
    for (size_t t = 0; t < (size_t)T; t++) {
        floats v = load(x + t * (size_t)C + c, whole, C - c);
        float d = dlogits[t * (size_t)E + e];
#pragma unroll
        for (int k = 0; k < SPAN; k++) sum.at[k] = fmaf(d, v.at[k], sum.at[k]);
    }
    float *to = dw + e * (size_t)C + c;
    floats v = load(to, whole, C - c);
#pragma unroll
    for (int k = 0; k < SPAN; k++) v.at[k] += sum.at[k];
    store(to, v, whole, C - c);
}

template <class real>
void rows<real>::router_backward_weight(float *dw, const float *dlogits, const void *x, int T,
                                        int C, int E)
{
    launch(router_backward_weight_kernel<real>, tiles(E, C), TILE, dw, dlogits, (const real *)x, T,
           C, E, spans_fit((size_t)C, dw, x));
}

template struct rows<float>;
template struct rows<bf16>;
