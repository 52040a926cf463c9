/* cuBLASLt as Duet asks for it: products posted on a stream, done by loops. What the real library
 * refuses is refused: other types than it takes, sizes that do not fit, operands that do not lie on
 * the device, in full, on the boundaries that were wished for.
 *
 * It offers algorithms of several kinds, for a user that has to choose (model/cuda/library.cu):
 * first one that cuts the inner dimension and wants room for it, then one whose cut depends on
 * where a column of the result stands, then for few columns one that adds in another order than
 * those for many, then plain ones. emulated_library.plain false: the plain ones are missing. */
#include "emulation.h"

#include <cstring>
#include <vector>

#include "cublasLt.h"
#include "cuda_bf16.h"

struct emulated_library_offers emulated_library = {.plain = true, .calls = 0};

enum kind { SPLIT, UNEVEN, PAIRS, PLAIN, KINDS };
enum { FEW_COLUMNS = 64, LEAST_ALIGNMENT = 16 };

struct emulated_form {
    cublasOperation_t ta, tb;
};
struct emulated_layout {
    cudaDataType_t type;
    size_t rows, columns, ld;
};
struct emulated_wish {
    uint32_t alignment, reductions;
};

const char *cublasLtGetStatusName(cublasStatus_t s)
{
    return s == CUBLAS_STATUS_SUCCESS         ? "CUBLAS_STATUS_SUCCESS"
           : s == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE"
                                              : "CUBLAS_STATUS_NOT_SUPPORTED";
}

