/* Every table of operations that this machine can run beside the plain one, in both precisions, for
 * tests that hold the first against the second. Tolerance on |a - b| / (1 + |b|): fp32 2e-5 (sums
 * of up to 600 terms of order 1); bf16 one rounding more than the oracle's, 1/128. Header only. */
#ifndef DUET_TESTS_SUPPORT_OPS_TABLES_H
#define DUET_TESTS_SUPPORT_OPS_TABLES_H

#include "tests/support/ops_data.h"
#include "tests/support/check_unit.h"

static const struct ops *ops, *plain;
static double tolerance;

/* _i: 2 precisions of each isa but the last, which is plain itself */
static inline bool setup(int i)
{
    enum precision p = i % 2 ? PRECISION_BF16 : PRECISION_FP32;
    ops = ops_find(p, test_isas[i / 2]);
    plain = ops_find(p, "plain");
    tolerance = p == PRECISION_BF16 ? 1.0 / 128 : 2e-5;
    return ops != NULL;
}
enum { TABLES = 2 * (TEST_ISAS - 1) };

#define NEAR_FLOATS(a, b, n) ck_assert_double_le(worst_error(a, b, n), tolerance)
#define NEAR_REALS(a, b, n)  ck_assert_double_le(worst_real_error(ops, a, b, n), tolerance)

#endif
