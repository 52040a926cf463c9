/* Gradients of attention.cu. Probabilities are formed again from the scores and lse; with delta =
 * out . dout,  dP = dout . V,  dS = P (dP - delta):  dq = dS K,  dK = dS^T q,  dV = P^T dout
 * (FlashAttention, algorithm 4). Nobody adds to what another writes: a warp has a query, and then
 * another one a key, whose query heads of the group and queries come in their order. */
#include "model/cuda/attention.cuh"
#include "model/cuda/rows.h"

/* Blocks of a processor: with more of them the compiler would spill registers. */
constexpr int AT_ONCE = 2;

/* What a call works on. */
template <class real> struct backward {
    real *dqkv;
    const real *dout, *qkv, *out;
    const float *lse;
    float *delta;
    segments seg;
    heads h;
};

/* The rows of a sequence as the gradients see them. */
template <class real> struct sequence {
    size_t first, step, out_step; /* row; elements from row to row */
    const real *qkv, *dout, *out;
};
template <class real>
__device__ __forceinline__ sequence<real> sequence_of(const backward<real> &b, const run &r)
{
    size_t first = (size_t)r.start, step = (size_t)b.h.step, out = (size_t)(b.h.Hq * b.h.D);
    return {first, step, out, b.qkv + first * step, b.dout + first * out, b.out + first * out};
}

/* P and dS of a lane's score; 0 where there is nothing to be seen. */
struct weights {
    float P, dS;
};
__device__ __forceinline__ weights weights_of(bool sees, float score, float lse, float dP,
                                              float delta)
{
    float P = sees ? expf(score - lse) : 0.0f;
    return {P, sees ? P * (dP - delta) : 0.0f};
}

/* delta = out . dout of the warp's query. */
template <class real>
__device__ __forceinline__ float delta_of(const real *out, const real *dout, int D)
{
    float sum = 0;
    for (int d = (int)threadIdx.x % WARP; d < D; d += WARP)
        sum = fmaf(get(out[d]), get(dout[d]), sum);
    return warp_sum(sum);
}

/* A warp a query: dq, and delta for those who have keys. */
template <class real>
__global__ void __launch_bounds__(BLOCK, AT_ONCE) query_gradient_kernel(backward<real> b)
{
    const heads &h = b.h;
    int head = (int)blockIdx.y, kv = head / (h.Hq / h.Hkv), lane = (int)threadIdx.x % WARP;
    room<real> m = room_of_block<real>(h.D);
    for (int i = (int)blockIdx.x;; i += (int)gridDim.x) {
        run r = run_find(b.seg, i);
        if (!r.is_there) return;
        sequence<real> s = sequence_of(b, r);
        int query = r.first + (int)threadIdx.x / WARP, n = r.end - r.start, last = r.first + WARPS;
        int end = last < n ? last : n, sees = query < n ? query + 1 : 0;
        size_t at = (s.first + (size_t)query) * (size_t)h.Hq + (size_t)head;
        size_t in_out = (size_t)query * s.out_step + (size_t)(head * h.D);
        const rows_at<real> keys = {s.qkv + (h.Hq + kv) * h.D, s.step};
        const rows_at<real> values = {keys.at + h.Hkv * h.D, s.step};
        float delta = 0, lse = 0;
        part dq = {};
        if (sees > 0) {
            own_fill(m.own[0], s.qkv + (size_t)query * s.step + head * h.D, h.D, h.scale);
            own_fill(m.own[1], s.dout + in_out, h.D, 1.0f);
            delta = delta_of(s.out + in_out, s.dout + in_out, h.D);
            lse = b.lse[at];
            if (lane == 0) b.delta[at] = delta;
        }
        for (int from = 0; from < end; from += WARP) {
            int seen = sees - from < WARP ? sees - from : WARP;
            tile_fill(m, values, from, end, h.D);
            float dP = seen > 0 ? tile_dot(m, m.own[1], h.D) : 0;
            tile_fill(m, keys, from, end, h.D);
            if (seen <= 0) continue;
            float score = tile_dot(m, m.own[0], h.D);
            tile_add(dq, m, weights_of(lane < seen, score, lse, dP, delta).dS, 0, seen, h.D);
        }
        if (sees > 0)
            part_store(b.dqkv + (s.first + (size_t)query) * s.step + head * h.D, dq, h.D, h.scale);
    }
}

