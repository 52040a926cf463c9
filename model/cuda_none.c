/* What a program without CUDA links in place of model/cuda. */
#include "model/cuda/ops.h"

/* There was no device to ask it for. */
const struct ops *ops_cuda(enum precision precision)
{
    (void)precision;
    return NULL;
}
