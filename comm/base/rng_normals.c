/* Many normals at once, for the weights that a run begins with: hundreds of millions.
 *
 * They are the draws of rng_normal to the last bit, which come from the C library's log and cos, in
 * a fifth of their time. Series that a compiler turns into vector code give every draw with an
 * error far below a float's last bit. Where that error could change the float, and where u is tiny
 * or near 1, rng_normal itself is asked: three draws in a thousand. */
#include <math.h>
#include <string.h>

#include "comm/base/rng.h"

/* A copy for each instruction set that matters here; the loader takes the best. None changes a bit,
 * so DUET_ISA is not asked. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDE
#endif

/* Draws at once: loops over them have no other bound, and are vectorised. */
enum { SIDE = 64 };

/* Philox4x32-10, as of one block in rng.c. */
static inline void philox_side(uint32_t x[4][SIDE], uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < SIDE; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * x[0][i], p1 = (uint64_t)0xCD9E8D57u * x[2][i];
            x[0][i] = (uint32_t)(p1 >> 32) ^ x[1][i] ^ k0;
            x[1][i] = (uint32_t)p1;
            x[2][i] = (uint32_t)(p0 >> 32) ^ x[3][i] ^ k1;
            x[3][i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static inline double of_bits(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}
static inline uint64_t bits_of(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static const uint64_t one_bits = 0x3ff0000000000000u; /* of 1.0 */

/* 52 of 64 random bits as a number in [0, 1). */
static inline double fraction_of(uint32_t lo, uint32_t hi)
{
    return of_bits(((lo | (uint64_t)hi << 32) >> 12) | one_bits) - 1.0;
}

/* u in (2^-60, 1): u = 2^e m with m in [1, 2), and log m = log sqrt 2 + 2 artanh t. */
static inline double log_near(double u)
{
    const double sqrt2 = 1.4142135623730951, ln2 = 0.6931471805599453;
    const double shift = 0x1p52; /* its last bit is worth 1 */
    uint64_t b = bits_of(u);
    double e = of_bits((b >> 52) | bits_of(shift)) - (shift + 1023.0);
    double m = of_bits((b & 0xfffffffffffffu) | one_bits), t = (m - sqrt2) / (m + sqrt2), q = t * t;
    double s = 1.0 / 17;
    s = s * q + 1.0 / 15;
    s = s * q + 1.0 / 13;
    s = s * q + 1.0 / 11;
    s = s * q + 1.0 / 9;
    s = s * q + 1.0 / 7;
    s = s * q + 1.0 / 5;
    s = s * q + 1.0 / 3;
    return (e + 0.5) * ln2 + 2 * t * (s * q + 1);
}

/* cos 2 pi v for v in [0, 1): the sine of an angle within a quarter turn, as a Taylor series. */
static inline double cos_near(double v)
{
    double x = (fabs(v - 0.5) - 0.25) * 6.283185307179586, q = x * x;
    double s = -1.0 / 121645100408832000; /* 19! */
    s = s * q + 1.0 / 355687428096000;
    s = s * q - 1.0 / 1307674368000;
    s = s * q + 1.0 / 6227020800;
    s = s * q - 1.0 / 39916800;
    s = s * q + 1.0 / 362880;
    s = s * q - 1.0 / 5040;
    s = s * q + 1.0 / 120;
    s = s * q - 1.0 / 6;
    return x * (s * q + 1);
}

/* SIDE draws, rounded to float from a little below and from a little above: where both are the same
 * it is what the exact draw rounds to. `slack` is far above the error of a draw, 2^-46 or less
 * where `inside` says that u is neither tiny nor near 1. */
WIDE static void normals_side(float low[SIDE], float high[SIDE], int64_t inside[SIDE], uint64_t key,
                              uint64_t first, struct rng_at at, double scale)
{
    const double slack = fabs(scale) * 0x1p-38, least = 0x1p-10, most = 1 - 0x1p-9;
    uint32_t x[4][SIDE];
    double u[SIDE], z[SIDE];
    for (int k = 0; k < SIDE; k++) {
        uint64_t place = first + (uint64_t)k;
        x[0][k] = at.step, x[1][k] = at.prompt;
        x[2][k] = (uint32_t)(place >> 32), x[3][k] = (uint32_t)place;
    }
    philox_side(x, key);
    for (int k = 0; k < SIDE; k++) u[k] = fraction_of(x[0][k], x[1][k]);
    for (int k = 0; k < SIDE; k++) z[k] = fraction_of(x[2][k], x[3][k]);
    for (int k = 0; k < SIDE; k++) z[k] = scale * sqrt(-2 * log_near(u[k])) * cos_near(z[k]);
    for (int k = 0; k < SIDE; k++) inside[k] = (u[k] > least) & (u[k] < most);
    for (int k = 0; k < SIDE; k++) low[k] = (float)(z[k] - slack);
    for (int k = 0; k < SIDE; k++) high[k] = (float)(z[k] + slack);
}

/* Side by side, the draws of which a side is not sure one by one. */
void rng_normals(float *out, size_t n, double scale, uint64_t seed, struct rng_at at)
{
    const uint64_t key = rng_key(seed, at.purpose), first = at.position | (uint64_t)at.sample << 32;
    float low[SIDE], high[SIDE];
    int64_t inside[SIDE];
    for (size_t i = 0; i < n; i += SIDE) {
        const int m = n - i < SIDE ? (int)(n - i) : SIDE;
        normals_side(low, high, inside, key, first + i, at, scale);
        for (int k = 0; k < m; k++) {
            const uint64_t place = first + i + (uint64_t)k;
            if (inside[k] && low[k] == high[k]) continue;
            at.sample = (uint32_t)(place >> 32), at.position = (uint32_t)place;
            low[k] = (float)(scale * rng_normal(seed, at));
        }
        memcpy(out + i, low, (size_t)m * sizeof *low);
    }
}
