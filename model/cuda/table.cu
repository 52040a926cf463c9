/* The tables of both precisions, with the rows that there are, and the memory that rows share. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/rows.h"

extern "C" {
#include "model/cuda/ops.h"
}

static float *scratch;

float *scratch_floats()
{
    return scratch;
}

template <class real> static struct ops table(const char *name, enum precision precision)
{
    struct ops t = {};
    t.name = name;
    t.isa = "cuda";
    t.precision = precision;
    t.real_bytes = sizeof(real);
#define FILL(row) t.row = rows<real>::row;
    OPS_ROWS(FILL)
#undef FILL
    t.sample_rows = sample_rows;
    return t;
}

const struct ops *ops_cuda(enum precision precision)
{
    static const struct ops fp32 = table<float>("cuda-" PRECISION_NAME_FP32, PRECISION_FP32);
    static const struct ops reals = table<bf16>("cuda-" PRECISION_NAME_BF16, PRECISION_BF16);
    if (!scratch) CUDA_OK(cudaMalloc((void **)&scratch, SCRATCH_FLOATS * sizeof *scratch));
    return precision == PRECISION_BF16 ? &reals : &fp32;
}
