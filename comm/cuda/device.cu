/* The table of an NVIDIA GPU. All work goes on one stream that no other waits for
 * (cudaStreamNonBlocking); the host waits for it in copy_out, sync and reached alone. */
#include "comm/cuda/check.h"

#define _Noreturn [[noreturn]]
extern "C" {
#include "comm/base/die.h"
#include "comm/base/log.h"
#include "comm/cuda/device.h"
}

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

/* Small pieces for the device (tokens, bounds of sequences) are copied to pinned memory and sent
 * from there while the host goes on: two halves, of which one is filled while the other is on its
 * way. */
constexpr size_t HALF_BYTES = 256 << 10, HALF_LINE = 64;
constexpr int OLDEST_MAJOR = 8; /* Ampere: bf16 */
/* Differences of events are floats of milliseconds: counted from an event that is not older. */
constexpr double BASE_SECONDS = 60;

/* Threads that move messages copy, too. */
static std::recursive_mutex lock;
typedef std::lock_guard<std::recursive_mutex> locked;

static struct {
    int ordinal;
    cudaStream_t stream;
    unsigned char *half[2];
    cudaEvent_t sent[2];
    size_t filled;
    int filling;
    char place[64];
} gpu = {-1, nullptr, {}, {}, 0, 0, ""};

/* An event whose time on the host's clock is known, and how many marks were posted before it. */
static struct {
    cudaEvent_t event;
    double seconds;
    uint64_t posted;
} base;

/* --- errors --- */

/* What helps against an error of the runtime. */
static const char *fix_of(cudaError_t e)
{
    switch (e) {
    case cudaErrorMemoryAllocation:
        return "lower what a rank holds (duet plan shows it), or use more ranks";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
        return "this program has no code for this GPU: build it with a CUDA toolkit that has";
    case cudaErrorECCUncorrectable:
        return "the GPU's memory is damaged: take this host out, nvidia-smi -q -d ECC tells more";
    case cudaErrorDevicesUnavailable:
        return "another process has the GPU to itself (nvidia-smi -q -d COMPUTE)";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
        return "a kernel posted earlier went wrong: run again with CUDA_LAUNCH_BLOCKING=1, "
               "which names it, or under compute-sanitizer";
    default: return "dmesg and nvidia-smi on this host may say more";
    }
}

void cuda_check(cudaError_t e, const char *what, const char *file, int line)
{
    if (e != cudaSuccess)
        die_fmt(file, line, EXIT_WORLD, what, fix_of(e), "%s: %s", cudaGetErrorName(e),
                cudaGetErrorString(e));
}

/* --- rows --- */

/* A thread that has not said which GPU it means would mean the first. */
static void thread_here()
{
    static thread_local int here = -1;
    if (here == gpu.ordinal) return;
    CUDA_OK(cudaSetDevice(gpu.ordinal));
    here = gpu.ordinal;
}

cudaStream_t cuda_stream()
{
    thread_here();
    return gpu.stream;
}

static void *gpu_alloc(size_t bytes)
{
    void *at = nullptr;
    thread_here();
    cudaError_t e = cudaMalloc(&at, bytes > 0 ? bytes : 1);
    if (e == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* it was heard */
        return nullptr;
    }
    cuda_check(e, "cudaMalloc", __FILE__, __LINE__);
    return at;
}

static void gpu_release(void *at)
{
    CUDA_OK(cudaFree(at));
}

static size_t gpu_room()
{
    size_t free = 0, total = 0;
    thread_here();
    CUDA_OK(cudaMemGetInfo(&free, &total));
    return free;
}

static void gpu_sync()
{
    CUDA_OK(cudaStreamSynchronize(cuda_stream()));
}

/* The other half, once what was sent from it has arrived. */
static void half_next()
{
    CUDA_OK(cudaEventRecord(gpu.sent[gpu.filling], cuda_stream()));
    gpu.filling = 1 - gpu.filling;
    gpu.filled = 0;
    CUDA_OK(cudaEventSynchronize(gpu.sent[gpu.filling]));
}

