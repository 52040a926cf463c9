/* fp16 and bf16 against the definition of their bits, all 65,536 of each, and against the nearest
 * neighbour found by comparing distances. */
#include <math.h>
#include <string.h>
#include "comm/base/half.h"
#include "comm/base/rng.h"
#include "tests/support/check_unit.h"

/* IEEE 754: sign, 5 bits of exponent with bias 15, 10 of fraction. */
static double half_value(int bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent == 31  ? (fraction ? NAN : INFINITY)
                  : exponent == 0 ? ldexp(fraction, -24)
                                  : ldexp(1024 + fraction, exponent - 25);
    return bits & 0x8000 ? -size : size;
}

START_TEST(every_half_is_read_and_written)
{
    for (int i = 0; i < 65536; i++) {
        double want = half_value(i);
        float got = half_to_float((uint16_t)i);
        ck_assert_msg(isnan(want) ? isnan(got) : want == (double)got, "%#x", i);
        ck_assert_int_eq(signbit(got) != 0, i >> 15);
        uint16_t back = half_of_float(got);
        ck_assert_msg(isnan(want) ? isnan(half_value(back)) : back == i, "%#x: %#x", i, back);
    }
}
END_TEST

/* The nearer of the two halves about a float; of equally near ones the even one. */
static int nearest_half(float value)
{
    int low = 0, high = 0x7c00; /* positive halves rise with their bits */
    double x = fabs((double)value);
    if (x >= 65520) return 0x7c00;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (half_value(middle) <= x)
            low = middle;
        else
            high = middle;
    }
    double below = x - half_value(low), above = half_value(high) - x;
    return below < above || (below == above && low % 2 == 0) ? low : high;
}

START_TEST(floats_round_to_the_nearest_half)
{
    struct rng_stream rng = {7, {.purpose = RNG_TEST}};
    for (int i = 0; i < 400000; i++) {
        uint32_t bits = (uint32_t)rng_next_below(&rng, 1u << 31);
        if (i % 4 == 0) bits = (bits & 0x7fffe000) | 0x1000; /* ties */
        if (i % 2 == 0) bits = (0x33000000 + bits % 0x14900000) & (i % 4 ? ~0u : 0xffff1000);
        float value;
        memcpy(&value, &bits, sizeof value);
        if (isnan(value)) continue;
        ck_assert_msg(half_of_float(value) == nearest_half(value), "%a", (double)value);
        ck_assert_int_eq(half_of_float(-value), nearest_half(value) | 0x8000);
    }
}
END_TEST

START_TEST(every_bf16_is_read_and_written)
{
    for (int i = 0; i < 65536; i++) {
        uint32_t bits = (uint32_t)i << 16, got;
        float value = bf16_to_float((uint16_t)i);
        memcpy(&got, &value, sizeof got);
        ck_assert_uint_eq(got, bits);
        uint16_t back = bf16_of_float(value);
        ck_assert_msg(isnan(value) ? isnan(bf16_to_float(back)) : back == i, "%#x", i);
    }
    const uint32_t rounds[][2] = {{0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81},
                                  {0x7f7fffff, 0x7f80}, {0x00008001, 0x0001}, {0xbf818000, 0xbf82}};
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        float value;
        memcpy(&value, &rounds[i][0], sizeof value);
        ck_assert_uint_eq(bf16_of_float(value), rounds[i][1]);
    }
    const uint32_t all_ones = 0x7fffffff; /* a NaN that rounding would carry into -0 */
    float nan;
    memcpy(&nan, &all_ones, sizeof nan);
    ck_assert(isnan(bf16_to_float(bf16_of_float(nan))));
}
END_TEST

#define TESTS(X)                        \
    X(every_half_is_read_and_written)   \
    X(floats_round_to_the_nearest_half) \
    X(every_bf16_is_read_and_written)
UNIT_MAIN("half")
