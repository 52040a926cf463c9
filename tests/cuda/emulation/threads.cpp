/* A grid, run on one host thread: blocks one after the other in an order drawn by chance, a block's
 * threads as fibers. A fiber runs until it waits (for its block, or for lanes of its warp) or ends.
 * Which of those that can go on does, is drawn by chance: between two barriers either any of them,
 * or one warp after the other, each as far as it can go. So a missing barrier shows as values not
 * yet written, or written too early. Where none can go on, some wait for others that have ended or
 * wait elsewhere: they are named. */
#include "emulation.h"

#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <dlfcn.h>
#include <link.h>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
enum { STACK = 256 << 10 };
#else
enum { STACK = 64 << 10 };
#endif

enum { MOST_THREADS = 1024, DYNAMIC_SHARED = 227 << 10, UNWRITTEN = 0xff };
enum state { READY, AT_BARRIER, AT_WARP, ENDED };

struct fiber {
    void *stack_top; /* while it does not run */
    void *fake_stack;
    uint3 id;
    enum state state;
    const char *file; /* where it waits */
    int line;
    unsigned mask; /* the lanes that it waits for */
    uint64_t value, got[warpSize];
};

static struct {
    unsigned char *stacks;
    fiber fibers[MOST_THREADS], *now;
    std::vector<int> ready;
    bool by_warp;
    int n, waiting, ended; /* threads of a block; of those at the barrier; of those that ended */
    const std::function<void()> *body;
    const void *kernel;
    void *scheduler_top, *scheduler_fake;
    const void *scheduler_stack;
    size_t scheduler_bytes, dynamic_bytes;
} grid;

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
extern thread_local unsigned char dynamic_shared[];
alignas(128) thread_local unsigned char dynamic_shared[DYNAMIC_SHARED];

/* --- names --- */

static std::string kernel_name()
{
    Dl_info info;
    if (!dladdr(grid.kernel, &info) || !info.dli_sname) return "?";
    int status = 0;
    char *plain = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
    std::string name = plain ? plain : info.dli_sname;
    free(plain);
    return name;
}

static std::string place_of(const uint3 &thread)
{
    char text[160];
    snprintf(text, sizeof text, ", block (%u,%u,%u), thread (%u,%u,%u)", blockIdx.x, blockIdx.y,
             blockIdx.z, thread.x, thread.y, thread.z);
    return "kernel " + kernel_name() + text;
}

const char *grid_place()
{
    static std::string text;
    text = grid.now      ? place_of(grid.now->id)
           : grid.kernel ? "kernel " + kernel_name()
                         : std::string("the host");
    return text.c_str();
}

/* --- changing stacks --- */

/* Saves the registers that a call keeps and the stack in *from, goes on with those of `to`. */
extern "C" void emulated_switch(void **from, void *to);
#if defined(__x86_64__)
asm(".text\n.globl emulated_switch\n.type emulated_switch,@function\nemulated_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
    ".size emulated_switch,.-emulated_switch\n");
enum { SAVED = 6, FRAME = 8 }; /* words; a function begins with its stack 8 off a multiple of 16 */
#elif defined(__aarch64__)
asm(".text\n.globl emulated_switch\n.type emulated_switch,%function\nemulated_switch:\n"
    "stp x29, x30, [sp, #-160]!\nstp x19, x20, [sp, #16]\nstp x21, x22, [sp, #32]\n"
    "stp x23, x24, [sp, #48]\nstp x25, x26, [sp, #64]\nstp x27, x28, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\n"
    "stp d14, d15, [sp, #144]\nmov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
    "ldp x19, x20, [sp, #16]\nldp x21, x22, [sp, #32]\nldp x23, x24, [sp, #48]\n"
    "ldp x25, x26, [sp, #64]\nldp x27, x28, [sp, #80]\nldp d8, d9, [sp, #96]\n"
    "ldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
    "ldp x29, x30, [sp], #160\nret\n.size emulated_switch,.-emulated_switch\n");
enum { SAVED = 1, FRAME = 20 };
#else
#error "the emulated GPU changes stacks on x86-64 and aarch64 only"
#endif

/* From the scheduler to a fiber and back; AddressSanitizer is told which stack is in use. */
static void to_fiber(fiber *f, unsigned char *stack)
{
    grid.now = f;
    threadIdx = f->id;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&grid.scheduler_fake, stack, STACK);
#else
    (void)stack;
