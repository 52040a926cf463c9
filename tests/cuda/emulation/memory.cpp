/* Memory of the emulated device. An allocation stands between pages without rights, its end as near
 * to the second as its boundary of 64 bytes lets it be; what is left between holds a pattern, which
 * is looked at after each piece of work (and AddressSanitizer, where it is there, knows the exact
 * end). Its bytes are NaN until written. Between pieces of work it has no rights either: a host
 * that touches it faults, and the fault says whose it was. */
#include "emulation.h"

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(at, bytes)   __asan_poison_memory_region(at, bytes)
#define UNPOISON(at, bytes) __asan_unpoison_memory_region(at, bytes)
#else
#define POISON(at, bytes)   ((void)0)
#define UNPOISON(at, bytes) ((void)0)
#endif

enum { PAGE = 4096, LINE = 64, UNWRITTEN = 0xff };

struct emulated_gpu emulated_gpu = {.devices = 1,
                                    .driver = 13000,
                                    .major = 9,
                                    .minor = 0,
                                    .memory = (size_t)1 << 30,
                                    .image = true};

struct piece {
    unsigned char *pages; /* `whole` bytes between two guards */
    size_t bytes, whole;
};
static std::map<uintptr_t, piece> device_pieces; /* by where they begin */
static std::map<uintptr_t, size_t> pinned_pieces;
static size_t used;
static bool is_open;
static void (*on_fault)(const char *text);
static unsigned long long random_state;

/* CUDA_EMULATION_MEMORY: bytes, for whole programs. */
__attribute__((constructor)) static void read_memory()
{
    const char *text = getenv("CUDA_EMULATION_MEMORY");
    if (text) emulated_gpu.memory = (size_t)strtoull(text, nullptr, 10);
}

/* --- chance and faults --- */

void emulated_seed(unsigned seed)
{
    random_state = seed * 0x9e3779b97f4a7c15ull + 1;
}

/* splitmix64 */
unsigned emulated_draw(unsigned n)
{
    if (random_state == 0) {
        const char *text = getenv("CUDA_EMULATION_SEED");
        emulated_seed(text ? (unsigned)atoi(text) : 1);
    }
    unsigned long long z = random_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (unsigned)((z >> 32) % n);
}

void emulated_on_fault(void (*call)(const char *text))
{
    on_fault = call;
}

void emulated_fault(const char *format, ...)
{
    char text[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (on_fault) on_fault(text);
    fprintf(stderr, "emulated GPU: %s\n", text);
    _exit(70);
}

/* --- whose memory an address is --- */

/* The allocation that begins nearest below `at`, or NULL. */
static const piece *piece_below(const void *at, uintptr_t *first)
{
    auto next = device_pieces.upper_bound((uintptr_t)at);
    if (next == device_pieces.begin()) return nullptr;
    --next;
    *first = next->first;
    return &next->second;
}

bool memory_is_device(const void *at, size_t bytes)
{
    uintptr_t first = 0;
    const piece *p = piece_below(at, &first);
    size_t from = (uintptr_t)at - first;
    return p && from <= p->bytes && bytes <= p->bytes - from && (bytes > 0 || from < p->bytes);
}

bool memory_is_pinned(const void *at)
{
    auto next = pinned_pieces.upper_bound((uintptr_t)at);
    if (next == pinned_pieces.begin()) return false;
    --next;
    return (uintptr_t)at - next->first < next->second;
}

/* A guard page was hit, or the host's hands were on the device's memory; anything else is a fault
 * of the program as ever. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr, first = 0;
    const piece *p = piece_below(info->si_addr, &first);
    if (p && at - first < p->bytes && !is_open)
        emulated_fault("the host touches device memory: byte %zu of %zu", (size_t)(at - first),
                       p->bytes);
    if (p && at < (uintptr_t)p->pages + p->whole + PAGE)
        emulated_fault("%s: out of bounds: byte %zu of an allocation of %zu", grid_place(),
                       (size_t)(at - first), p->bytes);
    auto next = device_pieces.upper_bound(at);
    if (next != device_pieces.end() && at >= (uintptr_t)next->second.pages - PAGE)
        emulated_fault("%s: out of bounds: byte -%zu of an allocation of %zu", grid_place(),
                       (size_t)(next->first - at), next->second.bytes);
    if (is_open) emulated_fault("%s: no memory at %p", grid_place(), info->si_addr);
    signal(number, SIG_DFL);
}

static void rights(int to)
{
    for (auto &[first, p] : device_pieces)
        if (mprotect(p.pages, p.whole, to) != 0) emulated_fault("mprotect failed");
    is_open = to != PROT_NONE;
}

void memory_open()
{
    if (!is_open) rights(PROT_READ | PROT_WRITE);
}

void memory_check()
{
    for (auto &[first, p] : device_pieces) {
        unsigned char *end = (unsigned char *)first + p.bytes;
        UNPOISON(end, (size_t)(p.pages + p.whole - end));
        for (unsigned char *at = end; at < p.pages + p.whole; at++)
            if (*at != UNWRITTEN)
                emulated_fault("%s: out of bounds: byte %zu of an allocation of %zu was written",
                               grid_place(), (size_t)(at - (unsigned char *)first), p.bytes);
        POISON(end, (size_t)(p.pages + p.whole - end));
    }
}

void memory_close()
{
    if (is_open) rights(PROT_NONE);
}

/* --- allocations --- */

cudaError_t cudaMalloc(void **at, size_t bytes)
{
    size_t lines = (bytes + LINE - 1) / LINE * LINE, whole = (lines + PAGE - 1) / PAGE * PAGE;
    *at = nullptr;
    if (bytes == 0) return cudaSuccess;
    if (whole < bytes || whole > emulated_gpu.memory - used) return cudaErrorMemoryAllocation;
    if (device_pieces.empty()) {
        struct sigaction act = {};
        act.sa_sigaction = on_signal;
        act.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &act, nullptr);
    }
    void *guarded = mmap(nullptr, whole + 2 * PAGE, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (guarded == MAP_FAILED) return cudaErrorMemoryAllocation;
    unsigned char *pages = (unsigned char *)guarded + PAGE, *first = pages + whole - lines;
    mprotect(pages, whole, PROT_READ | PROT_WRITE);
    memset(pages, UNWRITTEN, whole);
    POISON(first + bytes, lines - bytes);
    mprotect(pages, whole, PROT_NONE);
    device_pieces[(uintptr_t)first] = {pages, bytes, whole};
    used += whole;
    *at = first;
    return cudaSuccess;
}

/* Waits for all work first, as the real one does; then the pages are gone, and who uses them still
 * faults. */
cudaError_t cudaFree(void *at)
{
    if (!at) return cudaSuccess;
    streams_finish();
    auto found = device_pieces.find((uintptr_t)at);
    if (found == device_pieces.end()) return cudaErrorInvalidValue;
    piece p = found->second;
    UNPOISON(p.pages, p.whole);
    munmap(p.pages - PAGE, p.whole + 2 * PAGE);
    used -= p.whole;
    device_pieces.erase(found);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **at, size_t bytes)
{
    *at = aligned_alloc(LINE, (bytes + LINE - 1) / LINE * LINE);
    if (!*at) return cudaErrorMemoryAllocation;
    memset(*at, UNWRITTEN, bytes);
    pinned_pieces[(uintptr_t)*at] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *at)
{
    if (!at) return cudaSuccess;
    streams_finish();
    if (pinned_pieces.erase((uintptr_t)at) == 0) return cudaErrorInvalidValue;
    free(at);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    *free = emulated_gpu.memory - used;
    *total = emulated_gpu.memory;
    return cudaSuccess;
}
