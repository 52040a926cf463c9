/* RMSNorm over rows, or over heads within rows. A warp or a block works on a row, by the row's
 * length, and reads it twice: the second time from the nearest cache. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

/* Row i of heads.T * heads.heads: where it begins and where its statistic is. */
__device__ __forceinline__ size_t element_of(struct head_rows h, size_t i)
{
    size_t heads = (size_t)h.heads;
    return i / heads * (size_t)h.stride + i % heads * (size_t)h.D;
}
__device__ __forceinline__ size_t statistic_of(struct head_rows h, size_t i)
{
    size_t heads = (size_t)h.heads;
    return i / heads * (size_t)h.statistics + i % heads;
}

/* The row that this thread works on, and its first element of it. */
template <int THREADS> __device__ __forceinline__ size_t row_of_thread()
{
    return (size_t)blockIdx.x * (BLOCK / THREADS) + threadIdx.x / THREADS;
}
template <int THREADS> __device__ __forceinline__ int first_of_thread()
{
    return (int)threadIdx.x % THREADS * SPAN;
}

/* x times rstd is rounded before the gain is applied, as Hugging Face's models do. */
template <class real, int THREADS>
__global__ void __launch_bounds__(BLOCK)
    rmsnorm_forward_kernel(real *y, float *rstd, const real *x, const real *gain,
                           struct head_rows h, float eps, bool whole)
{
    size_t i = row_of_thread<THREADS>(), at = element_of(h, i);
    if (i >= (size_t)h.T * (size_t)h.heads) return;
    float squares = 0;
    for (int c = first_of_thread<THREADS>(); c < h.D; c += THREADS * SPAN) {
        floats v = load(x + at + c, whole, h.D - c);
#pragma unroll
        for (int k = 0; k < SPAN; k++) squares = fmaf(v.at[k], v.at[k], squares);
    }
    float r = 1.0f / sqrtf(row_sum<THREADS>(squares) / (float)h.D + eps);
    if (threadIdx.x % THREADS == 0) rstd[statistic_of(h, i)] = r;
    for (int c = first_of_thread<THREADS>(); c < h.D; c += THREADS * SPAN) {
        floats v = load(x + at + c, whole, h.D - c), g = load(gain + c, whole, h.D - c);
#pragma unroll
        for (int k = 0; k < SPAN; k++) v.at[k] = rounded<real>(v.at[k] * r) * g.at[k];
        store(y + at + c, v, whole, h.D - c);
    }
}

template <class real>
void rows<real>::rmsnorm_heads_forward(void *y, float *rstd, const void *x, const void *gain,
                                       struct head_rows h, float eps)
{
    size_t n = (size_t)h.T * (size_t)h.heads;
    bool whole = spans_fit((size_t)h.D, y, x, gain) && h.stride % SPAN == 0, warp = h.D <= WARP_ROW;
    launch(warp ? rmsnorm_forward_kernel<real, WARP> : rmsnorm_forward_kernel<real, BLOCK>,
           pieces(n, warp ? BLOCK / WARP : 1), BLOCK, (real *)y, rstd, (const real *)x,
           (const real *)gain, h, eps, whole);
}

static struct head_rows as_heads(int T, int C)
{
    return {.T = T, .heads = 1, .D = C, .stride = C, .statistics = 1};
}

template <class real>
void rows<real>::rmsnorm_forward(void *y, float *rstd, const void *x, const void *gain, int T,
                                 int C, float eps)
{
    rmsnorm_heads_forward(y, rstd, x, gain, as_heads(T, C), eps);
}

/* With xhat = x rstd: dx = rstd (gain dy - xhat mean(gain dy xhat)) + carry. A thread reads what it
 * writes over first: dx may be carry. */
template <class real, int THREADS>
__global__ void __launch_bounds__(BLOCK)
    rmsnorm_backward_kernel(real *dx, const real *dy, const real *x, const real *gain,
                            const float *rstd, const real *carry, struct head_rows h, bool whole)
{
    size_t i = row_of_thread<THREADS>(), at = element_of(h, i);
    if (i >= (size_t)h.T * (size_t)h.heads) return;
    float r = rstd[statistic_of(h, i)], sum = 0;
    for (int c = first_of_thread<THREADS>(); c < h.D; c += THREADS * SPAN) {
        floats v = load(x + at + c, whole, h.D - c), d = load(dy + at + c, whole, h.D - c);
        floats g = load(gain + c, whole, h.D - c);
#pragma unroll
        for (int k = 0; k < SPAN; k++) sum = fmaf(g.at[k] * d.at[k], v.at[k] * r, sum);
    }
    float mean = row_sum<THREADS>(sum) / (float)h.D;
    for (int c = first_of_thread<THREADS>(); c < h.D; c += THREADS * SPAN) {
        floats v = load(x + at + c, whole, h.D - c), d = load(dy + at + c, whole, h.D - c);
        floats g = load(gain + c, whole, h.D - c), residual = {};
        if (carry) residual = load(carry + at + c, whole, h.D - c);
#pragma unroll
        for (int k = 0; k < SPAN; k++)
            v.at[k] = r * (g.at[k] * d.at[k] - v.at[k] * r * mean) + residual.at[k];
        store(dx + at + c, v, whole, h.D - c);
    }
}

