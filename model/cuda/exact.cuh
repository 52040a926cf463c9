/* Sums of comm/base/exact.h in device memory: integers of 128 bits, which may be added in any
 * order. */
#ifndef DUET_MODEL_CUDA_EXACT_CUH
#define DUET_MODEL_CUDA_EXACT_CUH

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>

extern "C" {
#include "comm/base/exact.h"
}

/* struct exact_sum as atomic additions want it. */
struct exact {
    unsigned long long lo, hi, broken;
};
static_assert(sizeof(exact) == sizeof(exact_sum) &&
                  offsetof(exact, hi) == offsetof(exact_sum, hi) &&
                  offsetof(exact, broken) == offsetof(exact_sum, broken),
              "struct exact is struct exact_sum");

__device__ __forceinline__ void add_exact(exact &a, exact b)
{
    a.lo += b.lo;
    a.hi += b.hi + (a.lo < b.lo);
    a.broken += b.broken;
}

/* A carry is seen by the one addition that makes it. */
__device__ __forceinline__ void add_exact_atomically(exact *sum, exact x)
{
    unsigned long long before = atomicAdd(&sum->lo, x.lo);
    atomicAdd(&sum->hi, x.hi + (before + x.lo < before));
    atomicAdd(&sum->broken, x.broken);
}

/* What exact_add adds: the nearest multiple of 2^-64, in two halves. */
__device__ __forceinline__ exact exact_of(double x)
{
    if (!(fabs(x) < 0x1p50)) return {0, 0, 1};
    double high = rint(x * 0x1p12), low = rint((x * 0x1p12 - high) * 0x1p52);
    long long h = (long long)high, l = (long long)low;
    exact e = {(unsigned long long)h << 52, (unsigned long long)(h >> 12), 0};
    add_exact(e, {(unsigned long long)l, l < 0 ? ~0ull : 0ull, 0});
    return e;
}

#endif
