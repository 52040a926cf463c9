/* A GPU's table of operations as one over memory of the host, for tests: each operand is copied to
 * an allocation of its own, of the bytes that the contract names, and what is written is copied
 * back. So a kernel that reads or writes more is found (tests/cuda/README.md). An operand that lies
 * within one that is there already is a part of it: rows in place are in place. */
#ifndef DUET_TESTS_CUDA_DEVICE_ROWS_H
#define DUET_TESTS_CUDA_DEVICE_ROWS_H

#include "comm/base/memory.h"
#include "comm/cuda/device.h"
#include "model/cuda/ops.h"
#include "model/ops_staged.h"
#include "tests/support/check_unit.h"
#include "tests/support/ops_data.h"

enum { MOST_OPERANDS = 12 };
static const struct device *gpu;
static struct {
    char *host, *there;
    size_t bytes;
    bool written;
} operands[MOST_OPERANDS];
static int n_operands;

static inline void *operand(const void *at, size_t bytes, bool written)
{
    char *host = (char *)(uintptr_t)at;
    for (int i = 0; i < n_operands; i++) {
        size_t from = (size_t)(host - operands[i].host);
        if (host < operands[i].host || from + bytes > operands[i].bytes) continue;
        operands[i].written |= written;
        return operands[i].there + from;
    }
    char *there = gpu->alloc(bytes);
    gpu->copy_in(there, host, bytes);
    operands[n_operands].host = host;
    operands[n_operands].there = there;
    operands[n_operands].bytes = bytes;
    operands[n_operands++].written = written;
    return there;
}

static inline const void *operand_read(const void *at, size_t bytes)
{
    return operand(at, bytes, false);
}

static inline void *operand_write(void *at, size_t bytes)
{
    return operand(at, bytes, true);
}

static inline void operands_close(void)
{
    for (int i = 0; i < n_operands; i++) {
        if (operands[i].written)
            gpu->copy_out(operands[i].host, operands[i].there, operands[i].bytes);
        gpu->release(operands[i].there);
    }
    n_operands = 0;
}

/* Rows whose stand-ins look into their operands, to see how many rows there are, or are named. */
static const struct ops *gpu_rows;

static inline size_t rows_named(const int *at, int n)
{
    int rows = 0;
    for (int i = 0; i < n; i++) rows = at[i] >= rows ? at[i] + 1 : rows;
    return (size_t)rows;
}

static inline void device_rope(void *x, int T, int stride, int heads, int D, const int *pos,
                               const float *cos_sin, bool inverse)
{
    size_t elements = (size_t)((T - 1) * stride + heads * D),
           angles = rows_named(pos, T) * (size_t)D;
    gpu_rows->rope(operand_write(x, elements * gpu_rows->real_bytes), T, stride, heads, D,
                   operand_read(pos, (size_t)T * sizeof *pos),
                   operand_read(cos_sin, angles * sizeof *cos_sin), inverse);
    operands_close();
}

static inline void device_combine_forward(void *y, const void *x, const void *rows, const int *at,
                                          const float *weight, int T, int C, int K)
{
    size_t row = (size_t)C * gpu_rows->real_bytes, n = (size_t)(T * K);
    void *to = operand_write(y, (size_t)T * row);
    gpu_rows->combine_forward(
        to, operand_read(x, (size_t)T * row), operand_read(rows, rows_named(at, T * K) * row),
        operand_read(at, n * sizeof *at), operand_read(weight, n * sizeof *weight), T, C, K);
    operands_close();
}

/* --- rows over sequences --- */

static inline struct segments operand_segments(struct segments s)
{
    return (struct segments){s.n, operand_read(s.start, (size_t)(s.n + 1) * sizeof *s.start)};
}

static inline void device_router_load(uint64_t *chosen, struct exact_sum *balance, int *count,
                                      const float *prob, const int *expert, struct segments seg,
                                      int E, int K)
{
    size_t T = (size_t)seg.start[seg.n], e = (size_t)E, k = (size_t)K;
    gpu_rows->router_load(
        operand_write(chosen, e * sizeof *chosen), operand_write(balance, sizeof *balance),
        operand_write(count, e * sizeof *count), operand_read(prob, T * e * sizeof *prob),
        operand_read(expert, T * k * sizeof *expert), operand_segments(seg), E, K);
    operands_close();
}

static inline void device_router_backward(float *prob, const struct chosen *of, float balance,
                                          int *count, struct segments seg, int E, int K,
                                          bool normed)
{
    size_t T = (size_t)seg.start[seg.n], e = (size_t)E, n = T * (size_t)K * sizeof(float);
    const struct chosen there = {operand_read(of->expert, n), operand_read(of->weight, n),
                                 operand_read(of->dweight, n)};
    gpu_rows->router_backward(operand_write(prob, T * e * sizeof *prob), &there, balance,
                              operand_write(count, e * sizeof *count), operand_segments(seg), E, K,
                              normed);
    operands_close();
}

