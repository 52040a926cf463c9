/* How numbers cross between nodes, against rounding done in double precision: nearest, ties to
 * even; and what error feedback promises. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/codec.h"
#include "tests/support/plain_round.h"
#include "tests/support/check_unit.h"

enum { MOST = 1000, CODED = 2 * MOST * 4 };

/* Many magnitudes, both signs. */
static float number(size_t i, int seed)
{
    unsigned h = (unsigned)i * 2654435761u + (unsigned)seed * 97u;
    h ^= h >> 15, h *= 2246822519u, h ^= h >> 13;
    float x = ldexpf((float)(h & 0xffffff), (int)(h >> 24) % 24 - 30);
    return h & 1 ? x : -x;
}

static void numbers(float *x, size_t n, int seed)
{
    for (size_t i = 0; i < n; i++) x[i] = number(i, seed);
}

static const size_t sizes[] = {0, 1, 2, 127, 128, 129, 700, MOST};

START_TEST(fp32_crosses_as_it_is)
{
    float x[MOST], y[MOST];
    unsigned char coded[CODED];
    numbers(x, MOST, 1);
    codec_encode(CODEC_FP32, coded, x, NULL, MOST);
    codec_decode(CODEC_FP32, y, coded, MOST);
    ck_assert(memcmp(x, y, sizeof x) == 0 && codec_bytes(CODEC_FP32, MOST) == 4 * MOST);
}
END_TEST

START_TEST(rounding_is_to_nearest)
{
    float x[MOST], y[MOST];
    unsigned char coded[CODED];
    for (int k = 0; k < 8; k++)
        for (int w = CODEC_BF16; w <= CODEC_INT8; w++) {
            size_t n = sizes[k];
            numbers(x, n, k);
            codec_encode((enum codec)w, coded, x, NULL, n);
            codec_decode((enum codec)w, y, coded, n);
            for (size_t i = 0; i < n; i++) {
                float right = plain_round((enum codec)w, x, i, n);
                ck_assert_msg(y[i] == right, "form %d, %zu: %g became %g, not %g", w, i,
                              (double)x[i], (double)y[i], (double)right);
            }
        }
}
END_TEST

/* The scale is 1, so halves are ties. bf16: 1 + 1/256 and 1 + 3/256 lie between two numbers. */
START_TEST(ties_go_to_even)
{
    float x[] = {127, 0.5f, 1.5f, -2.5f, -3.5f, 126.5f}, right[] = {127, 0, 2, -2, -4, 126};
    float z[] = {1 + 1.0f / 256, 1 + 3.0f / 256}, y[6];
    unsigned char coded[64];
    codec_encode(CODEC_INT8, coded, x, NULL, 6);
    codec_decode(CODEC_INT8, y, coded, 6);
    for (int i = 0; i < 6; i++) ck_assert_float_eq(y[i], right[i]);
    codec_encode(CODEC_BF16, coded, z, NULL, 2);
    codec_decode(CODEC_BF16, y, coded, 2);
    ck_assert_float_eq(y[0], 1);
    ck_assert_float_eq(y[1], 1 + 4.0f / 256);
}
END_TEST

START_TEST(bytes_add_up)
{
    ck_assert_uint_eq(codec_bytes(CODEC_BF16, 1001), 2002);
    ck_assert_uint_eq(codec_bytes(CODEC_INT8, 128), 132);
    ck_assert_uint_eq(codec_bytes(CODEC_INT8, 129), 137);
    ck_assert_uint_eq(codec_bytes(CODEC_INT8, 0), 0);
    for (int w = CODEC_FP32; w <= CODEC_INT8; w++)
        for (size_t n = 0; n < 300; n++) {
            enum codec form = (enum codec)w;
            ck_assert_uint_eq(codec_bytes(form, 256 + n),
                              codec_bytes(form, 256) + codec_bytes(form, n));
            ck_assert_uint_ge(4 * codec_floats(form, n), codec_bytes(form, n));
        }
}
END_TEST

/* Nothing beyond its bytes is written. */
START_TEST(nothing_else_is_touched)
{
    float x[MOST];
    unsigned char coded[CODED];
    numbers(x, MOST, 3);
    for (int k = 0; k < 8; k++)
        for (int w = CODEC_FP32; w <= CODEC_INT8; w++) {
            memset(coded, 0xa5, sizeof coded);
            codec_encode((enum codec)w, coded, x, NULL, sizes[k]);
            for (size_t i = codec_bytes((enum codec)w, sizes[k]); i < sizeof coded; i++)
                ck_assert_uint_eq(coded[i], 0xa5);
        }
}
END_TEST

