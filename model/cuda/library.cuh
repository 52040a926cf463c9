/* Matrix products through cuBLASLt whose rows keep promise P1, or none: library.cu. */
#ifndef DUET_MODEL_CUDA_LIBRARY_CUH
#define DUET_MODEL_CUDA_LIBRARY_CUH

#include <cublasLt.h>

/* y = x W^T; dx = dy W; dw += dy^T x */
enum direction { FORWARD, BACKWARD, GRADIENT, DIRECTIONS };

/* Rows of a call, largest last; of a gradient, whose rows are summed, GRADIENT_ROWS. */
constexpr int BLOCK_ROWS[] = {16, 128, 1024};
constexpr int BLOCKS = sizeof BLOCK_ROWS / sizeof *BLOCK_ROWS, GRADIENT_ROWS = 256;

/* One direction of a weight (N, K) with one type of result, float or as the operands. */
struct library_product {
    int N, K;
    enum direction direction;
    cudaDataType_t in, out;
    bool serves; /* otherwise no algorithm was found, and our own kernel does it */
    cublasLtMatmulDesc_t form;
    cublasLtMatrixLayout_t a, b[BLOCKS], to[BLOCKS];
    cublasLtMatmulAlgo_t algorithm[BLOCKS];
};

/* Asks the library for algorithms and tries them (model/row_trial.h): allocates, waits for the
 * GPU. N, K, direction, in and out are there. */
void library_find(library_product *p);
/* Exactly BLOCK_ROWS[block] rows (of a gradient GRADIENT_ROWS, block 0, added to y). All operands
 * lie on multiples of LIBRARY_ALIGNMENT. */
constexpr int LIBRARY_ALIGNMENT = 16;
void library_run(const library_product *p, int block, void *y, const void *left, const void *right);

#endif
