/* Fixed point of 128 bits, 64 of them after the point. Additions are modulo 2^128 on unsigned
 * numbers, so they associate and commute; two's complement makes the last reading signed. */
#include "comm/base/exact.h"

#include <math.h>

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 i128;

static u128 bits_of(const struct exact_sum *s)
{
    return (u128)(uint64_t)s->hi << 64 | s->lo;
}

static void bits_set(struct exact_sum *s, u128 x)
{
    s->lo = (uint64_t)x;
    s->hi = (int64_t)(uint64_t)(x >> 64);
}

/* The nearest integer, ties to even, of |x| <= 2^51: above 2^52 a double has no binary places left.
 */
static double nearest(double x)
{
    return (x + 0x1.8p52) - 0x1.8p52;
}

/* The usual case in two halves that convert at once, without a call of the library: the part down
 * to 2^-12, then the rest, which is exact and below 2^51 in units of 2^-64. The first half counts
 * an even number of those units, so that a tie of the rest is a tie of the whole. */
static i128 fixed_small(double x)
{
    double high = nearest(x * 0x1p12), low = nearest((x * 0x1p12 - high) * 0x1p52);
    return (i128)(int64_t)high * ((i128)1 << 52) + (int64_t)low;
}

/* Fixed point with 64 bits after the point: integer addition is associative, so the order of terms
 * and ranks cannot matter. What does not fit is counted, not added. */
void exact_add(struct exact_sum *s, double x)
{
    double size = fabs(x);
    if (size < EXACT_SMALL) {
        bits_set(s, bits_of(s) + (u128)fixed_small(x));
        return;
    }
    if (!(size < 0x1p50)) { /* also a NaN */
        s->broken++;
        return;
    }
    i128 fixed = (i128)nearbyint(ldexp(x, 64)); /* below 2^114; the scaling is exact */
    bits_set(s, bits_of(s) + (u128)fixed);
}

void exact_add_parts(struct exact_sum *s, int64_t high, int64_t low)
{
    bits_set(s, bits_of(s) + (u128)((i128)high * ((i128)1 << 52) + low));
}

void exact_merge(struct exact_sum *s, const struct exact_sum *other)
{
    bits_set(s, bits_of(s) + bits_of(other));
    s->broken += other->broken;
}

double exact_value(const struct exact_sum *s)
{
    if (s->broken) return (double)NAN;
    return ldexp((double)(i128)bits_of(s), -64);
}
