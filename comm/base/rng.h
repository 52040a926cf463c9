/* Counter-based random numbers (Philox4x32-10; Salmon et al., SC'11): every draw is a pure function
 * of (seed, purpose, step, prompt, sample, position), so that none depends on the number of ranks
 * or the order in which work finishes (promise P3). */
#ifndef DUET_COMM_BASE_RNG_H
#define DUET_COMM_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

enum rng_purpose {
    RNG_INIT = 1, /* weights: prompt = tensor hash, sample/position = element */
    RNG_SAMPLE,   /* tokens of a rollout */
    RNG_EVAL,     /* tokens of an evaluation */
    RNG_PROBLEM,  /* problems of a task generator */
    RNG_DEMO,     /* demonstrations */
    RNG_SHUFFLE,  /* order of a data set */
    RNG_TEST
};

struct rng_at {
    uint32_t purpose, step, prompt, sample, position;
};

/* The Philox4x32-10 block itself: counter c, key k. Known answers in tests/unit. */
void rng_philox(uint32_t out[4], const uint32_t c[4], const uint32_t k[2]);

/* The block's key: of every draw for a purpose. */
uint64_t rng_key(uint64_t seed, uint32_t purpose);
uint64_t rng_bits(uint64_t seed, struct rng_at at);
double rng_uniform(uint64_t seed, struct rng_at at); /* [0, 1), 53 bits */
double rng_normal(uint64_t seed, struct rng_at at);  /* mean 0, variance 1 */
/* (float)(scale * rng_normal) of n places, the first at `at`; from one to the next 1 is added to
 * the number whose upper half is sample and whose lower half is position. The same bits, in less
 * time (rng_normals.c). */
void rng_normals(float *out, size_t n, double scale, uint64_t seed, struct rng_at at);
uint32_t rng_below(uint64_t seed, struct rng_at at,
                   uint32_t n); /* [0, n), n > 0, unbiased enough: 64-bit multiply */

/* Many draws from one place: position counts up. */
struct rng_stream {
    uint64_t seed;
    struct rng_at at;
};
uint32_t rng_next_below(struct rng_stream *s, uint32_t n);
double rng_next_uniform(struct rng_stream *s);

#endif
