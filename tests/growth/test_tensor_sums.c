/* Bytes that a rank sends in a sum over tp ranks: as good as flat in tp, and half as many again as
 * a ring would send of numbers that are all bf16: terms travel as floats, so that the sum is the
 * same on any number of ranks. */
#include "comm/exchange.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"

static double sent(int tp, enum codec wire, size_t n)
{
    return (double)(tp - 1) * (double)exchange_sum_sends(tp, wire, n);
}

static double ring_of_bf16(int tp, size_t n)
{
    return 2.0 * (tp - 1) / tp * 2 * (double)n;
}

/* From 64 rows of decoding to a micro-batch. */
START_TEST(bytes_of_a_sum_are_flat)
{
    static const size_t rows[] = {64, 512, 4096};
    for (int k = 0; k < 3; k++) {
        struct growth g = {.n = 0};
        for (int tp = 4; tp <= 64; tp *= 2) {
            size_t n = rows[k] * 4096;
            growth_add(&g, tp, sent(tp, CODEC_BF16, n));
            ck_assert_double_le(sent(tp, CODEC_BF16, n), 1.51 * ring_of_bf16(tp, n));
            ck_assert_double_le(sent(tp, CODEC_FP32, n), 2.01 * ring_of_bf16(tp, n));
        }
        growth_at_most(&g, "bytes of a sum over tp", 0.1);
    }
}
END_TEST

/* Two ranks, and small sums, need one round. */
START_TEST(few_numbers_go_at_once)
{
    ck_assert_int_eq(exchange_sum_rounds(2, CODEC_FP32, 1 << 20), 1);
    ck_assert_int_eq(exchange_sum_rounds(64, CODEC_BF16, 32 * 4096), 1);
    ck_assert_int_eq(exchange_sum_rounds(8, CODEC_BF16, 33 * 4096), 2);
}
END_TEST

/* Memory for the terms of others: as much as the sum, not tp times that. */
START_TEST(room_is_flat)
{
    struct growth g = {.n = 0};
    for (int tp = 2; tp <= 64; tp *= 2)
        growth_add(&g, tp, (double)exchange_sum_room(tp, CODEC_BF16, 4096 * 4096));
    growth_at_most(&g, "room of a sum over tp", 0.05);
}
END_TEST

#define TESTS(X)               \
    X(bytes_of_a_sum_are_flat) \
    X(few_numbers_go_at_once)  \
    X(room_is_flat)

UNIT_MAIN("tensor_sums")