static void gpu_copy_in(void *to, const void *from, size_t bytes)
{
    locked hold(lock);
    if (bytes > HALF_BYTES) {
        CUDA_OK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, cuda_stream()));
        gpu_sync();
    } else if (bytes > 0) {
        if (bytes > HALF_BYTES - gpu.filled) half_next();
        unsigned char *by_way = gpu.half[gpu.filling] + gpu.filled;
        memcpy(by_way, from, bytes);
        CUDA_OK(cudaMemcpyAsync(to, by_way, bytes, cudaMemcpyHostToDevice, cuda_stream()));
        gpu.filled += (bytes + HALF_LINE - 1) / HALF_LINE * HALF_LINE;
    }
}

static void gpu_copy_out(void *to, const void *from, size_t bytes)
{
    if (bytes == 0) return;
    CUDA_OK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, cuda_stream()));
    gpu_sync();
}

static void *gpu_pinned_alloc(size_t bytes)
{
    void *at = nullptr;
    thread_here();
    cudaError_t e = cudaMallocHost(&at, bytes > 0 ? bytes : 1);
    if (e != cudaErrorMemoryAllocation) cuda_check(e, "cudaMallocHost", __FILE__, __LINE__);
    if (e != cudaSuccess) cudaGetLastError(); /* it was heard */
    return at;
}

static void gpu_pinned_release(void *at)
{
    CUDA_OK(cudaFreeHost(at));
}

static void gpu_copy(void *to, const void *from, size_t bytes)
{
    if (bytes > 0)
        CUDA_OK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda_stream()));
}

static void gpu_fill(void *to, int byte, size_t bytes)
{
    if (bytes > 0) CUDA_OK(cudaMemsetAsync(to, byte, bytes, cuda_stream()));
}

/* --- marks: events, on the clock of the host by way of `base` --- */

struct gpu_mark {
    cudaEvent_t event;
    uint64_t number; /* in the order of the stream */
};
static uint64_t marks_posted;

static void base_renew()
{
    CUDA_OK(cudaEventRecord(base.event, cuda_stream()));
    CUDA_OK(cudaEventSynchronize(base.event));
    base.seconds = clock_now();
    base.posted = marks_posted;
}

static void gpu_mark(struct device_mark *m)
{
    locked hold(lock);
    if (!m->own) {
        struct gpu_mark *made = (struct gpu_mark *)calloc(1, sizeof *made);
        SYS_OK(made, NULL, "no memory for an event");
        CUDA_OK(cudaEventCreateWithFlags(&made->event, cudaEventDefault));
        m->own = made;
    }
    struct gpu_mark *own = (struct gpu_mark *)m->own;
    own->number = marks_posted++;
    CUDA_OK(cudaEventRecord(own->event, cuda_stream()));
}

/* The base may have been renewed since the mark was posted: then it was reached before. */
static double gpu_reached(struct device_mark *m)
{
    const struct gpu_mark *own = (const struct gpu_mark *)m->own;
    locked hold(lock);
    float ms = 0;
    CUDA_OK(cudaEventSynchronize(own->event));
    if (own->number < base.posted) {
        CUDA_OK(cudaEventElapsedTime(&ms, own->event, base.event));
        return m->seconds = base.seconds - (double)ms / 1000;
    }
    CUDA_OK(cudaEventElapsedTime(&ms, base.event, own->event));
    m->seconds = base.seconds + (double)ms / 1000;
    if ((double)ms > BASE_SECONDS * 1000) base_renew();
    return m->seconds;
}

static void gpu_mark_free(struct device_mark *m)
{
    struct gpu_mark *own = (struct gpu_mark *)m->own;
    if (own) CUDA_OK(cudaEventDestroy(own->event));
    free(own);
    m->own = nullptr;
}

/* --- which GPU --- */

/* A driver runs programs of its own release of CUDA and of older ones. */
static bool driver_is_new_enough(struct problems *p)
{
    int driver = 0, built = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&built);
    if (driver == 0)
        problems_add(p, NULL, 0,
                     "no NVIDIA driver on this host: install one of CUDA %d.%d or newer "
                     "(nvidia-smi shows it), or compute on the host",
                     built / 1000, built % 1000 / 10);
    else if (driver / 1000 < built / 1000)
        problems_add(p, NULL, 0,
                     "the NVIDIA driver is of CUDA %d.%d, this program of %d.%d: install a driver "
                     "of CUDA %d.0 or newer, or build with CUDA %d",
                     driver / 1000, driver % 1000 / 10, built / 1000, built % 1000 / 10,
                     built / 1000, driver / 1000);
    return driver / 1000 >= built / 1000;
}

