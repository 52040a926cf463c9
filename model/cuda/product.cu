/* Matrix products in the plainest order: an element is one chain of fused multiply-adds along the
 * inner dimension, whatever else the call holds, so promise P1 needs no trial. For shapes that the
 * library has no algorithm for (library.cu); it uses no tensor cores, and is slow. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/product.cuh"

constexpr int PRODUCT_TILE = 64, PRODUCT_DEEP = 16; /* of the result, of the inner dimension */
constexpr int EACH = 4;                             /* rows and columns of a thread */
static_assert(PRODUCT_TILE / EACH * (PRODUCT_TILE / EACH) == BLOCK, "a thread has 4 x 4");

/* Rows from `first` on, PRODUCT_DEEP of their elements from `from` on; zeros where there are none.
 * Neighbouring threads take what lies side by side. */
template <class in>
__device__ __forceinline__ void tile_load(float (&tile)[PRODUCT_DEEP][PRODUCT_TILE + EACH],
                                          const in *x, size_t row_step, size_t k_step, int first,
                                          int rows, int from, int k)
{
    constexpr int LAPS = PRODUCT_TILE * PRODUCT_DEEP / BLOCK;
    bool along = k_step == 1;
#pragma unroll
    for (int lap = 0; lap < LAPS; lap++) {
        int at = (int)threadIdx.x + lap * BLOCK;
        int row = along ? at / PRODUCT_DEEP : at % PRODUCT_TILE;
        int i = along ? at % PRODUCT_DEEP : at / PRODUCT_TILE;
        bool there = first + row < rows && from + i < k;
        size_t place = (size_t)(first + row) * row_step + (size_t)(from + i) * k_step;
        tile[i][row] = there ? get(x[place]) : 0.0f;
    }
}

/* A block a tile of the result. */
template <class in, class out>
__global__ void __launch_bounds__(BLOCK) product_kernel(own_product<in, out> p)
{
    __shared__ float a[PRODUCT_DEEP][PRODUCT_TILE + EACH], b[PRODUCT_DEEP][PRODUCT_TILE + EACH];
    constexpr int ACROSS = PRODUCT_TILE / EACH;
    int row0 = (int)blockIdx.y * PRODUCT_TILE, column0 = (int)blockIdx.x * PRODUCT_TILE;
    int r = (int)threadIdx.x / ACROSS * EACH, c = (int)threadIdx.x % ACROSS * EACH;
    float sum[EACH][EACH] = {};
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++)
            if (p.add && row0 + r + i < p.m && column0 + c + j < p.n)
                sum[i][j] = get(p.to[(size_t)(row0 + r + i) * (size_t)p.n + column0 + c + j]);
    for (int from = 0; from < p.k; from += PRODUCT_DEEP) {
        __syncthreads();
        tile_load(a, p.a, p.a_row, p.a_k, row0, p.m, from, p.k);
        tile_load(b, p.b, p.b_column, p.b_k, column0, p.n, from, p.k);
        __syncthreads();
        int deep = p.k - from < PRODUCT_DEEP ? p.k - from : PRODUCT_DEEP;
        for (int k = 0; k < deep; k++)
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < EACH; j++)
                    sum[i][j] = fmaf(a[k][r + i], b[k][c + j], sum[i][j]);
    }
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            if (row0 + r + i >= p.m || column0 + c + j >= p.n) continue;
            float y = p.bias ? sum[i][j] + get(p.bias[column0 + c + j]) : sum[i][j];
            p.to[(size_t)(row0 + r + i) * (size_t)p.n + column0 + c + j] = put<out>(y);
        }
}

/* Rows beyond what a grid has in one direction follow in a further launch. */
template <class in, class out> void own_product_run(const own_product<in, out> &whole)
{
    constexpr int MOST = 32768 * PRODUCT_TILE;
    for (int row = 0; row < whole.m; row += MOST) {
        own_product<in, out> p = whole;
        p.to += (size_t)row * (size_t)p.n;
        p.a += (size_t)row * p.a_row;
        p.m = whole.m - row < MOST ? whole.m - row : MOST;
        launch(product_kernel<in, out>,
               dim3(pieces((size_t)p.n, PRODUCT_TILE), pieces((size_t)p.m, PRODUCT_TILE)), BLOCK,
               p);
    }
}

template void own_product_run(const own_product<float, float> &);
template void own_product_run(const own_product<bf16, float> &);
template void own_product_run(const own_product<bf16, bf16> &);
