/* What the kernels of this folder share: elements as floats, eight at a time; sums over a warp, a
 * block or whatever works on a row; launching.
 *
 * Promise P1 here: which lane takes which elements, and in which order lanes are added, follows
 * from the length of a row alone, never from how many rows there are or where they lie. A row whose
 * ends are no multiples of 16 bytes takes other loads, the same arithmetic. Nothing is contracted
 * by the compiler (-fmad=false): a fused multiply-add is written as one. */
#ifndef DUET_MODEL_CUDA_KERNEL_CUH
#define DUET_MODEL_CUDA_KERNEL_CUH

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "comm/cuda/check.h"

#define _Noreturn [[noreturn]]
extern "C" {
#include "comm/base/die.h"
}

typedef __nv_bfloat16 bf16;

constexpr int WARP = 32;
constexpr int BLOCK = 256; /* threads, unless said otherwise */
constexpr int SPAN = 8;    /* elements that a thread takes at once */
constexpr unsigned ALL_LANES = 0xffffffffu;

/* --- elements --- */

__device__ __forceinline__ float get(float x)
{
    return x;
}
__device__ __forceinline__ float get(bf16 x)
{
    return __bfloat162float(x);
}
template <class real> __device__ __forceinline__ real put(float x)
{
    if constexpr (std::is_same_v<real, float>)
        return x;
    else
        return __float2bfloat16_rn(x);
}
/* The value that storing x as real and loading it again gives. */
template <class real> __device__ __forceinline__ float rounded(float x)
{
    return get(put<real>(x));
}

/* SPAN elements as they are, in loads and stores of 16 bytes; `whole`: they all exist, and p is a
 * multiple of 16 bytes. Otherwise the first `left` exist, and the rest is left alone. */
template <class T> struct alignas(16) span {
    T at[SPAN];
};

template <class T>
__device__ __forceinline__ void span_load(span<T> &s, const T *p, bool whole, int left)
{
    if (whole) {
        constexpr int WORDS = (int)(sizeof(span<T>) / sizeof(uint4));
        uint4 words[WORDS];
#pragma unroll
        for (int i = 0; i < WORDS; i++) words[i] = ((const uint4 *)p)[i];
        memcpy(&s, words, sizeof s);
    } else {
#pragma unroll
        for (int i = 0; i < SPAN; i++)
            if (i < left) s.at[i] = p[i];
    }
}

template <class T>
__device__ __forceinline__ void span_store(T *p, const span<T> &s, bool whole, int left)
{
    if (whole) {
        constexpr int WORDS = (int)(sizeof(span<T>) / sizeof(uint4));
        uint4 words[WORDS];
        memcpy(words, &s, sizeof s);
#pragma unroll
        for (int i = 0; i < WORDS; i++) ((uint4 *)p)[i] = words[i];
    } else {
#pragma unroll
        for (int i = 0; i < SPAN; i++)
            if (i < left) p[i] = s.at[i];
    }
}

/* The same as floats; `rest` stands for those that do not exist. */
struct floats {
    float at[SPAN];
};

template <class T>
__device__ __forceinline__ floats load(const T *p, bool whole, int left, float rest = 0)
{
    span<T> s;
    floats f;
    span_load(s, p, whole, left);
#pragma unroll
    for (int i = 0; i < SPAN; i++) f.at[i] = whole || i < left ? get(s.at[i]) : rest;
    return f;
}

/* (Two floats become two bf16 in one instruction.) */
template <class T>
__device__ __forceinline__ void store(T *p, const floats &f, bool whole, int left)
{
    span<T> s;
    if constexpr (std::is_same_v<T, bf16>) {
        __nv_bfloat162 pairs[SPAN / 2];
#pragma unroll
        for (int i = 0; i < SPAN / 2; i++)
            pairs[i] = __floats2bfloat162_rn(f.at[2 * i], f.at[2 * i + 1]);
        memcpy(&s, pairs, sizeof s);
    } else {
#pragma unroll
        for (int i = 0; i < SPAN; i++) s.at[i] = put<T>(f.at[i]);
    }
    span_store(p, s, whole, left);
}

/* --- sums, whose order is that of the lanes --- */

__device__ __forceinline__ float warp_sum(float x)
{
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2) x += __shfl_xor_sync(ALL_LANES, x, by);
    return x;
}

/* Over the THREADS threads that work on a row: a warp, or a block. All of them get it. */
template <int THREADS> __device__ __forceinline__ float row_sum(float x)
{
    x = warp_sum(x);
    if constexpr (THREADS > WARP) {
        __shared__ float of_warp[THREADS / WARP];
        __syncthreads(); /* whoever still reads an earlier sum */
        if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = x;
        __syncthreads();
        x = of_warp[0];
#pragma unroll
        for (int w = 1; w < THREADS / WARP; w++) x += of_warp[w];
    }
    return x;
}

/* --- the host's side --- */

/* Threads for a row of n elements: it decides bits, so nothing else is asked. */
constexpr int WARP_ROW = 1024; /* the longest that a warp takes */

/* Whether rows of n elements, side by side from each of these addresses on, can be read and written
 * in whole spans. */
template <class... P> bool spans_fit(size_t n, P... at)
{
    return n % SPAN == 0 && (((uintptr_t)at % sizeof(uint4) == 0) && ...);
}

inline unsigned pieces(size_t n, size_t of)
{
    return (unsigned)((n + of - 1) / of);
}

/* Posts a kernel with `shared` bytes of dynamic_shared; none where there are no blocks. More than
 * any kernel may have must be asked for. */
constexpr size_t SHARED_FOR_ALL = 48 << 10;
template <class... Want, class... Have>
void launch_shared(void (*kernel)(Want...), dim3 blocks, int threads, size_t shared, Have... args)
{
    cudaLaunchConfig_t c = {};
    c.gridDim = blocks;
    c.blockDim = dim3((unsigned)threads);
    c.dynamicSmemBytes = shared;
    if (shared > SHARED_FOR_ALL)
        CUDA_OK(
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
    c.stream = cuda_stream();
    if (blocks.x > 0 && blocks.y > 0) CUDA_OK(cudaLaunchKernelEx(&c, kernel, args...));
}

template <class... Want, class... Have>
void launch(void (*kernel)(Want...), dim3 blocks, int threads, Have... args)
{
    launch_shared(kernel, blocks, threads, 0, args...);
}

/* A block of threads for each of T rows and each piece of its n elements. */
constexpr int TILE = 128;
inline dim3 tiles(int T, int n)
{
    return dim3((unsigned)T, pieces((size_t)n, (size_t)TILE * SPAN));
}
/* Which span a thread has in such a launch: its first element. */
__device__ __forceinline__ int tile_first()
{
    return ((int)blockIdx.y * TILE + (int)threadIdx.x) * SPAN;
}

/* The sum of what the BLOCK threads of a block have, in one order, told to all of them. Called by
 * all; a second call in one kernel wants a barrier before it. */
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

/* Memory of the device that a row may use while it runs: rows run one after the other. */
constexpr size_t SCRATCH_FLOATS = 1 << 20;
float *scratch_floats();

#endif
