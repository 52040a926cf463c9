/* Sound kernels and planted faults: what the emulated GPU must let pass, and what it must see. */
#include <cuda_runtime.h>
#include <cstdio>
#include <cstdlib>

#include "tests/cuda/planted.h"

#define OK(call)                                                                \
    do {                                                                        \
        cudaError_t e_ = (call);                                                \
        if (e_ != cudaSuccess) fprintf(stderr, "%s: %d\n", #call, e_), exit(9); \
    } while (0)

typedef void kernel_of(float *out, const float *in, int n);

__global__ void reverse(float *out, const float *in, int n)
{
    __shared__ float row[PLANTED_N];
    row[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = row[n - 1 - (int)threadIdx.x];
}

__global__ void no_barrier(float *out, const float *in, int n)
{
    __shared__ float row[PLANTED_N];
    row[threadIdx.x] = in[threadIdx.x];
    out[threadIdx.x] = row[n - 1 - (int)threadIdx.x];
}

__global__ void early_end(float *out, const float *in, int n)
{
    if ((int)threadIdx.x == n - 7) return;
    __syncthreads();
    out[threadIdx.x] = in[threadIdx.x];
}

__global__ void two_barriers(float *out, const float *in, int n)
{
    if ((int)threadIdx.x < n / 2)
        __syncthreads();
    else
        __syncthreads();
    out[threadIdx.x] = in[threadIdx.x];
}

__global__ void warp_sum(float *out, const float *in, int n)
{
    float sum = in[threadIdx.x];
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
    float first = __shfl_sync(0xffffffffu, in[threadIdx.x], 0);
    float next = __shfl_down_sync(0xffffffffu, in[threadIdx.x], 1);
    unsigned odd = __ballot_sync(0xffffffffu, threadIdx.x & 1u);
    out[threadIdx.x] = odd == 0xaaaaaaaau ? sum + first + next : -1;
    (void)n;
}

__global__ void lane_gone(float *out, const float *in, int n)
{
    if ((int)threadIdx.x == n - 3) return;
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, in[threadIdx.x], 1);
}

__global__ void read_behind(float *out, const float *in, int n)
{
    out[threadIdx.x] = in[threadIdx.x + ((int)threadIdx.x == n - 1)];
}

__global__ void read_before(float *out, const float *in, int n)
{
    out[threadIdx.x] = in[(int)threadIdx.x - 1];
    (void)n;
}

__global__ void write_behind(float *out, const float *in, int n)
{
    out[threadIdx.x + ((int)threadIdx.x == n - 1)] = in[threadIdx.x];
}

__global__ void shared_unwritten(float *out, const float *in, int n)
{
    __shared__ float row[PLANTED_N];
    if (threadIdx.x > 0) row[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = row[threadIdx.x];
    (void)n;
}

extern __shared__ unsigned char dynamic_shared[];

__global__ void dynamic_reverse(float *out, const float *in, int n)
{
    float *row = (float *)dynamic_shared;
    row[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = row[n - 1 - (int)threadIdx.x];
}

/* one thread a block */
__global__ void blocks_in_order(float *out, const float *in, int n)
{
    float before = blockIdx.x == 0 ? 0 : out[blockIdx.x - 1];
    out[blockIdx.x] = before + in[blockIdx.x];
    (void)n;
}

__global__ void count(float *out, const float *in, int n)
{
    if (threadIdx.x == 0) ((int *)out)[0] = 0;
    __syncthreads();
    if (in[threadIdx.x] > 0) atomicAdd((int *)out, 1);
    (void)n;
}

static kernel_of *const kernels[] = {
    reverse,         no_barrier,      early_end,   two_barriers, warp_sum,
    lane_gone,       read_behind,     read_before, write_behind, shared_unwritten,
    dynamic_reverse, blocks_in_order, count};

static void launch(enum planted kernel, cudaStream_t stream, float *out, const float *in, int n)
{
    cudaLaunchConfig_t c = {};
    bool alone = kernel == BLOCKS_IN_ORDER;
    c.gridDim = dim3(alone ? (unsigned)n : 1);
    c.blockDim = dim3(alone ? 1 : (unsigned)n);
    c.dynamicSmemBytes = kernel == DYNAMIC_REVERSE ? (size_t)n * sizeof(float) : 0;
    c.stream = stream;
    OK(cudaLaunchKernelEx(&c, kernels[kernel], out, in, n));
}

struct two {
    float *in, *out;
    cudaStream_t stream;
};

static two ready(const float *in, int n)
{
    two t;
    size_t bytes = (size_t)n * sizeof(float);
    OK(cudaMalloc((void **)&t.in, bytes));
    OK(cudaMalloc((void **)&t.out, bytes));
    OK(cudaStreamCreateWithFlags(&t.stream, cudaStreamNonBlocking));
    OK(cudaMemcpyAsync(t.in, in, bytes, cudaMemcpyHostToDevice, t.stream));
    return t;
}

static void end(two t, float *out, int n, cudaStream_t stream)
{
    OK(cudaMemcpyAsync(out, t.out, (size_t)n * sizeof(float), cudaMemcpyDeviceToHost, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaStreamDestroy(t.stream));
    OK(cudaFree(t.in));
    OK(cudaFree(t.out));
}

void planted_run(enum planted kernel, float *out, const float *in, int n)
{
    two t = ready(in, n);
    launch(kernel, t.stream, t.out, t.in, n);
    end(t, out, n, t.stream);
}

void planted_two_streams(float *out, const float *in, int waits)
{
    two t = ready(in, PLANTED_N);
    cudaStream_t other;
    cudaEvent_t event;
    OK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    OK(cudaMemsetAsync(t.out, 0, PLANTED_N * sizeof(float), t.stream));
    launch(REVERSE, t.stream, t.out, t.in, PLANTED_N);
    OK(cudaEventRecord(event, t.stream));
    if (waits) OK(cudaStreamWaitEvent(other, event, 0));
    end(t, out, PLANTED_N, other);
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(other));
}

float planted_host_read(void)
{
    float *at;
    OK(cudaMalloc((void **)&at, 100 * sizeof *at));
    return ((volatile float *)at)[3];
}

void planted_early_read(float *early, float *late, float value)
{
    two t = ready(&value, 1);
    float *pinned;
    OK(cudaMallocHost((void **)&pinned, sizeof *pinned));
    OK(cudaMemcpyAsync(pinned, t.in, sizeof *pinned, cudaMemcpyDeviceToHost, t.stream));
    *early = *(volatile float *)pinned;
    OK(cudaStreamSynchronize(t.stream));
    *late = *pinned;
    OK(cudaFreeHost(pinned));
    end(t, nullptr, 0, t.stream);
}
