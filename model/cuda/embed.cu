/* Rows of the embedding table, and their gradient. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

/* Tokens of other ranks give zeros: the sum over the ranks of tp is then exact. */
template <class real>
__global__ void embed_forward_kernel(real *x, const real *table, const int *token, struct share own,
                                     int C, bool whole)
{
    int row = token[blockIdx.x] - own.first, c = tile_first();
    if (c >= C) return;
    span<real> s;
    memset(&s, 0, sizeof s);
    if (row >= 0 && row < own.n) span_load(s, table + (size_t)row * (size_t)C + c, whole, C - c);
    span_store(x + (size_t)blockIdx.x * (size_t)C + c, s, whole, C - c);
}

template <class real>
void rows<real>::embed_forward(void *x, const void *table, const int *token, struct share own,
                               int T, int C)
{
    launch(embed_forward_kernel<real>, tiles(T, C), TILE, (real *)x, (const real *)table, token,
           own, C, spans_fit((size_t)C, x, table));
}

/* Bit l of entry w: whether token[from + 32 w + l] is `wanted`. All threads get it. */
__device__ __forceinline__ void find_tokens(unsigned (&among)[TILE / WARP], const int *token,
                                            int from, int to, int wanted)
{
    int t = from + (int)threadIdx.x;
    unsigned found = __ballot_sync(ALL_LANES, t < to && token[t] == wanted);
    __syncthreads(); /* whoever still reads what was found before */
    if (threadIdx.x % WARP == 0) among[threadIdx.x / WARP] = found;
    __syncthreads();
}

/* The block of the first row that has a token adds all rows that have it, in order, so that nobody
 * else adds to that row of the table, and no sum depends on chance. The tokens are read once by
 * each block: 4 bytes a row, from the cache, beside a row's own 2 C bytes. */
template <class real>
__global__ void __launch_bounds__(TILE)
    embed_backward_kernel(float *dtable, const real *dx, const int *token, struct share own, int T,
                          int C, bool whole)
{
    __shared__ unsigned among[TILE / WARP];
    int first = (int)blockIdx.x, wanted = token[first], c = tile_first();
    if (wanted < own.first || wanted >= own.first + own.n) return;
    for (int from = 0; from < first; from += TILE) {
        find_tokens(among, token, from, first, wanted);
#pragma unroll
        for (int w = 0; w < TILE / WARP; w++)
            if (among[w]) return;
    }
    float *to = dtable + (size_t)(wanted - own.first) * (size_t)C + c;
    floats sum = {};
    if (c < C) sum = load(to, whole, C - c);
    for (int from = first; from < T; from += TILE) {
        find_tokens(among, token, from, T, wanted);
        for (int w = 0; w < TILE / WARP; w++)
            for (unsigned rest = among[w]; rest != 0; rest &= rest - 1) {
                size_t t = (size_t)(from + w * WARP + __ffs((int)rest) - 1);
                if (c >= C) continue;
                floats d = load(dx + t * (size_t)C + c, whole, C - c);
#pragma unroll
                for (int k = 0; k < SPAN; k++) sum.at[k] += d.at[k];
            }
    }
    if (c < C) store(to, sum, whole, C - c);
}

template <class real>
void rows<real>::embed_backward(float *dtable, const void *dx, const int *token, struct share own,
                                int T, int C)
{
    launch(embed_backward_kernel<real>, tiles(T, C), TILE, dtable, (const real *)dx, token, own, T,
           C, spans_fit((size_t)C, dtable, dx));
}

template struct rows<float>;
template struct rows<bf16>;
