/* For .cu files alone: CUDA_OK around every call of the runtime, and the stream of the process's
 * GPU. */
#ifndef DUET_COMM_CUDA_CHECK_H
#define DUET_COMM_CUDA_CHECK_H

#include <cuda_runtime.h>

/* Ends the job with the call, what the runtime says of it, and what helps. An error of a kernel is
 * heard at a later call: the message says so. */
#define CUDA_OK(call) cuda_check(call, #call, __FILE__, __LINE__)
void cuda_check(cudaError_t e, const char *what, const char *file, int line);

/* The stream that all work is posted on; device_cuda has returned. */
cudaStream_t cuda_stream();

#endif
