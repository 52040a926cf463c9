#include "model/precision.h"

static enum matmul_type product_of_float(void)
{
    return MATMUL_F32;
}
static bool always(void)
{
    return true;
}

const struct precision_kind *precision_kind(enum precision p)
{
    static const struct precision_kind kinds[] = {
        [PRECISION_FP32] = {PRECISION_NAME_FP32, 4, product_of_float, always},
        [PRECISION_BF16] = {PRECISION_NAME_BF16, 2, matmul_type_of_bf16, matmul_bf16_runs},
    };
    return &kinds[p];
}
