/* Which algorithms of cuBLASLt a product may use.
 *
 * The library promises the same bits for the same call; it does not promise that a row has the same
 * bits in calls of different sizes, or at another place in a call. So rows go in blocks of fixed
 * sizes, each with one algorithm that is chosen when the weight is placed: it cuts the inner
 * dimension nowhere (no split, no reduction), and a trial on this GPU has shown that at every
 * position of its block, and in blocks of the other sizes, a row has the same bits. The largest
 * block decides what the bits are. Where no algorithm passes, our own kernel does the product
 * (product.cu).
 *
 * The library counts columns first: a matrix (rows, n) of ours is one (n, rows) of its own. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/library.cuh"

extern "C" {
#include "comm/base/memory.h"
#include "model/row_trial.h"
}

#include <cstdlib>

#define LIBRARY_OK(call) library_check(call, #call, __LINE__)
static void library_check(cublasStatus_t s, const char *what, int line)
{
    if (s != CUBLAS_STATUS_SUCCESS)
        die_fmt(__FILE__, line, EXIT_WORLD, what,
                "a CUDA toolkit and driver that fit each other help; nvidia-smi says more", "%s",
                cublasLtGetStatusName(s));
}

static cublasLtHandle_t library()
{
    static cublasLtHandle_t handle;
    if (!handle) LIBRARY_OK(cublasLtCreate(&handle));
    return handle;
}

static size_t type_bytes(cudaDataType_t t)
{
    return t == CUDA_R_16BF ? sizeof(bf16) : sizeof(float);
}

/* --- the form of a product --- */

static cublasLtMatrixLayout_t layout(cudaDataType_t type, int rows, int columns)
{
    cublasLtMatrixLayout_t l;
    LIBRARY_OK(
        cublasLtMatrixLayoutCreate(&l, type, (uint64_t)rows, (uint64_t)columns, (int64_t)rows));
    return l;
}

/* y^T = W x^T, dx^T = W^T dy^T, dw^T = x^T dy, seen with columns first. */
static void form_make(library_product *p)
{
    bool gradient = p->direction == GRADIENT, forward = p->direction == FORWARD;
    cublasOperation_t ta = forward ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t tb = gradient ? CUBLAS_OP_T : CUBLAS_OP_N;
    LIBRARY_OK(cublasLtMatmulDescCreate(&p->form, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    LIBRARY_OK(
        cublasLtMatmulDescSetAttribute(p->form, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta));
    LIBRARY_OK(
        cublasLtMatmulDescSetAttribute(p->form, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb));
    p->a = layout(p->in, p->K, gradient ? GRADIENT_ROWS : p->N);
    for (int i = 0; i < (gradient ? 1 : BLOCKS); i++) {
        int rows = gradient ? GRADIENT_ROWS : BLOCK_ROWS[i];
        p->b[i] = layout(p->in, forward ? p->K : p->N, rows);
        p->to[i] = layout(p->out, forward ? p->N : p->K, gradient ? p->N : rows);
    }
}

static void form_free(library_product *p)
{
    LIBRARY_OK(cublasLtMatmulDescDestroy(p->form));
    LIBRARY_OK(cublasLtMatrixLayoutDestroy(p->a));
    for (int i = 0; i < BLOCKS && p->b[i]; i++) {
        LIBRARY_OK(cublasLtMatrixLayoutDestroy(p->b[i]));
        LIBRARY_OK(cublasLtMatrixLayoutDestroy(p->to[i]));
    }
}

/* The weight stands left, or for a gradient x, then what has rows. */
void library_run(const library_product *p, int block, void *y, const void *left, const void *right)
{
    const float one = 1, add = p->direction == GRADIENT ? 1.0f : 0.0f;
    LIBRARY_OK(cublasLtMatmul(library(), p->form, &one, left, p->a, right, p->b[block], &add, y,
                              p->to[block], y, p->to[block], &p->algorithm[block], nullptr, 0,
                              cuda_stream()));
}

/* --- algorithms that the library offers for a block --- */

constexpr int MOST_OFFERED = 16;
struct offered {
    int n;
    cublasLtMatmulAlgo_t algorithm[MOST_OFFERED];
};

/* In one piece along the inner dimension. */
static bool is_whole(const cublasLtMatmulAlgo_t *a)
{
    uint32_t pieces = 1, reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    size_t written;
    LIBRARY_OK(cublasLtMatmulAlgoConfigGetAttribute(a, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &pieces,
                                                    sizeof pieces, &written));
    LIBRARY_OK(cublasLtMatmulAlgoConfigGetAttribute(a, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                                    &reduction, sizeof reduction, &written));
    return pieces <= 1 && reduction == CUBLASLT_REDUCTION_SCHEME_NONE;
}

/* Without room for work, and for operands that lie on no better boundary than ours may. */
static offered offered_for(const library_product *p, int block)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    cublasLtMatmulHeuristicResult_t result[MOST_OFFERED];
    cublasLtMatmulPreference_t wish;
    uint32_t bytes = LIBRARY_ALIGNMENT, none = CUBLASLT_REDUCTION_SCHEME_NONE;
    offered o = {};
    int n = 0;
    LIBRARY_OK(cublasLtMatmulPreferenceCreate(&wish));
    for (auto which : alignments)
        LIBRARY_OK(cublasLtMatmulPreferenceSetAttribute(wish, which, &bytes, sizeof bytes));
    LIBRARY_OK(cublasLtMatmulPreferenceSetAttribute(
        wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &none, sizeof none));
    cublasStatus_t s =
        cublasLtMatmulAlgoGetHeuristic(library(), p->form, p->a, p->b[block], p->to[block],
                                       p->to[block], wish, MOST_OFFERED, result, &n);
    if (s != CUBLAS_STATUS_NOT_SUPPORTED) LIBRARY_OK(s);
    for (int i = 0; s == CUBLAS_STATUS_SUCCESS && i < n; i++)
        if (result[i].state == CUBLAS_STATUS_SUCCESS && result[i].workspaceSize == 0 &&
            is_whole(&result[i].algo))
            o.algorithm[o.n++] = result[i].algo;
    LIBRARY_OK(cublasLtMatmulPreferenceDestroy(wish));
    return o;
}

/* --- the trial --- */

/* The product under trial, its operands on the GPU, and which blocks. */
struct trial {
    const library_product *p;
    int block[2];
    char *weight, *x, *y;
    size_t x_row, y_row;
};

static void *device_bytes(size_t bytes)
{
    void *at;
    CUDA_OK(cudaMalloc(&at, bytes));
    return at;
}

static void put_there(void *to, const void *from, size_t bytes)
{
    CUDA_OK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, cuda_stream()));
    CUDA_OK(cudaStreamSynchronize(cuda_stream()));
}