/* Whether there is a GPU of this number that the driver lets us have. */
static bool gpu_is_there(int ordinal, struct problems *p)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    int n = 0;
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e != cudaSuccess && e != cudaErrorNoDevice)
        problems_add(p, NULL, 0, "no GPU can be used: %s (%s); %s", cudaGetErrorString(e),
                     cudaGetErrorName(e), fix_of(e));
    else if (ordinal >= n)
        problems_add(
            p, NULL, 0,
            "GPU %d is wanted, and %d can be seen (CUDA_VISIBLE_DEVICES %s%s): start "
            "fewer ranks on this host, show them more GPUs, or let some share one (ranks_per_gpu)",
            ordinal, n, visible ? "is " : "is not set", visible ? visible : "");
    cudaGetLastError();
    return ordinal < n;
}

__global__ void probe_kernel() {}

/* Code of a kernel is looked up, which finds a program without any for this GPU. */
static bool has_code(int ordinal, struct problems *p)
{
    int major = 0, minor = 0;
    cudaFuncAttributes unused;
    CUDA_OK(cudaSetDevice(ordinal));
    CUDA_OK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal));
    CUDA_OK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ordinal));
    cudaError_t e = cudaFuncGetAttributes(&unused, probe_kernel);
    cudaGetLastError();
    if (major < OLDEST_MAJOR)
        problems_add(p, NULL, 0,
                     "GPU %d is of compute capability %d.%d, and %d.0 is the least that Duet "
                     "computes on: use another GPU, or the host",
                     ordinal, major, minor, OLDEST_MAJOR);
    else if (e != cudaSuccess)
        problems_add(p, NULL, 0, "GPU %d (compute capability %d.%d): %s (%s); %s", ordinal, major,
                     minor, cudaGetErrorString(e), cudaGetErrorName(e), fix_of(e));
    return major >= OLDEST_MAJOR && e == cudaSuccess;
}

static void begin(int ordinal)
{
    gpu.ordinal = ordinal;
    CUDA_OK(cudaStreamCreateWithFlags(&gpu.stream, cudaStreamNonBlocking));
    for (int i = 0; i < 2; i++) {
        CUDA_OK(cudaMallocHost((void **)&gpu.half[i], HALF_BYTES));
        CUDA_OK(cudaEventCreateWithFlags(&gpu.sent[i], cudaEventDisableTiming));
    }
    CUDA_OK(cudaEventCreateWithFlags(&base.event, cudaEventDefault));
    base_renew();
    snprintf(gpu.place, sizeof gpu.place, "GPU %d", ordinal);
}

static const struct device table = {.name = "cuda",
                                    .place = gpu.place,
                                    .alloc = gpu_alloc,
                                    .release = gpu_release,
                                    .room = gpu_room,
                                    .copy_in = gpu_copy_in,
                                    .copy_out = gpu_copy_out,
                                    .copy = gpu_copy,
                                    .fill = gpu_fill,
                                    .pinned_alloc = gpu_pinned_alloc,
                                    .pinned_release = gpu_pinned_release,
                                    .sync = gpu_sync,
                                    .mark = gpu_mark,
                                    .reached = gpu_reached,
                                    .mark_free = gpu_mark_free};

const struct device *device_cuda_here()
{
    INVARIANT(gpu.ordinal >= 0, "GPU %d", gpu.ordinal);
    return &table;
}

/* Found and begun at the first call; later ones get the same. */
const struct device *device_cuda(int ordinal, struct problems *p)
{
    if (gpu.ordinal >= 0) {
        INVARIANT(gpu.ordinal == ordinal, "GPU %d is in use, %d is wanted", gpu.ordinal, ordinal);
        return &table;
    }
    if (!driver_is_new_enough(p) || !gpu_is_there(ordinal, p) || !has_code(ordinal, p))
        return nullptr;
    begin(ordinal);
    return &table;
}
