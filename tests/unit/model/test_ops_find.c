/* Tables of operations are found by precision and instruction set: by name, by DUET_ISA, otherwise
 * the machine's best; and say how fast they multiply. */
#include <stdlib.h>

#include "tests/support/ops_data.h"
#include "tests/support/check_unit.h"

START_TEST(found_by_name)
{
    for (int i = 0; i < TEST_ISAS; i++)
        for (int p = 0; p < 2; p++) {
            const struct ops *ops = ops_find(p ? PRECISION_BF16 : PRECISION_FP32, test_isas[i]);
            if (ops) ck_assert_str_eq(ops->isa, test_isas[i]);
        }
    ck_assert_ptr_null(ops_find(PRECISION_FP32, "avx1024"));
    setenv("DUET_ISA", "base", 1);
    ck_assert_str_eq(ops_find(PRECISION_BF16, NULL)->name, "base-bf16");
    unsetenv("DUET_ISA");
    ck_assert_str_ne(ops_find(PRECISION_BF16, NULL)->isa, "plain");
}
END_TEST

START_TEST(rate_is_measured)
{
    double rate = ops_matmul_rate(ops_find(PRECISION_FP32, NULL), 64, 128, 128);
    ck_assert_double_gt(rate, 0.05);
    ck_assert_double_lt(rate, 1e5);
}
END_TEST

#define TESTS(X)     \
    X(found_by_name) \
    X(rate_is_measured)

UNIT_MAIN("ops_find", .timeout_s = 60)
