/* The transport of a GPU (comm/transport.h): sums by kernels, messages by way of pinned memory of
 * the host, over MPI. */
#ifndef DUET_COMM_CUDA_TRANSPORT_H
#define DUET_COMM_CUDA_TRANSPORT_H

#include "comm/transport.h"

/* device_cuda (comm/cuda/device.h) has returned. Local. */
const struct transport *transport_cuda(void);

#endif
