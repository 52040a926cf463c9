/* AdamW, and the exact sum of squares behind the gradient norm. */
#include <cmath>

#include "model/cuda/exact.cuh"
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

/* Constants of a step, formed in double and rounded once, as the host's kernels have them. */
struct step {
    float scale, b1, b2, a1, a2, keep, rate, root, eps;
};

/* AdamW (arXiv 1711.05101): moments, bias correction, decoupled decay; one pass over six arrays. */
template <class real>
__global__ void __launch_bounds__(BLOCK)
    adamw_kernel(real *param, float *master, float *m, float *v, const float *grad, size_t n,
                 struct step h, bool aligned)
{
    size_t i = ((size_t)blockIdx.x * BLOCK + threadIdx.x) * SPAN;
    if (i >= n) return;
    int left = n - i < SPAN ? (int)(n - i) : SPAN;
    bool whole = aligned && left == SPAN;
    floats g = load(grad + i, whole, left), mean = load(m + i, whole, left);
    floats square = load(v + i, whole, left), w = load(master + i, whole, left);
#pragma unroll
    for (int k = 0; k < SPAN; k++) {
        float d = g.at[k] * h.scale;
        mean.at[k] = h.b1 * mean.at[k] + h.a1 * d;
        square.at[k] = h.b2 * square.at[k] + h.a2 * (d * d);
        w.at[k] = h.keep * w.at[k] - h.rate * mean.at[k] / (sqrtf(square.at[k]) * h.root + h.eps);
    }
    store(m + i, mean, whole, left);
    store(v + i, square, whole, left);
    store(master + i, w, whole, left);
    store(param + i, w, whole, left);
}

template <class real>
void rows<real>::adamw_step(void *param, float *master, float *m, float *v, const float *grad,
                            size_t n, const struct adamw *h)
{
    step s = {.scale = h->grad_scale,
              .b1 = h->beta1,
              .b2 = h->beta2,
              .a1 = (float)(1.0 - (double)h->beta1),
              .a2 = (float)(1.0 - (double)h->beta2),
              .keep = (float)(1.0 - (double)h->lr * (double)h->weight_decay),
              .rate = (float)((double)h->lr / (double)h->correction1),
              .root = (float)(1.0 / std::sqrt((double)h->correction2)),
              .eps = h->eps};
    launch(adamw_kernel<real>, pieces(n, (size_t)BLOCK * SPAN), BLOCK, (real *)param, master, m, v,
           grad, n, s, spans_fit(0, param, master, m, v, grad));
}

/* --- sum of squares: terms are rounded once to multiples of 2^-64 and added as integers, so that
 * atomic additions, whose order is chance, leave the same bits (comm/base/exact.h) --- */

constexpr int MANTISSA = 23, BIAS = 150; /* x = mantissa * 2^(exponent - BIAS) */
constexpr int TOO_LARGE = 50;            /* terms are below 2^50 */

/* 2^SQUARE_BITS x^2 to the nearest multiple of 2^-64: the square of a mantissa has 48 bits, to be
 * shifted by an even number, so that it never lies half way between two. */
__device__ __forceinline__ exact square_of(float x)
{
    unsigned bits = __float_as_uint(x) & 0x7fffffffu, exponent = bits >> MANTISSA;
    unsigned long long m = bits & ((1u << MANTISSA) - 1);
    if (exponent > 0) m |= 1u << MANTISSA;
    int power = 2 * ((exponent > 0 ? (int)exponent : 1) - BIAS) + SQUARE_BITS;
    float limit = __uint_as_float((unsigned)((TOO_LARGE - SQUARE_BITS) / 2 + 127) << MANTISSA);
    if (!(fabsf(x) < limit)) return {0, 0, 1};
    unsigned long long square = m * m;
    int shift = power + 64;
    if (shift >= 64) return {0, square << (shift - 64), 0};
    if (shift > 0) return {square << shift, square >> (64 - shift), 0};
    if (shift == 0) return {square, 0, 0};
    if (shift <= -64) return {0, 0, 0};
    return {(square + (1ull << (-shift - 1))) >> -shift, 0, 0};
}
static_assert(SQUARE_BITS % 2 == 0 && TOO_LARGE % 2 == 0, "the limit is a power of two");

/* A few blocks walk over all of x, so that few additions meet at the sum. */
__global__ static void __launch_bounds__(BLOCK)
    square_sum_kernel(exact *sum, const float *x, size_t n, bool aligned)
{
    __shared__ exact of_warp[BLOCK / WARP];
    exact all = {0, 0, 0};
    size_t each = (size_t)gridDim.x * BLOCK * SPAN;
    for (size_t i = ((size_t)blockIdx.x * BLOCK + threadIdx.x) * SPAN; i < n; i += each) {
        int left = n - i < SPAN ? (int)(n - i) : SPAN;
        floats f = load(x + i, aligned && left == SPAN, left);
#pragma unroll
        for (int k = 0; k < SPAN; k++) add_exact(all, square_of(f.at[k]));
    }
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2)
        add_exact(all,
                  {__shfl_xor_sync(ALL_LANES, all.lo, by), __shfl_xor_sync(ALL_LANES, all.hi, by),
                   __shfl_xor_sync(ALL_LANES, all.broken, by)});
    if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = all;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int w = 1; w < BLOCK / WARP; w++) add_exact(all, of_warp[w]);
    add_exact_atomically(sum, all);
}

template <class real> void rows<real>::square_sum(struct exact_sum *sum, const float *x, size_t n)
{
    constexpr unsigned MOST_BLOCKS = 1024;
    unsigned blocks = pieces(n, (size_t)BLOCK * SPAN);
    launch(square_sum_kernel, blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS, BLOCK, (exact *)sum, x,
           n, spans_fit(0, x));
}

template struct rows<float>;
template struct rows<bf16>;
