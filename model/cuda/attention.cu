/* Causal grouped-query attention, forward: of packed sequences, and of rows whose keys and values
 * lie in the cache. Both are one text: a query meets its keys 32 at a time from position 0 on, by
 * the running softmax of FlashAttention (arXiv 2205.14135), so its bits depend on its own keys
 * alone, and are the same for training and decoding (P1, P2). */
#include "model/cuda/attention.cuh"
#include "model/cuda/rows.h"

heads heads_of(const struct dims *d)
{
    INVARIANT(d->D <= MOST_D, "heads of %d elements, %d at most", d->D, MOST_D);
    return {d->Hq, d->Hkv, d->D, dims_qkv(d), 1.0f / sqrtf((float)d->D)};
}

dim3 blocks_for(int heads)
{
    static int processors;
    if (processors == 0) {
        int device = 0;
        CUDA_OK(cudaGetDevice(&device));
        CUDA_OK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
    }
    constexpr int EACH = 4; /* blocks that a processor has room for, about */
    return dim3(pieces((size_t)(processors * EACH), (size_t)heads), (unsigned)heads);
}

/* --- one query --- */

/* The running softmax: the largest score, this lane's sum of e^(score - largest), and what that
 * weighs of the values. */
struct softmax {
    float most, sum;
    part out;
};

__device__ __forceinline__ float warp_most(float x)
{
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, by));
    return x;
}

/* Weights of the tile's first n keys; scores that are NaN stay so. */
__device__ __forceinline__ float weigh(softmax &s, float score, int n)
{
    bool sees = (int)threadIdx.x % WARP < n;
    float most = fmaxf(s.most, warp_most(sees ? score : -INFINITY));
    float rescale = s.most == most ? 1.0f : expf(s.most - most);
    float w = sees ? expf(score - most) : 0.0f;
    s.most = most;
    s.sum = fmaf(s.sum, rescale, w);
#pragma unroll
    for (int k = 0; k < MOST_EACH; k++) s.out.at[k] *= rescale;
    return w;
}

/* The block's warps, each with its query in m.own[0] and n keys, the most of all `end`; a warp
 * without a query has none. */
template <class real, class rows>
__device__ __forceinline__ softmax attend(const room<real> &m, const rows &keys, const rows &values,
                                          int n, int end, int D)
{
    softmax s = {-INFINITY, 0, {}};
    for (int from = 0; from < end; from += WARP) {
        int seen = n - from < WARP ? n - from : WARP;
        float weight = 0;
        tile_fill(m, keys, from, end, D);
        if (seen > 0) weight = weigh(s, tile_dot(m, m.own[0], D), seen);
        tile_fill(m, values, from, end, D);
        if (seen > 0) tile_add(s.out, m, weight, 0, seen, D);
    }
    return s;
}

/* --- packed sequences --- */

/* A warp a query; the queries of a block lie side by side, so that they share tiles. */
template <class real>
__global__ void __launch_bounds__(BLOCK)
    attention_forward_kernel(real *out, float *lse, const real *qkv, segments seg, heads h)
{
    int head = (int)blockIdx.y, kv = head / (h.Hq / h.Hkv), warp = (int)threadIdx.x / WARP;
    room<real> m = room_of_block<real>(h.D);
    for (int i = (int)blockIdx.x;; i += (int)gridDim.x) {
        run r = run_find(seg, i);
        if (!r.is_there) return;
        int query = r.first + warp, rows = r.end - r.start, last = r.first + WARPS;
        bool exists = query < rows;
        const real *first = qkv + (size_t)r.start * (size_t)h.step;
        const rows_at<real> keys = {first + (h.Hq + kv) * h.D, (size_t)h.step};
        const rows_at<real> values = {keys.at + h.Hkv * h.D, (size_t)h.step};
        if (exists)
            own_fill(m.own[0], first + (size_t)query * (size_t)h.step + head * h.D, h.D, h.scale);
        softmax s = attend(m, keys, values, exists ? query + 1 : 0, last < rows ? last : rows, h.D);
        if (!exists) continue;
        size_t at = (size_t)(r.start + query) * (size_t)h.Hq + (size_t)head;
        float sum = warp_sum(s.sum);
        part_store(out + at * (size_t)h.D, s.out, h.D, 1.0f / sum);
        if (threadIdx.x % WARP == 0) lse[at] = s.most + logf(sum);
    }
}