static inline void device_router_backward_input(void *dx, const void *drows, const int *at,
                                                const float *dlogits, const void *w, int T, int C,
                                                int E, int K)
{
    size_t row = (size_t)C * gpu_rows->real_bytes, n = (size_t)(T * K), e = (size_t)E;
    gpu_rows->router_backward_input(
        operand_write(dx, (size_t)T * row), operand_read(drows, rows_named(at, T * K) * row),
        operand_read(at, n * sizeof *at), operand_read(dlogits, (size_t)T * e * sizeof *dlogits),
        operand_read(w, e * row), T, C, E, K);
    operands_close();
}

static inline void device_attention_forward(void *out, float *lse, const void *qkv,
                                            struct segments seg, const struct dims *d,
                                            void *scratch)
{
    size_t T = (size_t)seg.start[seg.n], heads = T * (size_t)d->Hq, real = gpu_rows->real_bytes;
    gpu_rows->attention_forward(
        operand_write(out, heads * (size_t)d->D * real), operand_write(lse, heads * sizeof *lse),
        operand_read(qkv, T * (size_t)dims_qkv(d) * real), operand_segments(seg), d,
        operand_write(scratch, gpu_rows->attention_scratch(d, (int)T)));
    operands_close();
}

static inline void device_attention_backward(void *dqkv, const void *dout, const void *qkv,
                                             const void *out, const float *lse, struct segments seg,
                                             const struct dims *d, void *scratch)
{
    size_t T = (size_t)seg.start[seg.n], heads = T * (size_t)d->Hq, real = gpu_rows->real_bytes;
    size_t rows = T * (size_t)dims_qkv(d) * real, outs = heads * (size_t)d->D * real;
    gpu_rows->attention_backward(operand_write(dqkv, rows), operand_read(dout, outs),
                                 operand_read(qkv, rows), operand_read(out, outs),
                                 operand_read(lse, heads * sizeof *lse), operand_segments(seg), d,
                                 operand_write(scratch, gpu_rows->attention_scratch(d, (int)T)));
    operands_close();
}

/* Weights stay where they are until the next is packed. */
static inline void device_linear_pack(struct linear *l, const void *w)
{
    static void *there;
    size_t bytes = (size_t)l->N * (size_t)l->K * gpu_rows->real_bytes;
    gpu->release(there);
    there = gpu->alloc(bytes);
    gpu->copy_in(there, w, bytes);
    gpu_rows->linear_pack(l, there);
}

/* One table at a time in a process. */
static inline const struct ops *device_rows(enum precision precision)
{
    static struct ops table;
    struct problems p = {0};
    gpu = device_cuda(0, &p);
    problems_end_if_any(&p);
    gpu_rows = ops_cuda(precision);
    table = (struct ops){.name = gpu_rows->name,
                         .isa = gpu_rows->isa,
                         .precision = precision,
                         .real_bytes = gpu_rows->real_bytes,
                         .linear_pack = device_linear_pack,
                         .rope = device_rope,
                         .router_load = device_router_load,
                         .router_backward = device_router_backward,
                         .router_backward_input = device_router_backward_input,
                         .attention_forward = device_attention_forward,
                         .attention_backward = device_attention_backward,
                         .combine_forward = device_combine_forward,
                         .kv_block_bytes = gpu_rows->kv_block_bytes,
                         .attention_scratch = gpu_rows->attention_scratch};
    ops_stand_in(&table, gpu_rows, (struct operands){operand_read, operand_write, operands_close},
                 NULL);
    return &table;
}

/* --- against the plain loops; |a - b| / (1 + |b|) ---
 *
 * fp32: a sum of some thousand terms of order 1 in float instead of double; bf16: one rounding more
 * than the oracle's. What is said to be equal has the same bits. */

static const struct ops *ops, *plain;
static double tolerance;

static inline void setup(int i)
{
    enum precision p = i % 2 ? PRECISION_BF16 : PRECISION_FP32;
    ops = device_rows(p);
    plain = ops_find(p, "plain");
    tolerance = p == PRECISION_BF16 ? 1.0 / 128 : 2e-5;
}
enum { PRECISIONS = 2 };

#define NEAR_FLOATS(a, b, n) ck_assert_double_le(worst_error(a, b, n), 2e-5)
#define NEAR_REALS(a, b, n)  ck_assert_double_le(worst_real_error(plain, a, b, n), tolerance)

/* Room for n elements of either type, filled with what no result is. */
static inline void *room(size_t n)
{
    void *p = memory_take(n, sizeof(float), "a test");
    memset(p, 0x5a, n * sizeof(float));
    return p;
}

static inline char *row_at(const void *p, size_t row, size_t n)
{
    return (char *)(uintptr_t)p + row * n * plain->real_bytes;
}

#define FREE_ALL(...)                                                              \
    do {                                                                           \
        void *const all_[] = {__VA_ARGS__};                                        \
        for (size_t i_ = 0; i_ < sizeof all_ / sizeof *all_; i_++) free(all_[i_]); \
    } while (0)

#endif