static void get_back(void *to, const void *from, size_t bytes)
{
    CUDA_OK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, cuda_stream()));
    CUDA_OK(cudaStreamSynchronize(cuda_stream()));
}

/* A result in bf16 hides most of what another order of its sum does to it. So there the second half
 * of a row is the first with the other sign, and that of the weight the first again: the sum is 0,
 * and what is left of it are its roundings. */
static void mirror(const trial *t, char *row, size_t step, size_t n, unsigned sign)
{
    uint16_t half;
    if (t->p->out != CUDA_R_16BF) return;
    for (size_t i = 0; i < n / 2; i++) {
        memcpy(&half, row + i * step, sizeof half);
        half = (uint16_t)(half ^ sign);
        memcpy(row + (n / 2 + i) * step, &half, sizeof half);
    }
}

static void put_rows(const trial *t, const void *x, size_t rows)
{
    char *host = (char *)memory_take(rows, t->x_row, "trying a matrix product");
    memcpy(host, x, rows * t->x_row);
    for (size_t i = 0; i < rows; i++)
        mirror(t, host + i * t->x_row, sizeof(bf16), t->x_row / sizeof(bf16), 0x8000u);
    put_there(t->x, host, rows * t->x_row);
    free(host);
}

/* Results in bf16 are widened in place, from the last to the first. */
static void run_rows(void *ctx, int which, float *y, const void *x)
{
    const trial *t = (const trial *)ctx;
    int block = t->block[which];
    size_t rows = (size_t)BLOCK_ROWS[block], n = rows * t->y_row / type_bytes(t->p->out);
    put_rows(t, x, rows);
    library_run(t->p, block, t->y, t->weight, t->x);
    get_back(y, t->y, rows * t->y_row);
    const uint16_t *half = (const uint16_t *)(const void *)y;
    for (size_t i = n; t->p->out == CUDA_R_16BF && i-- > 0;) {
        uint32_t bits = (uint32_t)half[i] << 16;
        memcpy(&y[i], &bits, sizeof bits);
    }
}

