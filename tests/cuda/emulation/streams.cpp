/* Streams and events. Nothing is done when it is posted: it is done when somebody waits for it, and
 * then whose stream goes on is drawn by chance among those that the events allow. So work that
 * should have waited for an event of another stream runs too early sooner or later.
 *
 * Copies from and to pageable memory are done when the call returns, as the real ones may be; from
 * and to pinned memory they read and write it when their turn comes. */
#include "emulation.h"

#include <chrono>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

enum {
    MOST_THREADS = 1024,
    MOST_SHARED = 227 << 10,
    SHARED_FOR_ALL = 48 << 10,
    RUNTIME = 13000,
    PROCESSORS = 4
};

struct emulated_event {
    unsigned long recorded, reached; /* how often it was posted, how often its turn came */
    double seconds;                  /* when it was last reached */
};
/* Work, or (event set) the wait for, or the recording of, an event for the n-th time. */
struct work {
    std::function<void()> run;
    emulated_event *event;
    bool waits;
    unsigned long n;
};
struct emulated_stream {
    std::deque<work> posted;
};

static std::vector<emulated_stream *> streams;
static emulated_stream null_stream;
static std::recursive_mutex lock; /* several threads of the host may post */
static cudaError_t last;
typedef std::lock_guard<std::recursive_mutex> locked;

static cudaError_t fails(cudaError_t e)
{
    return last = e;
}

static emulated_stream *stream_of(cudaStream_t s)
{
    return s ? s : &null_stream;
}

static double clock_seconds()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

/* --- doing what was posted --- */

static bool can_go_on(const emulated_stream *s)
{
    if (s->posted.empty()) return false;
    const work &w = s->posted.front();
    return !w.waits || w.event->reached >= w.n;
}

static void do_first(emulated_stream *s)
{
    work w = std::move(s->posted.front());
    s->posted.pop_front();
    if (w.event && !w.waits) {
        w.event->reached = w.n;
        w.event->seconds = clock_seconds();
    }
    if (!w.run) return;
    memory_open();
    w.run();
    memory_check();
    grid_done();
}

/* One piece of work of a stream that can go on; false: there is none. */
static bool do_one()
{
    std::vector<emulated_stream *> able;
    if (can_go_on(&null_stream)) able.push_back(&null_stream);
    for (emulated_stream *s : streams)
        if (can_go_on(s)) able.push_back(s);
    if (able.empty()) return false;
    do_first(able[emulated_draw((unsigned)able.size())]);
    return true;
}

static void finish(const std::function<bool()> &done)
{
    while (!done())
        if (!do_one()) emulated_fault("streams wait for each other's events");
    memory_close();
}

static void finish_stream(emulated_stream *s)
{
    finish([s] { return s->posted.empty(); });
}

void streams_finish()
{
    locked hold(lock);
    while (do_one()) {
    }
    memory_close();
}

static void post(emulated_stream *s, std::function<void()> run)
{
    s->posted.push_back({std::move(run), nullptr, false, 0});
}

/* What another library posts. */
void streams_post(cudaStream_t stream, std::function<void()> run)
{
    locked hold(lock);
    post(stream_of(stream), std::move(run));
}

/* --- the runtime's functions: streams and events --- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    locked hold(lock);
    streams.push_back(*stream = new emulated_stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    locked hold(lock);
    finish_stream(stream);
    std::erase(streams, stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    locked hold(lock);
    if (emulated_gpu.breaks) return fails((cudaError_t)emulated_gpu.breaks);
    finish_stream(stream_of(stream));
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize()
{
    streams_finish();
    return cudaSuccess;
}

/* What is waited for is the recording posted last; an event never recorded holds nobody up. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    locked hold(lock);
    stream_of(stream)->posted.push_back({nullptr, event, true, event->recorded});
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    *event = new emulated_event();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    streams_finish();
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    locked hold(lock);
    stream_of(stream)->posted.push_back({nullptr, event, false, ++event->recorded});
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    locked hold(lock);
    return event->reached == event->recorded ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    locked hold(lock);
    finish([event] { return event->reached == event->recorded; });
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    locked hold(lock);
    if (from->reached != from->recorded || to->reached != to->recorded) return cudaErrorNotReady;
    if (from->recorded == 0 || to->recorded == 0) return fails(cudaErrorInvalidResourceHandle);
    *ms = (float)((to->seconds - from->seconds) * 1000);
    return cudaSuccess;
}

/* --- copies, fills, launches --- */

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    if (bytes == 0) return cudaSuccess;
    locked hold(lock);
    bool into = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool out = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (memory_is_device(to, into ? bytes : 1) != into ||
        memory_is_device(from, out ? bytes : 1) != out)
        return fails(cudaErrorInvalidValue);
    emulated_stream *s = stream_of(stream);
    post(s, [=] { memmove(to, from, bytes); });
    if (!(into && out) && !memory_is_pinned(into ? from : to)) finish_stream(s);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream)
{
    if (bytes == 0) return cudaSuccess;
    locked hold(lock);
    if (!memory_is_device(to, bytes)) return fails(cudaErrorInvalidValue);
    post(stream_of(stream), [=] { memset(to, byte, bytes); });
    return cudaSuccess;
}

