/* The head's end: log-probability of the target and entropy of softmax(logits / temperature), their
 * gradient, and the same in steps for a rank that has a share of the vocabulary. A block works on a
 * row; a row of logits is read once to be summed, and once more for its gradient. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

/* Below any logit that counts; -infinity, minus itself, would be NaN. */
constexpr float LEAST = -1e30f;

/* With x = logit * inv_temp: the largest x so far, the sums of e^(x - most) and of e^(x - most)
 * (x - most). */
struct running {
    float most, sum, weighted;
};

/* x - most, for exp: -infinity becomes a number whose exp is 0, a NaN stays one. */
__device__ __forceinline__ float less(float x, float most)
{
    float d = x - most;
    return d < LEAST ? LEAST : d;
}

/* The same sums for a larger `most`. */
__device__ __forceinline__ running moved(running r, float most)
{
    float d = r.most - most, e = expf(d);
    return {most, e * r.sum, e * (r.weighted + d * r.sum)};
}

__device__ __forceinline__ running joined(running a, running b)
{
    float most = a.most > b.most ? a.most : b.most;
    a = moved(a, most);
    b = moved(b, most);
    return {most, a.sum + b.sum, a.weighted + b.weighted};
}

__device__ __forceinline__ void add_span(running &r, const floats &z)
{
    float most = r.most;
#pragma unroll
    for (int k = 0; k < SPAN; k++) most = z.at[k] > most ? z.at[k] : most;
    if (most > r.most) r = moved(r, most);
#pragma unroll
    for (int k = 0; k < SPAN; k++) {
        float d = less(z.at[k], r.most), e = expf(d);
        r.sum += e;
        r.weighted = fmaf(e, d, r.weighted);
    }
}

/* Elements that do not exist are -infinity. */
__device__ __forceinline__ floats scaled(const float *z, float inv_temp, bool whole, int left)
{
    floats f = load(z, whole, left, -INFINITY);
#pragma unroll
    for (int k = 0; k < SPAN; k++) f.at[k] *= inv_temp;
    return f;
}

/* What each lane has, joined: the same for all threads of the block. */
__device__ __forceinline__ running block_joined(running r)
{
    __shared__ running of_warp[BLOCK / WARP];
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2) {
        running other = {__shfl_xor_sync(ALL_LANES, r.most, by),
                         __shfl_xor_sync(ALL_LANES, r.sum, by),
                         __shfl_xor_sync(ALL_LANES, r.weighted, by)};
        r = joined(r, other);
    }
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = r;
    __syncthreads();
    r = of_warp[0];
    for (int w = 1; w < BLOCK / WARP; w++) r = joined(r, of_warp[w]);
    return r;
}

__device__ __forceinline__ running row_running(const float *z, float inv_temp, int V, bool whole)
{
    running r = {LEAST, 0, 0};
    for (int v = (int)threadIdx.x * SPAN; v < V; v += BLOCK * SPAN)
        add_span(r, scaled(z + v, inv_temp, whole, V - v));
    return block_joined(r);
}

/* The largest and the sum of row t of T, where somebody wants them. */
__device__ __forceinline__ void range_put(float *range, int t, int T, const running &r)
{
    if (!range || threadIdx.x > 0) return;
    range[t] = r.most;
    range[T + t] = r.sum;
}

/* Rows without a target cost nothing. */
__global__ static void __launch_bounds__(BLOCK)
    logprob_forward_kernel(float *logp, float *entropy, float *range, const float *logits,
                           const int *target, float inv_temp, int V, bool whole)
{
    int t = (int)blockIdx.x, wanted = target[t];
    float lp = 0, H = 0;
    if (wanted >= 0) {
        const float *z = logits + (size_t)t * (size_t)V;
        running r = row_running(z, inv_temp, V, whole);
        float log_sum = logf(r.sum);
        lp = z[wanted] * inv_temp - r.most - log_sum;
        H = log_sum - r.weighted / r.sum;
        range_put(range, t, (int)gridDim.x, r);
    }
    if (threadIdx.x == 0) {
        logp[t] = lp;
        entropy[t] = H;
    }
}

