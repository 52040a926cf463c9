#include "model/few_rows.h"

#include <stdbool.h>
#include <stdlib.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "model/matmul.h"
#include "model/row_trial.h"

int few_piece(struct few_chain c, int left)
{
    if (c.block == 0 || left <= c.block) return left;
    return left >= 2 * c.block ? c.block : (left + 1) / 2;
}

/* oneDNN's sgemm cuts K in blocks of 256 for AVX2 and of 384 for AVX-512. */
static const struct few_chain chains[] = {{256}, {384}, {0}};

/* What was found for a weight and an instruction set. */
struct found {
    struct found *next;
    int N, K;
    few_rows_of *of;
    struct few_rows few;
};
static struct found *found;

/* A weight, as it is stored and as the library wants it, and its smallest block. */
struct tried {
    const struct matmul_shape *shape;
    int N, K, block;
    uint16_t *stored;
    void *packed;
    struct few_rows few;
};

/* Block 0 is the library's, block 1 the same rows by calls of 8, 7, 1 and the rest. */
static void run_either(void *ctx, int which, float *y, const void *x)
{
    const struct tried *t = ctx;
    if (which == 0) {
        matmul_run(y, t->shape, MATMUL_FORWARD, x, t->packed, t->block);
        return;
    }
    for (int at = 0, n = FEW_ROWS; at < t->block; at += n, n = n == FEW_ROWS ? n - 1 : 1) {
        if (n > t->block - at) n = t->block - at;
        t->few.run(y + (size_t)at * (size_t)t->N, (const float *)x + (size_t)at * (size_t)t->K,
                   t->stored, n, t->N, t->K, t->few.chain);
    }
}

/* The first of the chains that gives the bits of the library's block. */
static struct few_rows try_chains(struct tried *t, few_rows_of *of)
{
    const int rows[] = {t->block, t->block};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        bool keep[2];
        t->few = (struct few_rows){of(t->N, t->K, chains[i]), chains[i]};
        if (!t->few.run) continue;
        row_trial(keep, &(struct row_trial){t->N, t->K, MATMUL_F32, 2, rows, run_either, t});
        if (keep[0] && keep[1]) return t->few;
    }
    log_debug("no products of a few rows for %d x %d", t->N, t->K);
    return (struct few_rows){NULL, {0}};
}

/* A library that multiplies one row a call has no block to compare with. */
static struct few_rows few_try(int N, int K, few_rows_of *of)
{
    struct tried t = {.shape = matmul_shape_get(N, K, MATMUL_WIDENED, false), .N = N, .K = K};
    size_t n = (size_t)N * (size_t)K;
    t.block = matmul_block(t.shape, MATMUL_FORWARD, 1);
    if (t.block < TRIAL_ROWS) return (struct few_rows){NULL, {0}};
    t.stored = memory_take_aligned(n * sizeof *t.stored, "trying products of a few rows");
    t.packed = memory_take_aligned(matmul_packed_bytes(t.shape, MATMUL_FORWARD),
                                   "trying products of a few rows");
    trial_fill(t.stored, n, MATMUL_BF16, 7, 8);
    matmul_pack(t.packed, t.shape, MATMUL_FORWARD, t.stored);
    struct few_rows few = try_chains(&t, of);
    free(t.stored);
    free(t.packed);
    return few;
}

struct few_rows few_rows_find(int N, int K, few_rows_of *of)
{
    struct found *f = found;
    while (f && (f->N != N || f->K != K || f->of != of)) f = f->next;
    if (f) return f->few;
    f = memory_take(1, sizeof *f, "a matrix shape");
    *f = (struct found){found, N, K, of, few_try(N, K, of)};
    found = f;
    return f->few;
}
