/* Philox4x32-10. Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11.
 */
#include "comm/base/rng.h"

#include <math.h>

__extension__ typedef unsigned __int128 u128;

/* Philox4x32-10 (Salmon et al., SC 2011), the published constants and ten rounds. */
void rng_philox(uint32_t out[4], const uint32_t c[4], const uint32_t k[2])
{
    uint32_t x0 = c[0], x1 = c[1], x2 = c[2], x3 = c[3], k0 = k[0], k1 = k[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x0, p1 = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)p1;
        x2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)p0;
        k0 += 0x9E3779B9u; /* the golden ratio and sqrt(3) - 1 */
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

/* The finisher of splitmix64: a bijection, so that no two seeds share a key within one purpose. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

uint64_t rng_key(uint64_t seed, uint32_t purpose)
{
    return mix(seed + 0x9E3779B97F4A7C15u * (purpose + 1ull));
}

static void draw_block(uint32_t out[4], uint64_t seed, struct rng_at at)
{
    uint64_t key = rng_key(seed, at.purpose);
    const uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    const uint32_t c[4] = {at.step, at.prompt, at.sample, at.position};
    rng_philox(out, c, k);
}

static uint64_t join(uint32_t lo, uint32_t hi)
{
    return lo | (uint64_t)hi << 32;
}

uint64_t rng_bits(uint64_t seed, struct rng_at at)
{
    uint32_t x[4];
    draw_block(x, seed, at);
    return join(x[0], x[1]);
}

double rng_uniform(uint64_t seed, struct rng_at at)
{
    return (double)(rng_bits(seed, at) >> 11) * 0x1p-53;
}

/* Box and Muller: one of the two, from the two halves of a block. */
static double normal_of(const uint32_t x[4])
{
    double u = (double)((join(x[0], x[1]) >> 11) + 1) * 0x1p-53; /* (0, 1] */
    double v = (double)(join(x[2], x[3]) >> 11) * 0x1p-53;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

double rng_normal(uint64_t seed, struct rng_at at)
{
    uint32_t x[4];
    draw_block(x, seed, at);
    return normal_of(x);
}

uint32_t rng_below(uint64_t seed, struct rng_at at, uint32_t n)
{
    return (uint32_t)(((u128)rng_bits(seed, at) * n) >> 64);
}

uint32_t rng_next_below(struct rng_stream *s, uint32_t n)
{
    uint32_t x = rng_below(s->seed, s->at, n);
    s->at.position++;
    return x;
}

double rng_next_uniform(struct rng_stream *s)
{
    double x = rng_uniform(s->seed, s->at);
    s->at.position++;
    return x;
}