template <class real>
void rows<real>::logprob_forward(float *logp, float *entropy, float *range, const float *logits,
                                 const int *target, float inv_temp, int T, int V)
{
    launch(logprob_forward_kernel, (unsigned)T, BLOCK, logp, entropy, range, logits, target,
           inv_temp, V, spans_fit((size_t)V, logits));
}

/* --- gradients --- */

__global__ static void __launch_bounds__(BLOCK)
    range_kernel(float *range, const float *logits, const int *target, float inv_temp, int V,
                 bool whole)
{
    int t = (int)blockIdx.x;
    if (target[t] < 0) return;
    range_put(range, t, (int)gridDim.x,
              row_running(logits + (size_t)t * (size_t)V, inv_temp, V, whole));
}

/* What the gradient of an element needs, beside its logit. */
struct gradient {
    const float *dlogp, *sum, *most;
    const int *target;
    int first, V; /* this rank's share of the vocabulary */
    float inv_temp;
};

__device__ __forceinline__ float gradient_of(const gradient &g, float z, size_t t, int v)
{
    int wanted = g.target[t];
    if (wanted < 0) return 0;
    float scale = g.dlogp[t] * g.inv_temp;
    float d = expf(less(z * g.inv_temp, g.most[t])) * (-scale / g.sum[t]);
    return v == wanted - g.first ? d + scale : d;
}

/* The elements [from, to) of all rows, seen as one array. A block has read its elements before it
 * writes any. */
template <class real>
__device__ __forceinline__ void gradient_span(real *dlogits, const float *logits, const gradient &g,
                                              size_t i, size_t to, bool aligned, bool in_place)
{
    int left = i >= to ? 0 : to - i < SPAN ? (int)(to - i) : SPAN;
    bool whole = aligned && left == SPAN;
    floats z = load(logits + i, whole, left);
    if (in_place) __syncthreads();
    size_t t = i / (size_t)g.V;
    int v = (int)(i - t * (size_t)g.V);
#pragma unroll
    for (int k = 0; k < SPAN; k++) {
        if (k < left) z.at[k] = gradient_of(g, z.at[k], t, v);
        if (++v == g.V) v = 0, t++;
    }
    store(dlogits + i, z, whole, left);
}

template <class real>
__global__ void __launch_bounds__(BLOCK)
    gradient_kernel(real *dlogits, const float *logits, gradient g, size_t from, size_t to,
                    bool aligned)
{
    size_t i = from + ((size_t)blockIdx.x * BLOCK + threadIdx.x) * SPAN;
    gradient_span(dlogits, logits, g, i, to, aligned, from == 0);
}

/* dlogits may be logits, of twice its width: elements [a, 2a) are then written over logits that
 * stood in [a/2, a). So each launch does as many elements as are done already, and finds its logits
 * untouched; the first is one block, which reads before it writes. */
template <class real>
static void post_gradient(real *dlogits, const float *logits, gradient g, int T)
{
    constexpr size_t FIRST = (size_t)BLOCK * SPAN;
    size_t n = (size_t)T * (size_t)g.V;
    bool over = sizeof(real) < sizeof(float) && (const void *)dlogits == (const void *)logits;
    bool aligned = spans_fit(0, dlogits, logits);
    for (size_t from = 0, to; from < n; from = to) {
        to = !over ? n : from == 0 ? FIRST : 2 * from;
        if (to > n) to = n;
        launch(gradient_kernel<real>, pieces(to - from, FIRST), BLOCK, dlogits, logits, g, from, to,
               aligned);
    }
}

/* Without a range it is formed again: the same bits. */
template <class real>
void rows<real>::logprob_backward(void *dlogits, const float *dlogp, const float *range,
                                  const float *logits, const int *target, float inv_temp, int T,
                                  int V)
{
    int most_rows = (int)(SCRATCH_FLOATS / 2);
    if (!range) {
        INVARIANT(T <= most_rows, "%d rows of logits in a block, %d at most", T, most_rows);
        launch(range_kernel, (unsigned)T, BLOCK, scratch_floats(), logits, target, inv_temp, V,
               spans_fit((size_t)V, logits));
        range = scratch_floats();
    }
    post_gradient((real *)dlogits, logits, {dlogp, range + T, range, target, 0, V, inv_temp}, T);
}

