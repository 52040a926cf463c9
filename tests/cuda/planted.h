/* Kernels of planted.cu, for test_emulation.c: sound ones, and each fault that the emulated GPU
 * must see. */
#ifndef DUET_TESTS_CUDA_PLANTED_H
#define DUET_TESTS_CUDA_PLANTED_H

#ifdef __cplusplus
extern "C" {
#endif

enum { PLANTED_N = 256 };

enum planted {
    REVERSE,          /* through shared memory */
    NO_BARRIER,       /* the same, without the barrier */
    EARLY_END,        /* threads end before the barrier */
    TWO_BARRIERS,     /* some wait at one, the rest at another */
    WARP_SUM,         /* by shuffles */
    LANE_GONE,        /* a lane ends before the shuffle that names it */
    READ_BEHIND,      /* one element behind the input */
    READ_BEFORE,      /* one before it */
    WRITE_BEHIND,     /* one behind the output */
    SHARED_UNWRITTEN, /* shared memory that nobody has written */
    DYNAMIC_REVERSE,  /* REVERSE, through dynamic shared memory */
    BLOCKS_IN_ORDER,  /* blocks that count on being run by rising number */
    COUNT             /* an integer by atomicAdd */
};
/* Runs one on n floats of `in`, PLANTED_N unless a case says otherwise; out: n floats of the host.
 * `out` of the device is not written before. */
void planted_run(enum planted kernel, float *out, const float *in, int n);

/* in -> out on one stream, out copied on another, behind an event or not. */
void planted_two_streams(float *out, const float *in, int waits);
/* The host reads device memory. */
float planted_host_read(void);
/* A copy to pinned memory, read before anybody has waited for it, and after. */
void planted_early_read(float *early, float *late, float value);

#ifdef __cplusplus
}
#endif
#endif
