/* Sums whose value does not depend on the order or the grouping of the terms.
 *
 * A term is rounded once to a multiple of 2^-64 and added as a 128-bit integer, and integers
 * associate; so a gradient norm or a mean reward is the same number, bit for bit, on every mesh.
 * Terms must be below 2^50 in magnitude and there may be at most 2^12 times 2^50 worth of them;
 * a NaN, an infinity or a larger term makes the sum NaN, for good. */
#ifndef DUET_COMM_BASE_EXACT_H
#define DUET_COMM_BASE_EXACT_H

#include <stdint.h>

struct exact_sum {
    uint64_t lo;
    int64_t hi;
    uint64_t broken; /* count of terms that could not be added */
};

void exact_add(struct exact_sum *s, double x);
/* For loops that form many terms at once (model/cpu/squares.c): adds high 2^-12 + low 2^-64, sums
 * of what exact_add makes of terms x below EXACT_SMALL: of each, high is the integer nearest to
 * 2^12 x, ties to even, and low the one nearest to what is left, in units of 2^-64. Neither is
 * above 2^51, so that sums of EXACT_PARTS of them fit. */
#define EXACT_SMALL 0x1p38
enum { EXACT_PARTS = 2048 };
void exact_add_parts(struct exact_sum *s, int64_t high, int64_t low);
void exact_merge(struct exact_sum *s, const struct exact_sum *other);
double exact_value(const struct exact_sum *s);

#endif
