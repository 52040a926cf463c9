/* Moves: no arithmetic. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

/* unit: the widest word that divides rows, steps and addresses */
template <class unit>
__global__ void copy_rows_kernel(unit *y, size_t y_step, const unit *x, size_t x_step, size_t units)
{
    size_t row = blockIdx.x, each = (size_t)gridDim.y * TILE;
    for (size_t i = (size_t)blockIdx.y * TILE + threadIdx.x; i < units; i += each)
        y[row * y_step + i] = x[row * x_step + i];
}

template <class unit>
static bool copied_by(void *y, size_t y_step, const void *x, size_t x_step, int T, size_t bytes)
{
    constexpr unsigned MOST_PIECES = 4096;
    size_t all = (uintptr_t)y | (uintptr_t)x | y_step | x_step | bytes, size = sizeof(unit);
    if (all % size != 0) return false;
    unsigned n = pieces(bytes / size, TILE);
    launch(copy_rows_kernel<unit>, dim3((unsigned)T, n < MOST_PIECES ? n : MOST_PIECES), TILE,
           (unit *)y, y_step / size, (const unit *)x, x_step / size, bytes / size);
    return true;
}

template <class real>
void rows<real>::copy_rows(void *y, size_t y_step, const void *x, size_t x_step, int T,
                           size_t bytes)
{
    (void)(copied_by<uint4>(y, y_step, x, x_step, T, bytes) ||
           copied_by<unsigned>(y, y_step, x, x_step, T, bytes) ||
           copied_by<unsigned char>(y, y_step, x, x_step, T, bytes));
}

template <class real>
__global__ void scatter_rows_kernel(real *y, const int *at, const real *x, int C, int K, bool whole)
{
    size_t i = blockIdx.x, from = i / (size_t)K, to = (size_t)at[i];
    int c = tile_first();
    if (c >= C) return;
    span<real> s;
    span_load(s, x + from * (size_t)C + c, whole, C - c);
    span_store(y + to * (size_t)C + c, s, whole, C - c);
}

template <class real>
void rows<real>::scatter_rows(void *y, const int *at, const void *x, int T, int C, int K)
{
    launch(scatter_rows_kernel<real>, tiles(T * K, C), TILE, (real *)y, at, (const real *)x, C, K,
           spans_fit((size_t)C, y, x));
}

__global__ static void fill_columns_kernel(float *y, int first, int n, float value, int N)
{
    int i = (int)(blockIdx.y * TILE + threadIdx.x);
    if (i < n) y[(size_t)blockIdx.x * (size_t)N + (size_t)(first + i)] = value;
}

template <class real>
void rows<real>::fill_columns(float *y, struct share columns, float value, int T, int N)
{
    launch(fill_columns_kernel, dim3((unsigned)T, pieces((size_t)columns.n, TILE)), TILE, y,
           columns.first, columns.n, value, N);
}

template struct rows<float>;
template struct rows<bf16>;
