/* Sums and rounded numbers of a GPU's messages: what comm/join.c and comm/codec.c do on the host,
 * to the same bits. A thread has an element, or of rounded numbers a block of threads has those
 * that share a scale. Messages themselves go by way of the host (comm/transport_staged.c). */
#include "comm/cuda/check.h"

#define _Noreturn [[noreturn]]
extern "C" {
#include "comm/base/die.h"
#include "comm/cuda/device.h"
#include "comm/cuda/transport.h"
}

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

constexpr int THREADS = 256, MOST_TERMS = 128;
constexpr size_t SCALE_BYTES = sizeof(float), INT8_BLOCK = SCALE_BYTES + CODEC_BLOCK;

template <class... Want, class... Have>
static void post(void (*kernel)(Want...), size_t blocks, int threads, Have... args)
{
    cudaLaunchConfig_t c = {};
    c.gridDim = dim3((unsigned)blocks);
    c.blockDim = dim3((unsigned)threads);
    c.stream = cuda_stream();
    if (blocks > 0) CUDA_OK(cudaLaunchKernelEx(&c, kernel, args...));
}

/* --- sums --- */

__device__ __forceinline__ float half_value(const void *p, size_t i)
{
    return __uint_as_float((unsigned)((const uint16_t *)p)[i] << 16);
}

/* Element i of what came in some form. */
__device__ __forceinline__ float value_of(const join_term &t, size_t i)
{
    if (t.wire == CODEC_FP32) return ((const float *)t.at)[i];
    if (t.wire == CODEC_BF16) return half_value(t.at, i);
    const unsigned char *block = (const unsigned char *)t.at + i / CODEC_BLOCK * INT8_BLOCK;
    return (float)(int8_t)block[SCALE_BYTES + i % CODEC_BLOCK] *
           *(const float *)(const void *)block;
}

struct terms {
    join_term before, term[MOST_TERMS];
    int n, inner, op;
    bool with_before;
};

__device__ __forceinline__ float joined(int op, float a, float x)
{
    return op == JOIN_SUM ? a + x : x > a ? x : a;
}

/* Runs of `inner` terms are formed first and joined as one (comm/coll.h). */
__global__ void join_kernel(float *to, terms j, size_t at, size_t n)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n) return;
    float all = j.with_before ? value_of(j.before, at + i) : 0;
    for (int k = 0; k < j.n; k += j.inner) {
        float run = value_of(j.term[k], at + i);
        for (int l = 1; l < j.inner; l++) run = joined(j.op, run, value_of(j.term[k + l], at + i));
        all = k == 0 && !j.with_before ? run : joined(j.op, all, run);
    }
    to[i] = all;
}

/* More terms than a launch takes go on from what the launch before has left. */
static void gpu_join(float *to, const struct join *j, size_t at, size_t n)
{
    int whole = MOST_TERMS / j->inner * j->inner;
    INVARIANT(whole > 0, "runs of %d terms", j->inner);
    terms t = {};
    t.inner = j->inner, t.op = j->op, t.with_before = j->before != nullptr;
    if (j->before) t.before = *j->before;
    for (int from = 0; from < j->terms; from += t.n) {
        t.n = j->terms - from < whole ? j->terms - from : whole;
        memcpy(t.term, j->term + from, (size_t)t.n * sizeof *t.term);
        post(join_kernel, (n + THREADS - 1) / THREADS, THREADS, to, t, at, n);
        t.with_before = true;
        t.before.wire = CODEC_FP32, t.before.at = to - at;
    }
}

/* --- rounded numbers --- */

__device__ __forceinline__ uint16_t half_of(float x)
{
    unsigned bits = __float_as_uint(x);
    unsigned rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, none = bits >> 16 | 0x40;
    return (uint16_t)(x == x ? rounded : none);
}

/* As bits, floats without their signs are in order, those that are not finite last. */
__device__ __forceinline__ float largest_of(float v)
{
    __shared__ unsigned bits[CODEC_BLOCK];
    bits[threadIdx.x] = __float_as_uint(v) & 0x7fffffffu;
    __syncthreads();
    for (unsigned half = CODEC_BLOCK / 2; half > 0; half /= 2) {
        if (threadIdx.x < half && bits[threadIdx.x + half] > bits[threadIdx.x])
            bits[threadIdx.x] = bits[threadIdx.x + half];
        __syncthreads();
    }
    return __uint_as_float(bits[0]);
}

__device__ __forceinline__ float scale_of(float v)
{
    float scale = largest_of(v) / 127;
    if (scale < FLT_MIN) return 0;
    return scale <= FLT_MAX ? scale : NAN;
}

/* A block a CODEC_BLOCK; what is missing in the last is zeros. */
__global__ void encode_kernel(bool int8, unsigned char *to, const float *x, float *residual,
                              size_t n)
{
    size_t i = (size_t)blockIdx.x * CODEC_BLOCK + threadIdx.x;
    float v = i < n ? x[i] : 0, back;
    if (residual && i < n) v += residual[i];
    if (int8) {
        unsigned char *block = to + (size_t)blockIdx.x * INT8_BLOCK;
        float scale = scale_of(v);
        int q = scale > 0 ? (int)rintf(v / scale) : 0;
        back = (float)q * scale;
        if (threadIdx.x == 0) *(float *)(void *)block = scale;
        if (i < n) block[SCALE_BYTES + threadIdx.x] = (unsigned char)(int8_t)q;
    } else {
        uint16_t half = half_of(v);
        back = __uint_as_float((unsigned)half << 16);
        if (i < n) ((uint16_t *)(void *)to)[i] = half;
    }
    if (!residual || i >= n) return;
    float lost = v - back;
    residual[i] = fabsf(lost) <= FLT_MAX ? lost : 0;
}

static void gpu_encode(enum codec w, void *to, const float *x, float *residual, size_t n)
{
    if (n == 0) return;
    if (w == CODEC_FP32)
        CUDA_OK(cudaMemcpyAsync(to, x, n * sizeof *x, cudaMemcpyDeviceToDevice, cuda_stream()));
    else
        post(encode_kernel, (n + CODEC_BLOCK - 1) / CODEC_BLOCK, CODEC_BLOCK, w == CODEC_INT8,
             (unsigned char *)to, x, residual, n);
}

static void gpu_decode(enum codec w, float *x, const void *from, size_t n)
{
    const join_term one = {w, from};
    const struct join j = {.op = JOIN_SUM, .before = nullptr, .term = &one, .terms = 1, .inner = 1};
    gpu_join(x, &j, 0, n);
}

/* Messages are the host's: no row of a wire, so the staged one serves. */
const struct transport *transport_cuda(void)
{
    static struct transport t;
    t.name = "cuda";
    t.device = device_cuda_here();
    t.join = gpu_join;
    t.encode = gpu_encode;
    t.decode = gpu_decode;
    return &t;
}
