/* The emulated GPU as tests set it up, and what its three files know of each other.
 *
 *   memory.cpp   memory of the device and pinned memory: guard pages, NaNs, whose hands are on it
 *   streams.cpp  streams and events, and the functions of the runtime
 *   threads.cpp  a grid: blocks, threads as fibers, barriers, warps
 *   cublaslt.cpp products of the library, posted on streams as kernels are */
#ifndef DUET_TESTS_CUDA_EMULATION_EMULATION_H
#define DUET_TESTS_CUDA_EMULATION_EMULATION_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The machine that is pretended. */
struct emulated_gpu {
    int devices, driver, major, minor; /* driver 13000 is of CUDA 13.0; 0: there is none */
    size_t memory;                     /* bytes that can be had */
    bool image;                        /* the program has code for the device */
    int breaks; /* an error (cudaError_t) that all waiting for work tells from now on; 0: none */
};
extern struct emulated_gpu emulated_gpu;

/* What the emulated cuBLASLt offers, and how many products it was asked for. */
struct emulated_library_offers {
    bool plain; /* algorithms that keep promise P1 */
    unsigned long calls;
};
extern struct emulated_library_offers emulated_library;

/* Whose turn it is, is drawn by chance from this seed: blocks, threads between barriers, streams.
 * CUDA_EMULATION_SEED in the environment sets the first. */
void emulated_seed(unsigned seed);
/* What is called with the text of a fault; it must not return. NULL: stderr, then exit 70. */
void emulated_on_fault(void (*call)(const char *text));

#ifdef __cplusplus
}

#include <functional>
#include "cuda_runtime.h"

unsigned emulated_draw(unsigned n); /* below n */
[[noreturn]] void emulated_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- memory.cpp --- */
bool memory_is_device(const void *at, size_t bytes); /* within one allocation */
bool memory_is_pinned(const void *at);
void memory_open();  /* the device works: its memory can be touched */
void memory_check(); /* it is whole: nothing was written behind an allocation's end */
void memory_close(); /* the host waits no more: it has no rights to it */

/* --- streams.cpp --- */
void streams_post(cudaStream_t stream, std::function<void()> run);
void streams_finish(); /* all that was posted, in any order the events allow */

/* --- threads.cpp --- */
void grid_run(const cudaLaunchConfig_t &config, const void *kernel,
              const std::function<void()> &thread);
void grid_done();         /* its memory was looked at */
const char *grid_place(); /* "kernel f, block (0,0,0), thread (3,0,0)", or "the host" */
#endif

#endif