/* --- descriptions --- */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    static char unused;
    *handle = (cublasLtHandle_t)(void *)&unused;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    *d = new emulated_form{CUBLAS_OP_N, CUBLAS_OP_N};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    delete d;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes)
{
    if (bytes != sizeof(cublasOperation_t)) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(which == CUBLASLT_MATMUL_DESC_TRANSA ? &d->ta : &d->tb, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType_t type,
                                          uint64_t rows, uint64_t columns, int64_t ld)
{
    if (rows == 0 || columns == 0 || ld < (int64_t)rows) return CUBLAS_STATUS_INVALID_VALUE;
    *l = new emulated_layout{type, rows, columns, (size_t)ld};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    delete l;
    return CUBLAS_STATUS_SUCCESS;
}

/* (256 is the alignment that the real one supposes.) */
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    *p = new emulated_wish{256, CUBLASLT_REDUCTION_SCHEME_MASK};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void *value, size_t bytes)
{
    if (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return CUBLAS_STATUS_SUCCESS;
    if (bytes != sizeof(uint32_t)) return CUBLAS_STATUS_INVALID_VALUE;
    bool reductions = which == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
    memcpy(reductions ? &p->reductions : &p->alignment, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

/* --- what fits --- */

struct shape {
    size_t m, n, k;
};

static size_t bytes_of(cudaDataType_t type)
{
    return type == CUDA_R_16BF ? 2 : 4;
}

/* Of the operation's sizes and types, which the real one has a table for. */
static cublasStatus_t fits(shape *s, const emulated_form *d, const emulated_layout *a,
                           const emulated_layout *b, const emulated_layout *c,
                           const emulated_layout *to)
{
    bool ta = d->ta == CUBLAS_OP_T, tb = d->tb == CUBLAS_OP_T;
    *s = {to->rows, to->columns, ta ? a->rows : a->columns};
    if ((ta ? a->columns : a->rows) != s->m || (tb ? b->rows : b->columns) != s->n ||
        (tb ? b->columns : b->rows) != s->k || c->rows != s->m || c->columns != s->n)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (a->type != b->type || c->type != to->type) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (a->type == CUDA_R_32F && to->type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

static bool stands_on(const emulated_layout *l, size_t alignment)
{
    return l->ld * bytes_of(l->type) % alignment == 0;
}

/* --- algorithms --- */

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to,
                                              cublasLtMatmulPreference_t wish, int wanted,
                                              cublasLtMatmulHeuristicResult_t *result, int *n)
{
    shape s;
    cublasStatus_t status = fits(&s, d, a, b, c, to);
    (void)handle;
    *n = 0;
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    bool lies = wish->alignment >= LEAST_ALIGNMENT && stands_on(a, LEAST_ALIGNMENT) &&
                stands_on(b, LEAST_ALIGNMENT) && stands_on(to, LEAST_ALIGNMENT);
    for (int kind = 0; lies && kind < KINDS && *n < wanted; kind++) {
        if (kind == SPLIT && !(wish->reductions & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)) continue;
        if (kind == PAIRS && s.n > FEW_COLUMNS) continue;
        if (kind == PLAIN && !emulated_library.plain) continue;
        cublasLtMatmulHeuristicResult_t *r = &result[(*n)++];
        *r = {};
        r->algo.data[0] = (uint64_t)kind;
        r->workspaceSize = kind == SPLIT ? s.m * s.n * sizeof(float) : 0;
    }
    return *n > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t which,
                                                    void *value, size_t bytes, size_t *written)
{
    bool split = algo->data[0] == SPLIT, pieces = which == CUBLASLT_ALGO_CONFIG_SPLITK_NUM;
    uint32_t is = pieces  ? (split ? 4 : 1)
                  : split ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                          : CUBLASLT_REDUCTION_SCHEME_NONE;
    if (bytes != sizeof is) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(value, &is, bytes);
    *written = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

/* --- products --- */

static float value_at(const void *p, cudaDataType_t type, size_t i)
{
    float f;
    if (type == CUDA_R_16BF) return __bfloat162float(((const __nv_bfloat16 *)p)[i]);
    memcpy(&f, (const char *)p + i * sizeof f, sizeof f);
    return f;
}

/* (rows, k), one after the other, as floats. */
static std::vector<float> taken(const void *p, const emulated_layout *l, bool rows_are_columns,
                                size_t rows, size_t k)
{
    std::vector<float> f(rows * k);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < k; i++)
            f[r * k + i] = value_at(p, l->type, rows_are_columns ? i + r * l->ld : r + i * l->ld);
    return f;
}

/* sum[i] += b * w[i]; the compiler makes vectors of it, which change no bit. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#endif
static void
add_row(float *__restrict sum, const float *__restrict w, float b, size_t m)
{
    for (size_t i = 0; i < m; i++) sum[i] += b * w[i];
}

/* A column of the result: in how many runs along k, each summed by itself. */
static void column(float *sum, float *part, const float *w, const float *b, shape s, kind how,
                   size_t at)
{
    size_t cut = how == UNEVEN ? s.k * (1 + at % 3) / 4 : how == PAIRS ? s.k / 2 : s.k;
    memset(sum, 0, s.m * sizeof *sum);
    for (size_t i = 0; i < cut; i++) add_row(sum, w + i * s.m, b[i], s.m);
    if (cut == s.k) return;
    memset(part, 0, s.m * sizeof *part);
    for (size_t i = cut; i < s.k; i++) add_row(part, w + i * s.m, b[i], s.m);
    for (size_t i = 0; i < s.m; i++) sum[i] += part[i];
}

/* What stands at the places of C and D. */
struct result {
    const void *c;
    void *to;
    emulated_layout lc, lto;
    float alpha, beta;
};

static void put(const result &r, size_t row, size_t col, float sum)
{
    float y = r.alpha * sum;
    if (r.beta != 0) y += r.beta * value_at(r.c, r.lc.type, row + col * r.lc.ld);
    size_t at = row + col * r.lto.ld;
    if (r.lto.type == CUDA_R_16BF)
        ((__nv_bfloat16 *)r.to)[at] = __float2bfloat16_rn(y);
    else
        ((float *)r.to)[at] = y;
}

static void multiply(shape s, kind how, const emulated_form &d, const void *a,
                     const emulated_layout &la, const void *b, const emulated_layout &lb,
                     const result &r)
{
    std::vector<float> left = taken(a, &la, d.ta == CUBLAS_OP_T, s.m, s.k), w(s.m * s.k);
    std::vector<float> right = taken(b, &lb, d.tb == CUBLAS_OP_N, s.n, s.k), sum(s.m), part(s.m);
    for (size_t i = 0; i < s.m; i++)
        for (size_t k = 0; k < s.k; k++) w[k * s.m + i] = left[i * s.k + k];
    for (size_t col = 0; col < s.n; col++) {
        column(sum.data(), part.data(), w.data(), right.data() + col * s.k, s, how, col);
        for (size_t i = 0; i < s.m; i++) put(r, i, col, sum[i]);
    }
}

static bool lies(const void *p, const emulated_layout *l)
{
    size_t bytes = ((l->columns - 1) * l->ld + l->rows) * bytes_of(l->type);
    return (uintptr_t)p % LEAST_ALIGNMENT == 0 && stands_on(l, LEAST_ALIGNMENT) &&
           memory_is_device(p, bytes);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t d, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t la, const void *b,
                              cublasLtMatrixLayout_t lb, const void *beta, const void *c,
                              cublasLtMatrixLayout_t lc, void *to, cublasLtMatrixLayout_t lto,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
                              cudaStream_t stream)
{
    shape s;
    result r = {c, to, *lc, *lto, value_at(alpha, CUDA_R_32F, 0), value_at(beta, CUDA_R_32F, 0)};
    kind how = (kind)algo->data[0];
    cublasStatus_t status = fits(&s, d, la, lb, lc, lto);
    (void)handle, (void)workspace;
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    if (!lies(a, la) || !lies(b, lb) || !lies(c, lc) || !lies(to, lto))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (how == SPLIT && bytes < s.m * s.n * sizeof(float)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (how == PAIRS && s.n > FEW_COLUMNS) return CUBLAS_STATUS_NOT_SUPPORTED;
    emulated_library.calls++;
    streams_post(stream, [=, form = *d, from = *la, with = *lb] {
        multiply(s, how, form, a, from, b, with, r);
    });
    return CUBLAS_STATUS_SUCCESS;
}