/* What arrives and what is kept make up what was meant. */
START_TEST(residual_is_what_was_lost)
{
    float x[MOST], y[MOST], kept[MOST] = {0}, before[MOST];
    unsigned char coded[CODED];
    for (int w = CODEC_BF16; w <= CODEC_INT8; w++)
        for (int step = 0; step < 3; step++) {
            numbers(x, MOST, step);
            memcpy(before, kept, sizeof kept);
            codec_encode((enum codec)w, coded, x, kept, MOST);
            codec_decode((enum codec)w, y, coded, MOST);
            for (size_t i = 0; i < MOST; i++)
                ck_assert_float_eq(kept[i], (x[i] + before[i]) - y[i]);
        }
}
END_TEST

/* Steps send the same numbers; mean error of what arrived, in parts of the largest number. */
static double mean_error(enum codec w, int steps, int feedback)
{
    float x[MOST], y[MOST], kept[MOST] = {0};
    double sum[MOST] = {0}, worst = 0;
    unsigned char coded[CODED];
    for (size_t i = 0; i < MOST; i++) x[i] = 1.0f / (float)(i + 3);
    for (int step = 0; step < steps; step++) {
        codec_encode(w, coded, x, feedback ? kept : NULL, MOST);
        codec_decode(w, y, coded, MOST);
        for (size_t i = 0; i < MOST; i++) sum[i] += (double)y[i];
    }
    for (size_t i = 0; i < MOST; i++) {
        double error = fabs(sum[i] / steps - (double)x[i]) / (double)x[i / 128 * 128];
        if (error > worst) worst = error;
    }
    return worst;
}

/* The error of the mean over n steps is one rounding / n: a half of 1/127 (int8), of 2^-8 (bf16).
 */
START_TEST(feedback_makes_the_mean_right)
{
    static const double half[] = {0, 1.0 / 512, 0.5 / 127};
    for (int w = CODEC_BF16; w <= CODEC_INT8; w++) {
        double without = mean_error((enum codec)w, 1000, 0);
        double with = mean_error((enum codec)w, 1000, 1);
        ck_assert_msg(without > half[w] / 4, "form %d loses only %g", w, without);
        ck_assert_msg(with < 2.5 * half[w] / 1000, "form %d: %g", w, with);
    }
}
END_TEST

START_TEST(what_is_not_finite_arrives_so)
{
    float x[200], y[200], kept[200] = {0};
    unsigned char coded[1024];
    numbers(x, 200, 5);
    x[3] = NAN, x[150] = -INFINITY;
    for (int w = CODEC_BF16; w <= CODEC_INT8; w++) {
        codec_encode((enum codec)w, coded, x, kept, 200);
        codec_decode((enum codec)w, y, coded, 200);
        ck_assert(!isfinite(y[3]) && !isfinite(y[150]));
        for (int i = 0; i < 200; i++) ck_assert(isfinite(kept[i]));
    }
    x[3] = x[150] = FLT_MAX; /* rounds up to infinity in bf16 */
    memset(kept, 0, sizeof kept);
    codec_encode(CODEC_BF16, coded, x, kept, 200);
    ck_assert(isfinite(kept[3]));
}
END_TEST

/* Too small for a scale: nothing arrives, all is kept. */
START_TEST(the_smallest_numbers_wait)
{
    float x[3] = {190 * FLT_TRUE_MIN, 0, -FLT_TRUE_MIN}, y[3], kept[3] = {0};
    unsigned char coded[16];
    codec_encode(CODEC_INT8, coded, x, kept, 3);
    codec_decode(CODEC_INT8, y, coded, 3);
    for (int i = 0; i < 3; i++) ck_assert(y[i] == 0 && kept[i] == x[i]);
}
END_TEST

#define TESTS(X)                     \
    X(fp32_crosses_as_it_is)         \
    X(rounding_is_to_nearest)        \
    X(ties_go_to_even)               \
    X(bytes_add_up)                  \
    X(nothing_else_is_touched)       \
    X(residual_is_what_was_lost)     \
    X(feedback_makes_the_mean_right) \
    X(what_is_not_finite_arrives_so) \
    X(the_smallest_numbers_wait)

UNIT_MAIN("codec")