/* --- the gradient of the gain: the sum over rows of dy times xhat (rounded as it was) ---
 *
 * Rows are added in pieces of GAIN_ROWS, counted from the first, and pieces in order; within a
 * piece warp w adds rows w * GAIN_EACH and on, then warps are added in order. So two calls, the
 * first with a multiple of GAIN_ROWS rows, leave the bits of one. */
constexpr int GAIN_WARPS = BLOCK / WARP, GAIN_EACH = 8, GAIN_ROWS = GAIN_WARPS * GAIN_EACH;
constexpr int GAIN_COLUMNS = WARP * SPAN;

/* The sums of one piece, for GAIN_COLUMNS columns, to part[piece][column]. */
template <class real>
__global__ void __launch_bounds__(BLOCK)
    gain_pieces_kernel(float *part, const real *dy, const real *x, const float *rstd,
                       struct head_rows h, size_t first_row, bool whole)
{
    __shared__ float of_warp[GAIN_WARPS][GAIN_COLUMNS];
    int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    int c = (int)blockIdx.y * GAIN_COLUMNS + lane * SPAN;
    size_t n = (size_t)h.T * (size_t)h.heads;
    size_t i = first_row + (size_t)blockIdx.x * GAIN_ROWS + (size_t)(warp * GAIN_EACH);
    floats sum = {};
    for (int row = 0; row < GAIN_EACH && i < n && c < h.D; row++, i++) {
        size_t at = element_of(h, i) + (size_t)c;
        float r = rstd[statistic_of(h, i)];
        floats d = load(dy + at, whole, h.D - c), v = load(x + at, whole, h.D - c);
#pragma unroll
        for (int k = 0; k < SPAN; k++)
            sum.at[k] = fmaf(d.at[k], rounded<real>(v.at[k] * r), sum.at[k]);
    }
#pragma unroll
    for (int k = 0; k < SPAN; k++) of_warp[warp][lane * SPAN + k] = sum.at[k];
    __syncthreads();
    int column = (int)threadIdx.x, to = (int)blockIdx.y * GAIN_COLUMNS + column;
    float total = of_warp[0][column];
#pragma unroll
    for (int w = 1; w < GAIN_WARPS; w++) total += of_warp[w][column];
    if (to < h.D) part[(size_t)blockIdx.x * (size_t)h.D + (size_t)to] = total;
}
static_assert(GAIN_COLUMNS == BLOCK, "a thread adds the warps of one column");

__global__ static void gain_sum_kernel(float *dgain, const float *part, int n, int C)
{
    int c = (int)(blockIdx.x * TILE + threadIdx.x);
    if (c >= C) return;
    float sum = dgain[c];
#pragma unroll 8
    for (int i = 0; i < n; i++) sum += part[(size_t)i * (size_t)C + (size_t)c];
    dgain[c] = sum;
}

/* As many pieces at once as there is room for their sums. */
template <class real>
static void gain_gradient(float *dgain, const real *dy, const real *x, const float *rstd,
                          struct head_rows h, bool whole)
{
    size_t all = pieces((size_t)h.T * (size_t)h.heads, GAIN_ROWS);
    size_t most = SCRATCH_FLOATS / (size_t)h.D;
    for (size_t from = 0; from < all; from += most) {
        size_t n = all - from < most ? all - from : most;
        launch(gain_pieces_kernel<real>,
               dim3((unsigned)n, pieces((size_t)h.D, (size_t)GAIN_COLUMNS)), BLOCK,
               scratch_floats(), dy, x, rstd, h, from * GAIN_ROWS, whole);
        launch(gain_sum_kernel, pieces((size_t)h.D, TILE), TILE, dgain, scratch_floats(), (int)n,
               h.D);
    }
}

/* The gain's gradient first: dx may be written over what it reads. */
template <class real>
static void backward(void *dx, float *dgain, const void *dy, const void *x, const void *gain,
                     const float *rstd, const void *carry, struct head_rows h)
{
    size_t n = (size_t)h.T * (size_t)h.heads;
    bool whole = spans_fit((size_t)h.D, dx, dy, x, gain, carry) && h.stride % SPAN == 0;
    bool warp = h.D <= WARP_ROW;
    if (dgain) gain_gradient(dgain, (const real *)dy, (const real *)x, rstd, h, whole);
    launch(warp ? rmsnorm_backward_kernel<real, WARP> : rmsnorm_backward_kernel<real, BLOCK>,
           pieces(n, warp ? BLOCK / WARP : 1), BLOCK, (real *)dx, (const real *)dy, (const real *)x,
           (const real *)gain, rstd, (const real *)carry, h, whole);
}

template <class real>
void rows<real>::rmsnorm_backward(void *dx, float *dgain, const void *dy, const void *x,
                                  const void *gain, const float *rstd, const void *carry, int T,
                                  int C)
{
    backward<real>(dx, dgain, dy, x, gain, rstd, carry, as_heads(T, C));
}

template <class real>
void rows<real>::rmsnorm_heads_backward(void *dx, float *dgain, const void *dy, const void *x,
                                        const void *gain, const float *rstd, struct head_rows h)
{
    backward<real>(dx, dgain, dy, x, gain, rstd, nullptr, h);
}

template struct rows<float>;
template struct rows<bf16>;
