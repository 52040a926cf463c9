/* Attention of a GPU's table: of packed sequences against the plain loops; of the cache the same
 * bits as of the sequence (promise P2); each sequence by itself (P1). On the emulated GPU, or a
 * real one. */
#include "tests/cuda/device_rows.h"

static const struct {
    int Hq, Hkv, D;
} shapes[] = {{4, 2, 16}, {3, 3, 21}, {8, 1, 64}, {2, 1, 160}, {12, 1, 8}};
enum { SHAPES = 5, CASES = SHAPES * PRECISIONS, T = 90 };
/* One of a single row, one of a run of queries and one more, one of several tiles of keys. */
static int starts[] = {0, 1, 10, T};
static const struct segments seg = {3, starts};
enum { LONG = 10, ROWS = T - LONG };

static struct dims dims_here(int i)
{
    struct dims d = {.Hq = shapes[i / PRECISIONS].Hq,
                     .Hkv = shapes[i / PRECISIONS].Hkv,
                     .D = shapes[i / PRECISIONS].D,
                     .max_context = 128};
    return d;
}

START_TEST(sequences)
{
    setup(_i);
    struct dims d = dims_here(_i);
    size_t q = (size_t)(d.Hq * d.D), w = (size_t)dims_qkv(&d), Hq = (size_t)d.Hq;
    void *qkv = reals_random(plain, T * w, 1, 2.0f), *dout = reals_random(plain, T * q, 2, 1.0f);
    void *out = room(T * q), *out2 = room(T * q), *dqkv = room(T * w), *dqkv2 = room(T * w);
    float *lse = room(T * Hq), *lse2 = room(T * Hq);
    void *scratch = memory_take(ops->attention_scratch(&d, T), 1, "a test");
    void *scratch2 = memory_take(plain->attention_scratch(&d, T), 1, "a test");
    ops->attention_forward(out, lse, qkv, seg, &d, scratch);
    plain->attention_forward(out2, lse2, qkv, seg, &d, scratch2);
    NEAR_REALS(out, out2, T * q);
    NEAR_FLOATS(lse, lse2, T * Hq);
    ops->attention_backward(dqkv, dout, qkv, out, lse, seg, &d, scratch);
    plain->attention_backward(dqkv2, dout, qkv, out, lse, seg, &d, scratch2);
    /* out is rounded, and so delta: as on the host's fast tables */
    double worst = worst_real_error(plain, dqkv, dqkv2, T * w);
    ck_assert_double_le(worst, plain->precision == PRECISION_BF16 ? 1.0 / 32 : 1e-4);
    for (int s = 0; s < seg.n; s++) {
        size_t first = (size_t)starts[s], n = (size_t)starts[s + 1] - first;
        int alone[] = {0, (int)n};
        const struct segments one = {1, alone};
        ops->attention_forward(out2, lse2, row_at(qkv, first, w), one, &d, scratch);
        ck_assert_mem_eq(out2, row_at(out, first, q), n * q * plain->real_bytes);
        ck_assert_mem_eq(lse2, lse + first * Hq, n * Hq * sizeof *lse);
        ops->attention_backward(dqkv2, row_at(dout, first, q), row_at(qkv, first, w),
                                row_at(out, first, q), lse + first * Hq, one, &d, scratch);
        ck_assert_mem_eq(dqkv2, row_at(dqkv, first, w), n * w * plain->real_bytes);
    }
    FREE_ALL(qkv, dout, out, out2, dqkv, dqkv2, lse, lse2, scratch, scratch2);
}
END_TEST

/* --- the cache: rows of the last sequence, its blocks in any order --- */

enum { BLOCKS = (ROWS + KV_BLOCK - 1) / KV_BLOCK };

static void *there_of(const void *host, size_t bytes)
{
    void *there = gpu->alloc(bytes);
    gpu->copy_in(there, host, bytes);
    return there;
}

/* Rows first, ..., first + n - 1 of a call, whose places lie on the GPU as their blocks do. */
static struct kv_rows places(int first, int n, const int *table)
{
    static int pos[ROWS];
    static const int *row[ROWS];
    for (int t = 0; t < n; t++) pos[t] = first + t, row[t] = table;
    const int *const *rows = there_of(row, (size_t)n * sizeof *row);
    return (struct kv_rows){there_of(pos, (size_t)n * sizeof *pos), rows};
}

START_TEST(cached_rows)
{
    setup(_i);
    struct dims d = dims_here(_i);
    size_t q = (size_t)(d.Hq * d.D), w = (size_t)dims_qkv(&d), real = plain->real_bytes;
    int alone[] = {0, ROWS}, table[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) table[i] = BLOCKS - 1 - i;
    void *qkv = reals_random(plain, ROWS * w, 1, 2.0f), *out = room(ROWS * q), *y = room(ROWS * q);
    float *lse = room((size_t)(ROWS * d.Hq));
    void *scratch = memory_take(ops->attention_scratch(&d, ROWS), 1, "a test");
    ops->attention_forward(out, lse, qkv, (struct segments){1, alone}, &d, scratch);
    struct kv_layer kv = {gpu->alloc(BLOCKS * ops->kv_block_bytes(&d)), ops->kv_block_bytes(&d)};
    char *x = there_of(qkv, ROWS * w * real), *to = gpu->alloc(ROWS * q * real);
    const int *blocks = there_of(table, sizeof table);
    static const struct {
        int first, n;
    } calls[] = {{0, 40}, {40, 1}, {41, ROWS - 41}}; /* a prompt, a token, the rest */
    for (int i = 0; i < 3; i++) {
        int first = calls[i].first, n = calls[i].n;
        struct kv_rows at = places(first, n, blocks);
        gpu_rows->kv_store(&kv, x + (size_t)first * w * real, at, n, &d);
        gpu_rows->attention_cached(to + (size_t)first * q * real, x + (size_t)first * w * real, &kv,
                                   at, n, &d, NULL);
    }
    gpu->copy_out(y, to, ROWS * q * real);
    ck_assert_mem_eq(y, out, ROWS * q * real);
    FREE_ALL(qkv, out, y, lse, scratch);
}
END_TEST

#define TESTS(X)              \
    X(sequences, .to = CASES) \
    X(cached_rows, .to = CASES)

UNIT_MAIN("attention", .timeout_s = 120)