/* What kernels may have beyond what all may. */
static std::map<const void *, size_t> allowed_shared;

cudaError_t emulated_allow_shared(const void *kernel, int bytes)
{
    locked hold(lock);
    if (bytes < 0 || bytes > MOST_SHARED) return fails(cudaErrorInvalidValue);
    allowed_shared[kernel] = (size_t)bytes;
    return cudaSuccess;
}

static size_t shared_of(const void *kernel)
{
    auto found = allowed_shared.find(kernel);
    return found == allowed_shared.end() ? (size_t)SHARED_FOR_ALL : found->second;
}

cudaError_t emulated_launch(const cudaLaunchConfig_t *config, const void *kernel,
                            std::function<void()> thread)
{
    dim3 g = config->gridDim, b = config->blockDim;
    size_t threads = (size_t)b.x * b.y * b.z;
    if (!emulated_gpu.image) return fails(cudaErrorNoKernelImageForDevice);
    if (threads == 0 || threads > MOST_THREADS || b.z > 64 || g.x == 0 || g.x > 0x7fffffffu ||
        g.y == 0 || g.y > 65535 || g.z == 0 || g.z > 65535)
        return fails(cudaErrorInvalidConfiguration);
    locked hold(lock);
    if (config->dynamicSmemBytes > shared_of(kernel)) return fails(cudaErrorInvalidValue);
    post(stream_of(config->stream),
         [c = *config, kernel, body = std::move(thread)] { grid_run(c, kernel, body); });
    return cudaSuccess;
}

/* --- the machine --- */

cudaError_t emulated_attributes(cudaFuncAttributes *attributes)
{
    *attributes = {};
    return emulated_gpu.image ? cudaSuccess : fails(cudaErrorNoKernelImageForDevice);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = emulated_gpu.driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = RUNTIME;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = 0;
    if (emulated_gpu.driver < RUNTIME / 1000 * 1000) return fails(cudaErrorInsufficientDriver);
    if (emulated_gpu.devices == 0) return fails(cudaErrorNoDevice);
    *n = emulated_gpu.devices;
    return cudaSuccess;
}

static int device_now;

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= emulated_gpu.devices) return fails(cudaErrorInvalidDevice);
    device_now = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = device_now;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    if (device < 0 || device >= emulated_gpu.devices) return fails(cudaErrorInvalidDevice);
    *value = attribute == cudaDevAttrMultiProcessorCount      ? PROCESSORS
             : attribute == cudaDevAttrComputeCapabilityMajor ? emulated_gpu.major
                                                              : emulated_gpu.minor;
    return cudaSuccess;
}

cudaError_t cudaGetLastError()
{
    return std::exchange(last, cudaSuccess);
}

/* Names and texts of the real runtime. */
static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
#define ERROR(name, text) \
    {                     \
        name, #name, text \
    }
    ERROR(cudaSuccess, "no error"),
    ERROR(cudaErrorInvalidValue, "invalid argument"),
    ERROR(cudaErrorMemoryAllocation, "out of memory"),
    ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    ERROR(cudaErrorInsufficientDriver,
          "CUDA driver version is insufficient for CUDA runtime version"),
    ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    ERROR(cudaErrorNoKernelImageForDevice,
          "no kernel image is available for execution on the device"),
    ERROR(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable"),
    ERROR(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered"),
    ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    ERROR(cudaErrorNotReady, "device not ready")};

const char *cudaGetErrorName(cudaError_t e)
{
    for (auto &row : errors)
        if (row.error == e) return row.name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t e)
{
    for (auto &row : errors)
        if (row.error == e) return row.text;
    return "unrecognized error code";
}
