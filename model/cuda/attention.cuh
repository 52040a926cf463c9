/* What attention forward and backward share: where keys are, tiles of rows in shared memory, and
 * which queries a block has. A warp works on one query (backward, for dK and dV: on one key); the
 * lanes take 32 keys (queries) at a time for the scores, then the elements of a head for what they
 * weigh. Rows of a tile are real, one more word apart than they are long, so that 32 lanes that
 * read a column each meet another bank. */
#ifndef DUET_MODEL_CUDA_ATTENTION_CUH
#define DUET_MODEL_CUDA_ATTENTION_CUH

#include "model/cuda/kernel.cuh"

extern "C" {
#include "model/ops.h"
}

constexpr int WARPS = BLOCK / WARP; /* queries of a block */
constexpr int MOST_EACH = 8;        /* elements of a head that a lane adds up: D <= 256 */
constexpr int MOST_D = MOST_EACH * WARP;

extern __shared__ unsigned char dynamic_shared[];

/* Sizes of a head, and of a row of queries, keys and values. */
struct heads {
    int Hq, Hkv, D, step;
    float scale;
};
heads heads_of(const struct dims *d);

/* Row i of a head within a sequence: T rows from `at` on, `step` elements apart; or in blocks of
 * the cache. */
template <class real> struct rows_at {
    const real *at;
    size_t step;
    __device__ __forceinline__ const real *row(int i) const { return at + (size_t)i * step; }
};
template <class real> struct cached_rows {
    const real *at; /* the head, in position 0 of block 0 */
    size_t step, block_elements;
    const int *block;
    __device__ __forceinline__ const real *row(int i) const
    {
        return at + (size_t)block[i / KV_BLOCK] * block_elements + (size_t)(i % KV_BLOCK) * step;
    }
};

/* Shared memory of a block: a tile, then a row of floats for each warp, once or twice, then what
 * its lanes hand each other. */
template <class real> struct room {
    real *tile;
    float *own[2], *weight;
    int row; /* elements from one row of the tile to the next */
};
template <class real> __host__ __device__ __forceinline__ int tile_row(int D)
{
    return D + (int)(sizeof(float) / sizeof(real));
}
template <class real> __host__ __device__ __forceinline__ size_t tile_bytes(int D)
{
    return ((size_t)(WARP * tile_row<real>(D)) * sizeof(real) + 15) / 16 * 16;
}
template <class real> size_t room_bytes(int D)
{
    return tile_bytes<real>(D) + (size_t)(WARPS * (2 * D + WARP)) * sizeof(float);
}
template <class real> __device__ __forceinline__ room<real> room_of_block(int D)
{
    float *rest = (float *)(void *)(dynamic_shared + tile_bytes<real>(D));
    int warp = (int)threadIdx.x / WARP;
    return {(real *)(void *)dynamic_shared,
            {rest + warp * D, rest + (WARPS + warp) * D},
            rest + 2 * WARPS * D + warp * WARP,
            tile_row<real>(D)};
}

/* Rows [from, from + 32) of a head, as far as there are any; the whole block waits. */
template <class real, class rows>
__device__ __forceinline__ void tile_fill(const room<real> &m, const rows &r, int from, int end,
                                          int D)
{
    __syncthreads(); /* whoever still reads the last one */
    int n = end - from < WARP ? end - from : WARP;
    for (int i = (int)threadIdx.x; i < n * D; i += (int)blockDim.x)
        m.tile[i / D * m.row + i % D] = r.row(from + i / D)[i % D];
    __syncthreads();
}

/* This lane's row of the tile times the warp's own, element by element in order. */
template <class real>
__device__ __forceinline__ float tile_dot(const room<real> &m, const float *own, int D)
{
    const real *row = m.tile + (int)threadIdx.x % WARP * m.row;
    float sum = 0;
    for (int d = 0; d < D; d++) sum = fmaf(own[d], get(row[d]), sum);
    return sum;
}

/* What a lane adds up: elements lane, lane + 32, ... of a head. */
struct part {
    float at[MOST_EACH];
};

/* sum += weight * row over rows [first, n) of the tile, in order; the lanes' weights. */
template <class real>
__device__ __forceinline__ void tile_add(part &sum, const room<real> &m, float weight, int first,
                                         int n, int D)
{
    int lane = (int)threadIdx.x % WARP;
    __syncwarp();
    m.weight[lane] = weight;
    __syncwarp();
    for (int i = first; i < n; i++) {
        float w = m.weight[i];
#pragma unroll
        for (int k = 0; k < MOST_EACH; k++)
            if (lane + k * WARP < D)
                sum.at[k] = fmaf(w, get(m.tile[i * m.row + lane + k * WARP]), sum.at[k]);
    }
}

/* A row as floats, scaled, into the warp's own. */
template <class real>
__device__ __forceinline__ void own_fill(float *own, const real *x, int D, float scale)
{
    for (int d = (int)threadIdx.x % WARP; d < D; d += WARP) own[d] = get(x[d]) * scale;
    __syncwarp();
}

template <class real>
__device__ __forceinline__ void part_store(real *y, const part &p, int D, float by)
{
    int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int k = 0; k < MOST_EACH; k++)
        if (lane + k * WARP < D) y[lane + k * WARP] = put<real>(p.at[k] * by);
}

/* WARPS neighbouring rows of one sequence: the i-th such run of all. The host does not know how
 * many there are; a block takes every gridDim.x-th until there are none. */
struct run {
    int start, end; /* of the sequence, in rows of the micro-batch */
    int first;      /* of the run, within the sequence */
    bool is_there;
};
__device__ __forceinline__ run run_find(const segments &seg, int i)
{
    for (int s = 0; s < seg.n; s++) {
        int start = seg.start[s], end = seg.start[s + 1], n = (end - start + WARPS - 1) / WARPS;
        if (i < n) return {start, end, i * WARPS, true};
        i -= n;
    }
    return {0, 0, 0, false};
}
/* Blocks for `heads` heads that keep the GPU busy. */
dim3 blocks_for(int heads);

#endif
