/* What device code sees: its keywords, who a thread is, barriers, warps, atomics, intrinsics.
 * Part of cuda_runtime.h. A barrier knows the line that calls it, so that threads that wait at
 * different ones are found. */
#ifndef DUET_TESTS_CUDA_INCLUDE_CUDA_DEVICE_CODE_H
#define DUET_TESTS_CUDA_INCLUDE_CUDA_DEVICE_CODE_H

#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)
/* Each launch runs on a host thread of its own, so a block's shared memory is that thread's: filled
 * with NaNs before each block. `extern __shared__ T dynamic_shared[]` is the dynamic part. */
#define __shared__ thread_local

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

/* The thread that runs now. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

/* --- barriers and warps --- */

void emulated_barrier(const char *file, int line);
/* The values of all lanes of `mask`, once all of them have called; others' are all ones. */
const uint64_t *emulated_exchange(unsigned mask, uint64_t value, const char *file, int line);
int emulated_lane();

#define EMULATED_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(EMULATED_PLACE)
{
    emulated_barrier(file, line);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATED_PLACE)
{
    emulated_exchange(mask, 0, file, line);
}

template <class T>
T emulated_from_lane(unsigned mask, T value, int lane, const char *file, int line)
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "at most 8 bytes go between lanes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = emulated_exchange(mask, bits, file, line)[lane];
    memcpy(&value, &bits, sizeof value);
    return value;
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = warpSize, EMULATED_PLACE)
{
    int lane = emulated_lane(), group = lane / width * width;
    return emulated_from_lane(mask, value, group + (from & (width - 1)), file, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int by, int width = warpSize, EMULATED_PLACE)
{
    int lane = emulated_lane(), from = lane ^ by;
    bool within = from < lane / width * width + width;
    return emulated_from_lane(mask, value, within ? from : lane, file, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = warpSize, EMULATED_PLACE)
{
    int lane = emulated_lane(), from = lane + (int)by;
    bool within = from < lane / width * width + width;
    return emulated_from_lane(mask, value, within ? from : lane, file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = warpSize, EMULATED_PLACE)
{
    int lane = emulated_lane(), from = lane - (int)by;
    bool within = from >= lane / width * width;
    return emulated_from_lane(mask, value, within ? from : lane, file, line);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATED_PLACE)
{
    const uint64_t *all = emulated_exchange(mask, predicate != 0, file, line);
    unsigned votes = 0;
    for (int i = 0; i < warpSize; i++) votes |= mask >> i & 1u ? (unsigned)all[i] << i : 0;
    return votes;
}
inline int __any_sync(unsigned mask, int predicate, EMULATED_PLACE)
{
    return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, EMULATED_PLACE)
{
    return __ballot_sync(mask, predicate, file, line) == mask;
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value, EMULATED_PLACE)
{
    const uint64_t *all = emulated_exchange(mask, value, file, line);
    unsigned sum = 0;
    for (int i = 0; i < warpSize; i++) sum += mask >> i & 1u ? (unsigned)all[i] : 0;
    return sum;
}

/* --- atomics: fibers change at barriers only --- */

template <class T> T emulated_swap(T *at, T value)
{
    T before = *at;
    *at = value;
    return before;
}
template <class T> T atomicAdd(T *at, T value)
{
    return emulated_swap(at, (T)(*at + value));
}
template <class T> T atomicMax(T *at, T value)
{
    return emulated_swap(at, *at < value ? value : *at);
}
template <class T> T atomicMin(T *at, T value)
{
    return emulated_swap(at, value < *at ? value : *at);
}
template <class T> T atomicExch(T *at, T value)
{
    return emulated_swap(at, value);
}
template <class T> T atomicCAS(T *at, T compare, T value)
{
    return emulated_swap(at, *at == compare ? value : *at);
}
inline void __threadfence() {}

/* --- intrinsics --- */

template <class T> T __ldg(const T *at)
{
    return *at;
}
template <class T> T __ldcs(const T *at)
{
    return *at;
}
template <class T> void __stcs(T *at, T value)
{
    *at = value;
}
inline unsigned __float_as_uint(float f)
{
    unsigned u;
    memcpy(&u, &f, sizeof u);
    return u;
}
inline float __uint_as_float(unsigned u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
inline long long __double2ll_rn(double x)
{
    return std::llrint(x);
}
inline int __popc(unsigned u)
{
    return __builtin_popcount(u);
}
inline int __ffs(int u)
{
    return __builtin_ffs(u);
}
inline int __clz(int u)
{
    return u == 0 ? 32 : __builtin_clz((unsigned)u);
}
inline float __fdividef(float a, float b)
{
    return a / b;
}

#endif