/* Backward: out . dout of each query and head. */
template <class real> size_t rows<real>::attention_scratch(const struct dims *d, int T)
{
    return (size_t)T * (size_t)d->Hq * sizeof(float);
}

template <class real>
void rows<real>::attention_forward(void *out, float *lse, const void *qkv, struct segments seg,
                                   const struct dims *d, void *scratch)
{
    (void)scratch;
    launch_shared(attention_forward_kernel<real>, blocks_for(d->Hq), BLOCK, room_bytes<real>(d->D),
                  (real *)out, lse, (const real *)qkv, seg, heads_of(d));
}

/* --- the cache: a block has, for each of KV_BLOCK positions, Hkv*D keys, then Hkv*D values --- */

template <class real> size_t rows<real>::kv_block_bytes(const struct dims *d)
{
    return (size_t)(KV_BLOCK * 2 * d->Hkv * d->D) * sizeof(real);
}

template <class real>
__global__ void kv_store_kernel(real *pool, size_t block_elements, const real *qkv, kv_rows at,
                                heads h)
{
    int t = (int)blockIdx.x, pos = at.pos[t], n = 2 * h.Hkv * h.D;
    real *to = pool + (size_t)at.table[t][pos / KV_BLOCK] * block_elements +
               (size_t)(pos % KV_BLOCK) * (size_t)n;
    const real *from = qkv + (size_t)t * (size_t)h.step + h.Hq * h.D;
    for (int i = (int)threadIdx.x; i < n; i += TILE) to[i] = from[i];
}

template <class real>
void rows<real>::kv_store(struct kv_layer *kv, const void *qkv, struct kv_rows at, int T,
                          const struct dims *d)
{
    launch(kv_store_kernel<real>, (unsigned)T, TILE, (real *)(void *)kv->pool,
           kv->block_bytes / sizeof(real), (const real *)qkv, at, heads_of(d));
}

/* A block a row and WARPS query heads, or fewer, of one key head: they share its tiles. */
template <class real>
__global__ void __launch_bounds__(BLOCK)
    attention_cached_kernel(real *out, const real *qkv, const real *pool, size_t block_elements,
                            kv_rows at, heads h)
{
    int t = (int)blockIdx.x, kv = (int)blockIdx.y, group = h.Hq / h.Hkv, n = at.pos[t] + 1;
    int of_group = (int)blockIdx.z * WARPS + (int)threadIdx.x / WARP;
    int head = kv * group + of_group;
    bool exists = of_group < group;
    room<real> m = room_of_block<real>(h.D);
    const cached_rows<real> keys = {pool + kv * h.D, (size_t)(2 * h.Hkv * h.D), block_elements,
                                    at.table[t]};
    cached_rows<real> values = keys;
    values.at += h.Hkv * h.D;
    if (exists) own_fill(m.own[0], qkv + (size_t)t * (size_t)h.step + head * h.D, h.D, h.scale);
    softmax s = attend(m, keys, values, exists ? n : 0, n, h.D);
    if (exists)
        part_store(out + ((size_t)t * (size_t)h.Hq + (size_t)head) * (size_t)h.D, s.out, h.D,
                   1.0f / warp_sum(s.sum));
}

template <class real>
void rows<real>::attention_cached(void *out, const void *qkv, const struct kv_layer *kv,
                                  struct kv_rows at, int T, const struct dims *d, void *scratch)
{
    int group = d->Hq / d->Hkv, warps = group < WARPS ? group : WARPS;
    (void)scratch;
    launch_shared(attention_cached_kernel<real>,
                  dim3((unsigned)T, (unsigned)d->Hkv, pieces((size_t)group, WARPS)), warps * WARP,
                  room_bytes<real>(d->D), (real *)out, (const real *)qkv,
                  (const real *)(const void *)kv->pool, kv->block_bytes / sizeof(real), at,
                  heads_of(d));
}

template struct rows<float>;
template struct rows<bf16>;