#endif
    emulated_switch(&grid.scheduler_top, f->stack_top);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(grid.scheduler_fake, nullptr, nullptr);
#endif
    grid.now = nullptr;
}

static void to_scheduler()
{
    fiber *f = grid.now;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(f->state == ENDED ? nullptr : &f->fake_stack,
                                   grid.scheduler_stack, grid.scheduler_bytes);
#endif
    emulated_switch(&f->stack_top, grid.scheduler_top);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(f->fake_stack, nullptr, nullptr);
#endif
}

static void fiber_main()
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, &grid.scheduler_stack, &grid.scheduler_bytes);
#endif
    (*grid.body)();
    grid.now->state = ENDED;
    to_scheduler();
    abort();
}

static void fiber_begin(int i)
{
    fiber *f = &grid.fibers[i];
    unsigned char *stack = grid.stacks + (size_t)i * STACK;
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(stack, STACK);
#endif
    void **top = (void **)(void *)(stack + STACK) - FRAME;
    memset(top, 0, FRAME * sizeof *top);
    top[SAVED] = (void *)fiber_main;
    unsigned u = (unsigned)i;
    *f = {};
    f->stack_top = top;
    f->id = {u % blockDim.x, u / blockDim.x % blockDim.y, u / blockDim.x / blockDim.y};
}

/* --- waiting --- */

static void wait_as(enum state state, const char *file, int line)
{
    grid.now->state = state;
    grid.now->file = file;
    grid.now->line = line;
    to_scheduler();
}

void emulated_barrier(const char *file, int line)
{
    wait_as(AT_BARRIER, file, line);
}

int emulated_lane()
{
    return (int)(grid.now - grid.fibers) % warpSize;
}

const uint64_t *emulated_exchange(unsigned mask, uint64_t value, const char *file, int line)
{
    if (!(mask >> emulated_lane() & 1u))
        emulated_fault("%s: %s:%d: not among the lanes %08x that it names", grid_place(), file,
                       line, mask);
    grid.now->mask = mask;
    grid.now->value = value;
    wait_as(AT_WARP, file, line);
    return grid.now->got;
}

static void go_on(int i)
{
    grid.fibers[i].state = READY;
    grid.ready.push_back(i);
}

/* All threads of the block, warps in an order drawn by chance. */
static void all_go_on()
{
    int warps = (grid.n + warpSize - 1) / warpSize, order[MOST_THREADS / warpSize] = {};
    for (int w = 0; w < warps; w++) {
        int k = (int)emulated_draw((unsigned)w + 1);
        order[w] = order[k];
        order[k] = w;
    }
    for (int w = 0; w < warps; w++)
        for (int i = order[w] * warpSize; i < (order[w] + 1) * warpSize && i < grid.n; i++)
            go_on(i);
    grid.by_warp = emulated_draw(2);
}

/* All are there: they must have come to the same barrier. */
static void open_barrier()
{
    for (int i = 0; i < grid.n; i++) {
        fiber *f = &grid.fibers[i];
        if (f->line != grid.fibers[0].line || strcmp(f->file, grid.fibers[0].file) != 0)
            emulated_fault("%s waits at the barrier of line %d, thread 0 at that of line %d",
                           place_of(f->id).c_str(), f->line, grid.fibers[0].line);
    }
    grid.waiting = 0;
    all_go_on();
}

/* If all lanes that fiber i waits for are there, for the same lanes, they get each other's values.
 */
static void try_exchange(int i)
{
    int first = i / warpSize * warpSize;
    unsigned mask = grid.fibers[i].mask;
    uint64_t all[warpSize];
    for (int l = 0; l < warpSize; l++) {
        const fiber *f = &grid.fibers[first + l];
        bool named = mask >> l & 1u;
        if (named && (first + l >= grid.n || f->state != AT_WARP || f->mask != mask)) return;
        all[l] = named ? f->value : ~(uint64_t)0;
    }
    for (int l = 0; l < warpSize; l++)
        if (mask >> l & 1u) {
            memcpy(grid.fibers[first + l].got, all, sizeof all);
            go_on(first + l);
        }
}

/* Is `other` one that `waits` waits for, and not there? */
static bool holds_up(const fiber *other, const fiber *waits)
{
    int i = (int)(other - grid.fibers), w = (int)(waits - grid.fibers);
    if (waits->state == AT_BARRIER) return other->state != AT_BARRIER;
    return i / warpSize == w / warpSize && (waits->mask >> i % warpSize & 1u) &&
           (other->state != AT_WARP || other->mask != waits->mask);
}

