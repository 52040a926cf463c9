/* An NVIDIA GPU as a device (comm/base/device.h): its memory, and one stream on which everything
 * is done in the order of the calls. */
#ifndef DUET_COMM_CUDA_DEVICE_H
#define DUET_COMM_CUDA_DEVICE_H

#include "comm/base/device.h"
#include "comm/base/problems.h"

/* GPU `ordinal` of those that this process may see (CUDA_VISIBLE_DEVICES), for the rest of its
 * life: one a process. NULL, and in p what is wrong and what helps: no driver or one too old, no
 * such GPU, one for which there is no code. Local. */
const struct device *device_cuda(int ordinal, struct problems *p);
/* The same once it is there. */
const struct device *device_cuda_here(void);

#endif
