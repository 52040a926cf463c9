/* What a program without CUDA links in place of comm/cuda. */
#include "comm/cuda/device.h"
#include "comm/cuda/transport.h"

const struct device *device_cuda(int ordinal, struct problems *p)
{
    problems_add(p, NULL, 0,
                 "GPU %d is wanted, and this program was built without CUDA: build it with make "
                 "all CUDA=1, or set device: host",
                 ordinal);
    return NULL;
}

/* There was no device to ask them for. */
const struct device *device_cuda_here(void)
{
    return NULL;
}

const struct transport *transport_cuda(void)
{
    return NULL;
}