/* dw (n, k) with dy left of it: for the library x stands left. */
static void run_gradient(void *ctx, float *dw, const void *dy, const void *x)
{
    const trial *t = (const trial *)ctx;
    size_t bytes = (size_t)t->p->N * (size_t)t->p->K * sizeof *dw;
    put_there(t->y, dw, bytes);
    put_there(t->weight, x, GRADIENT_ROWS * (size_t)t->p->K * type_bytes(t->p->in));
    put_there(t->x, dy, GRADIENT_ROWS * (size_t)t->p->N * type_bytes(t->p->in));
    library_run(t->p, 0, t->y, t->weight, t->x);
    get_back(dw, t->y, bytes);
}

static enum matmul_type trial_type(const library_product *p)
{
    return p->in == CUDA_R_16BF ? MATMUL_BF16 : MATMUL_F32;
}

/* Room for the largest block, and a weight. */
static trial trial_open(const library_product *p)
{
    bool gradient = p->direction == GRADIENT;
    size_t N = (size_t)p->N, K = (size_t)p->K, in = type_bytes(p->in), out = type_bytes(p->out);
    size_t most = (size_t)BLOCK_ROWS[BLOCKS - 1];
    trial t = {.p = p,
               .block = {},
               .weight = nullptr,
               .x = nullptr,
               .y = nullptr,
               .x_row = (p->direction == FORWARD ? K : N) * in,
               .y_row = (p->direction == FORWARD ? N : K) * out};
    t.weight = (char *)device_bytes((gradient ? GRADIENT_ROWS : N) * K * in);
    t.x = (char *)device_bytes(gradient ? GRADIENT_ROWS * N * in : most * t.x_row);
    t.y = (char *)device_bytes(gradient ? N * K * out : most * t.y_row);
    if (gradient) return t;
    char *host = (char *)memory_take(N * K, in, "trying a matrix product");
    trial_fill(host, N * K, trial_type(p), 7, 8);
    bool forward = p->direction == FORWARD;
    for (size_t i = 0; i < (forward ? N : K); i++)
        mirror(&t, host + i * (forward ? K : 1) * in, forward ? in : K * in, forward ? K : N, 0);
    put_there(t.weight, host, N * K * in);
    free(host);
    return t;
}

static void trial_close(trial *t)
{
    CUDA_OK(cudaFree(t->weight));
    CUDA_OK(cudaFree(t->x));
    CUDA_OK(cudaFree(t->y));
}

/* Blocks that give each other's bits at every position; one alone: its own. */
static bool agree(trial *t, int smaller, int larger)
{
    const library_product *p = t->p;
    bool keep[2] = {}, one = smaller == larger;
    int rows[] = {BLOCK_ROWS[smaller], BLOCK_ROWS[larger]};
    t->block[0] = smaller, t->block[1] = larger;
    const struct row_trial how = {.n = p->direction == FORWARD ? p->N : p->K,
                                  .k = p->direction == FORWARD ? p->K : p->N,
                                  .type = trial_type(p),
                                  .blocks = one ? 1 : 2,
                                  .rows = rows,
                                  .run = run_rows,
                                  .ctx = t};
    return row_trial(keep, &how) && keep[0] && (one || keep[1]);
}

/* The first algorithm offered for the block that agrees with the one of the largest. */
static bool choose(library_product *p, trial *t, int block)
{
    offered o = offered_for(p, block);
    for (int i = 0; i < o.n; i++) {
        p->algorithm[block] = o.algorithm[i];
        if (agree(t, block, BLOCKS - 1)) return true;
    }
    return false;
}

static bool choose_gradient(library_product *p, trial *t)
{
    offered o = offered_for(p, 0);
    const struct gradient_trial g = {p->N, p->K, GRADIENT_ROWS, trial_type(p), run_gradient, t};
    for (int i = 0; i < o.n; i++) {
        p->algorithm[0] = o.algorithm[i];
        if (gradient_trial(&g)) return true;
    }
    return false;
}

/* Rows that do not begin on multiples of LIBRARY_ALIGNMENT are not the library's. */
void library_find(library_product *p)
{
    size_t line = LIBRARY_ALIGNMENT;
    size_t in = type_bytes(p->in), N = (size_t)p->N * in, K = (size_t)p->K * in;
    if (N % line != 0 || K % line != 0) return;
    form_make(p);
    trial t = trial_open(p);
    p->serves = true;
    for (int i = BLOCKS - 1; p->direction != GRADIENT && p->serves && i >= 0; i--)
        p->serves = choose(p, &t, i);
    if (p->direction == GRADIENT) p->serves = choose_gradient(p, &t);
    trial_close(&t);
    if (!p->serves) form_free(p);
}