[[noreturn]] static void stuck()
{
    const fiber *waits = nullptr, *other = nullptr;
    for (fiber *f = grid.fibers + grid.n; f-- > grid.fibers;)
        if (f->state == AT_WARP || (f->state == AT_BARRIER && !waits)) waits = f;
    for (fiber *f = grid.fibers + grid.n; f-- > grid.fibers;)
        if (holds_up(f, waits)) other = f;
    std::string rest = !other ? "it names lanes that the block does not have"
                       : other->state == ENDED
                           ? place_of(other->id) + " has ended"
                           : place_of(other->id) + " waits at line " + std::to_string(other->line);
    emulated_fault("%s waits for %s at %s:%d, in vain: %s", place_of(waits->id).c_str(),
                   waits->state == AT_WARP ? "lanes of its warp" : "the barrier", waits->file,
                   waits->line, rest.c_str());
}

/* --- blocks and the grid --- */

static void fill(uintptr_t from, uintptr_t to)
{
    if (from < to) memset((void *)from, UNWRITTEN, to - from);
}

/* This thread's shared memory, the thread-local variables of the program: the dynamic part as far
 * as the launch has asked for it. */
static int fill_shared(struct dl_phdr_info *info, size_t bytes, void *unused)
{
    (void)bytes, (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS && info->dlpi_tls_data) {
            uintptr_t first = (uintptr_t)info->dlpi_tls_data, dynamic = (uintptr_t)dynamic_shared;
            fill(first, dynamic);
            fill(dynamic, dynamic + grid.dynamic_bytes);
            fill(dynamic + DYNAMIC_SHARED, first + info->dlpi_phdr[i].p_memsz);
        }
    return 1; /* the program comes first; libraries keep theirs */
}

static void block_run()
{
    dl_iterate_phdr(fill_shared, nullptr);
    grid.ready.clear();
    grid.waiting = grid.ended = 0;
    for (int i = 0; i < grid.n; i++) fiber_begin(i);
    all_go_on();
    while (grid.ended < grid.n) {
        if (grid.ready.empty()) stuck();
        /* the last to become ready are lanes of the warp that ran last */
        size_t last = grid.ready.size() - 1;
        size_t k = grid.by_warp ? last : emulated_draw((unsigned)last + 1);
        int i = grid.ready[k];
        grid.ready[k] = grid.ready.back();
        grid.ready.pop_back();
        fiber *f = &grid.fibers[i];
        to_fiber(f, grid.stacks + (size_t)i * STACK);
        grid.ended += f->state == ENDED;
        if (f->state == AT_BARRIER && ++grid.waiting == grid.n) open_barrier();
        if (f->state == AT_WARP) try_exchange(i);
    }
}

/* A permutation of the blocks: steps of a length that has no divisor in common with their number.
 */
static void all_blocks()
{
    size_t n = (size_t)gridDim.x * gridDim.y * gridDim.z, step = 1 + emulated_draw(1u << 30) % n;
    auto divisor = [](size_t a, size_t b) {
        while (b) a = std::exchange(b, a % b);
        return a;
    };
    while (divisor(n, step) != 1) step++;
    size_t at = emulated_draw(1u << 30) % n;
    for (size_t k = 0; k < n; k++, at = (at + step) % n) {
        blockIdx = {(unsigned)(at % gridDim.x), (unsigned)(at / gridDim.x % gridDim.y),
                    (unsigned)(at / gridDim.x / gridDim.y)};
        block_run();
    }
}

/* On a thread of its own, whose thread-local variables are the grid's shared memory. */
void grid_run(const cudaLaunchConfig_t &config, const void *kernel,
              const std::function<void()> &thread)
{
    if (!grid.stacks)
        grid.stacks =
            (unsigned char *)mmap(nullptr, (size_t)MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    grid.kernel = kernel;
    grid.body = &thread;
    blockDim = config.blockDim;
    gridDim = config.gridDim;
    grid.dynamic_bytes = config.dynamicSmemBytes;
    grid.n = (int)(blockDim.x * blockDim.y * blockDim.z);
    std::thread(all_blocks).join();
}

/* After memory_close: the kernel's name is no longer wanted. */
void grid_done()
{
    grid.kernel = nullptr;
}
