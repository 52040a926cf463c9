/* The rows of struct ops (model/ops.h) for an NVIDIA GPU. */
#ifndef DUET_MODEL_CUDA_OPS_H
#define DUET_MODEL_CUDA_OPS_H

#include "model/ops.h"

/* All of them. device_cuda (comm/cuda/device.h) has returned. Local. */
const struct ops *ops_cuda(enum precision precision);

#endif