template <class real>
void rows<real>::logprob_share_backward(void *dlogits, const float *dlogp, const float *sum_exp,
                                        const float *most, const float *logits, const int *target,
                                        int first, float inv_temp, int T, int V)
{
    post_gradient((real *)dlogits, logits, {dlogp, sum_exp, most, target, first, V, inv_temp}, T);
}

/* --- for a share of the vocabulary --- */

/* A NaN does not count, as on the host. */
__global__ static void __launch_bounds__(BLOCK)
    most_kernel(float *most, const float *logits, float inv_temp, int V, bool whole)
{
    __shared__ float of_warp[BLOCK / WARP];
    const float *z = logits + (size_t)blockIdx.x * (size_t)V;
    float m = -INFINITY;
    for (int v = (int)threadIdx.x * SPAN; v < V; v += BLOCK * SPAN) {
        floats f = scaled(z + v, inv_temp, whole, V - v);
#pragma unroll
        for (int k = 0; k < SPAN; k++) m = fmaxf(m, f.at[k]);
    }
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2) m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, by));
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = m;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int w = 1; w < BLOCK / WARP; w++) m = fmaxf(m, of_warp[w]);
    most[blockIdx.x] = m;
}

template <class real>
void rows<real>::logprob_most(float *most, const float *logits, float inv_temp, int T, int V)
{
    launch(most_kernel, (unsigned)T, BLOCK, most, logits, inv_temp, V,
           spans_fit((size_t)V, logits));
}

/* The largest of all ranks is known: nothing is rescaled. */
__global__ static void __launch_bounds__(BLOCK)
    sums_kernel(float *sums, const float *most, const float *logits, const int *target, int first,
                float inv_temp, int T, int V, bool whole)
{
    int t = (int)blockIdx.x, own = target[t] - first;
    const float *z = logits + (size_t)t * (size_t)V;
    float m = most[t], sum = 0, weighted = 0;
    for (int v = (int)threadIdx.x * SPAN; v < V; v += BLOCK * SPAN) {
        floats f = scaled(z + v, inv_temp, whole, V - v);
#pragma unroll
        for (int k = 0; k < SPAN; k++) {
            float d = less(f.at[k], m), e = expf(d);
            sum += e;
            weighted = fmaf(e, d, weighted);
        }
    }
    sum = row_sum<BLOCK>(sum);
    weighted = row_sum<BLOCK>(weighted);
    if (threadIdx.x > 0) return;
    sums[t] = sum;
    sums[T + t] = weighted;
    sums[2 * T + t] = own >= 0 && own < V ? z[own] * inv_temp - m : 0;
}

template <class real>
void rows<real>::logprob_sums(float *sums, const float *most, const float *logits,
                              const int *target, int first, float inv_temp, int T, int V)
{
    launch(sums_kernel, (unsigned)T, BLOCK, sums, most, logits, target, first, inv_temp, T, V,
           spans_fit((size_t)V, logits));
}

__global__ static void join_kernel(float *logp, float *entropy, const float *sums,
                                   const int *target, int T)
{
    int t = (int)(blockIdx.x * BLOCK + threadIdx.x);
    if (t >= T) return;
    float log_sum = logf(sums[t]), mean = sums[T + t] / sums[t];
    logp[t] = target[t] < 0 ? 0 : sums[2 * T + t] - log_sum;
    entropy[t] = target[t] < 0 ? 0 : log_sum - mean;
}

template <class real>
void rows<real>::logprob_join(float *logp, float *entropy, const float *sums, const int *target,
                              int T)
{
    launch(join_kernel, pieces((size_t)T, BLOCK), BLOCK, logp, entropy, sums, target, T);
}

template struct rows<float>;
template struct rows<bf16>;