/* A warp a key: its dK and dV, over the query heads of its group in order, and of each over the
 * queries from its own position on, 32 at a time counted from the sequence's first. */
template <class real>
__global__ void __launch_bounds__(BLOCK, AT_ONCE) key_gradient_kernel(backward<real> b)
{
    const heads &h = b.h;
    int kv = (int)blockIdx.y, group = h.Hq / h.Hkv, lane = (int)threadIdx.x % WARP;
    room<real> m = room_of_block<real>(h.D);
    for (int i = (int)blockIdx.x;; i += (int)gridDim.x) {
        run r = run_find(b.seg, i);
        if (!r.is_there) return;
        sequence<real> s = sequence_of(b, r);
        int key = r.first + (int)threadIdx.x / WARP, n = r.end - r.start;
        size_t in_row = (size_t)((h.Hq + kv) * h.D), values = (size_t)(h.Hkv * h.D);
        part dk = {}, dv = {};
        if (key < n) {
            own_fill(m.own[0], s.qkv + (size_t)key * s.step + in_row, h.D, h.scale);
            own_fill(m.own[1], s.qkv + (size_t)key * s.step + in_row + values, h.D, 1.0f);
        }
        for (int head = kv * group; head < (kv + 1) * group; head++) {
            const rows_at<real> queries = {s.qkv + head * h.D, s.step};
            const rows_at<real> douts = {s.dout + head * h.D, s.out_step};
            for (int from = r.first / WARP * WARP; from < n; from += WARP) {
                int count = n - from < WARP ? n - from : WARP, first = key - from;
                bool any = key < n && first < count;
                bool sees = any && lane >= first && lane < count;
                size_t at = (s.first + (size_t)(from + lane)) * (size_t)h.Hq + (size_t)head;
                float lse = sees ? b.lse[at] : 0, delta = sees ? b.delta[at] : 0;
                int begin = first > 0 ? first : 0;
                tile_fill(m, queries, from, n, h.D);
                float score = any ? tile_dot(m, m.own[0], h.D) : 0;
                tile_fill(m, douts, from, n, h.D);
                float dP = any ? tile_dot(m, m.own[1], h.D) : 0;
                weights w = weights_of(sees, score, lse, dP, delta);
                if (any) tile_add(dv, m, w.P, begin, count, h.D);
                tile_fill(m, queries, from, n, h.D);
                if (any) tile_add(dk, m, w.dS, begin, count, h.D);
            }
        }
        if (key >= n) continue;
        real *to = b.dqkv + (s.first + (size_t)key) * s.step + in_row;
        part_store(to, dk, h.D, h.scale);
        part_store(to + values, dv, h.D, 1.0f);
    }
}

template <class real>
void rows<real>::attention_backward(void *dqkv, const void *dout, const void *qkv, const void *out,
                                    const float *lse, struct segments seg, const struct dims *d,
                                    void *scratch)
{
    const backward<real> b = {(real *)dqkv,
                              (const real *)dout,
                              (const real *)qkv,
                              (const real *)out,
                              lse,
                              (float *)scratch,
                              seg,
                              heads_of(d)};
    size_t shared = room_bytes<real>(d->D);
    launch_shared(query_gradient_kernel<real>, blocks_for(d->Hq), BLOCK, shared, b);
    launch_shared(key_gradient_kernel<real>, blocks_for(d->Hkv), BLOCK, shared, b);
}

template struct rows<float>;
template struct rows<bf16>;
