/* The rows of struct ops for the test device (tests/support/test_device.h): kernels that see its
 * memory and no other, doing what the host's rows do, so to the same bits. An operand that lies on
 * the host is as much a fault here as device memory in the host's hands. Rows that only decoding
 * and sampling use are not there. */
#ifndef DUET_TESTS_SUPPORT_TEST_OPS_H
#define DUET_TESTS_SUPPORT_TEST_OPS_H

#include "model/ops.h"
#include "tests/support/test_device.h"

static const struct ops *test_rows; /* the host's */

/* n, or n times m, elements of each type, seen by a kernel; NULL stays NULL. */
static inline void *test_bytes(const void *p, size_t bytes)
{
    return p ? test_at(p, bytes) : NULL;
}
static inline void *test_real(const void *p, int n, int m)
{
    return test_bytes(p, (size_t)n * (size_t)m * test_rows->real_bytes);
}
static inline float *test_float(const float *p, int n, int m)
{
    return test_bytes(p, (size_t)n * (size_t)m * sizeof *p);
}
static inline int *test_int(const int *p, int n, int m)
{
    return test_bytes(p, (size_t)n * (size_t)m * sizeof *p);
}
static inline void *test_either(const void *p, bool is_float, int n, int m)
{
    return is_float ? (void *)test_float(p, n, m) : test_real(p, n, m);
}
static inline struct segments test_segments(struct segments s)
{
    return (struct segments){s.n, test_int(s.start, s.n + 1, 1)};
}
static inline int test_last(struct segments there)
{
    return there.start[there.n];
}
/* Packed copies are as long as the backend likes. */
static inline struct linear test_linear(const struct linear *l)
{
    struct linear there = *l;
    there.forward_copy = test_bytes(l->forward_copy, 1);
    there.backward_copy = test_bytes(l->backward_copy, 1);
    return there;
}

/* --- linear layers, moves --- */

static inline void test_linear_pack(struct linear *l, const void *w)
{
    struct linear there = test_linear(l);
    test_rows->linear_pack(&there, test_real(w, l->N, l->K));
}

static inline void test_linear_forward(void *y, bool y_float, const void *x, const struct linear *l,
                                       const void *bias, int T)
{
    struct linear there = test_linear(l);
    test_rows->linear_forward(test_either(y, y_float, T, l->N), y_float, test_real(x, T, l->K),
                              &there, test_real(bias, 1, l->N), T);
}

static inline void test_linear_backward_input(void *dx, bool dx_float, const void *dy,
                                              const struct linear *l, int T)
{
    struct linear there = test_linear(l);
    test_rows->linear_backward_input(test_either(dx, dx_float, T, l->K), dx_float,
                                     test_real(dy, T, l->N), &there, T);
}

static inline void test_linear_backward_weight(float *dw, float *db, const void *dy, const void *x,
                                               int N, int K, int T)
{
    test_rows->linear_backward_weight(test_float(dw, N, K), test_float(db, 1, N),
                                      test_real(dy, T, N), test_real(x, T, K), N, K, T);
}

static inline size_t test_extent(size_t step, int T, size_t bytes)
{
    return T > 0 ? (size_t)(T - 1) * step + bytes : 0;
}

static inline void test_copy_rows(void *y, size_t y_step, const void *x, size_t x_step, int T,
                                  size_t bytes)
{
    test_rows->copy_rows(test_bytes(y, test_extent(y_step, T, bytes)), y_step,
                         test_bytes(x, test_extent(x_step, T, bytes)), x_step, T, bytes);
}

static inline void test_scatter_rows(void *y, const int *at, const void *x, int T, int C, int K)
{
    test_rows->scatter_rows(test_real(y, T * K, C), test_int(at, T, K), test_real(x, T, C), T, C,
                            K);
}

/* --- row-wise --- */

static inline void test_embed_forward(void *x, const void *table, const int *token,
                                      struct share own, int T, int C)
{
    test_rows->embed_forward(test_real(x, T, C), test_real(table, own.n, C), test_int(token, T, 1),
                             own, T, C);
}

static inline void test_embed_backward(float *dtable, const void *dx, const int *token,
                                       struct share own, int T, int C)
{
    test_rows->embed_backward(test_float(dtable, own.n, C), test_real(dx, T, C),
                              test_int(token, T, 1), own, T, C);
}

static inline void test_rmsnorm_forward(void *y, float *rstd, const void *x, const void *gain,
                                        int T, int C, float eps)
{
    test_rows->rmsnorm_forward(test_real(y, T, C), test_float(rstd, T, 1), test_real(x, T, C),
                               test_real(gain, 1, C), T, C, eps);
}

static inline void test_rmsnorm_backward(void *dx, float *dgain, const void *dy, const void *x,
                                         const void *gain, const float *rstd, const void *carry,
                                         int T, int C)
{
    test_rows->rmsnorm_backward(test_real(dx, T, C), test_float(dgain, 1, C), test_real(dy, T, C),
                                test_real(x, T, C), test_real(gain, 1, C), test_float(rstd, T, 1),
                                test_real(carry, T, C), T, C);
}

/* Heads of some rows: from the first element of the first to the last of the last. */
static inline void *test_heads(const void *p, struct head_rows h)
{
    return test_real(p, h.T > 0 ? (h.T - 1) * h.stride + h.heads * h.D : 0, 1);
}
static inline float *test_statistics(const float *p, struct head_rows h)
{
    return test_float(p, h.T > 0 ? (h.T - 1) * h.statistics + h.heads : 0, 1);
}

static inline void test_rmsnorm_heads_forward(void *y, float *rstd, const void *x, const void *gain,
                                              struct head_rows h, float eps)
{
    test_rows->rmsnorm_heads_forward(test_heads(y, h), test_statistics(rstd, h), test_heads(x, h),
                                     test_real(gain, 1, h.D), h, eps);
}

static inline void test_rmsnorm_heads_backward(void *dx, float *dgain, const void *dy,
                                               const void *x, const void *gain, const float *rstd,
                                               struct head_rows h)
{
    test_rows->rmsnorm_heads_backward(test_heads(dx, h), test_float(dgain, 1, h.D),
                                      test_heads(dy, h), test_heads(x, h), test_real(gain, 1, h.D),
                                      test_statistics(rstd, h), h);
}

static inline void test_add(void *y, const void *a, const void *b, size_t n)
{
    size_t bytes = n * test_rows->real_bytes;
    test_rows->add(test_bytes(y, bytes), test_bytes(a, bytes), test_bytes(b, bytes), n);
}

static inline void test_swiglu_forward(void *y, const void *gu, int T, int F)
{
    test_rows->swiglu_forward(test_real(y, T, F), test_real(gu, T, 2 * F), T, F);
}

static inline void test_swiglu_backward(void *dgu, const void *dy, const void *gu, int T, int F)
{
    test_rows->swiglu_backward(test_real(dgu, T, 2 * F), test_real(dy, T, F),
                               test_real(gu, T, 2 * F), T, F);
}

/* --- experts --- */

static inline void test_router_forward(float *prob, const void *x, const void *w, int T, int C,
                                       int E)
{
    test_rows->router_forward(test_float(prob, T, E), test_real(x, T, C), test_real(w, E, C), T, C,
                              E);
}

static inline void test_router_select(float *weight, int *expert, const float *prob, int T, int E,
                                      int K, bool normed)
{
    test_rows->router_select(test_float(weight, T, K), test_int(expert, T, K),
                             test_float(prob, T, E), T, E, K, normed);
}

static inline void test_router_sort(int *at, int *start, const int *expert, int n, int E)
{
    INVARIANT(!test_is_device(start, 1), "start[0..%d] is the host's", E);
    test_rows->router_sort(test_int(at, n, 1), start, test_int(expert, n, 1), n, E);
}

static inline void test_router_load(uint64_t *chosen, struct exact_sum *balance, int *count,
                                    const float *prob, const int *expert, struct segments seg,
                                    int E, int K)
{
    struct segments there = test_segments(seg);
    int T = test_last(there);
    test_rows->router_load(test_bytes(chosen, (size_t)E * sizeof *chosen),
                           test_bytes(balance, sizeof *balance), test_int(count, E, 1),
                           test_float(prob, T, E), test_int(expert, T, K), there, E, K);
}

static inline void test_router_backward(float *prob, const struct chosen *of, float balance,
                                        int *count, struct segments seg, int E, int K, bool normed)
{
    struct segments there = test_segments(seg);
    int T = test_last(there);
    const struct chosen chosen = {test_int(of->expert, T, K), test_float(of->weight, T, K),
                                  test_float(of->dweight, T, K)};
    test_rows->router_backward(test_float(prob, T, E), &chosen, balance, test_int(count, E, 1),
                               there, E, K, normed);
}

static inline void test_router_backward_input(void *dx, const void *drows, const int *at,
                                              const float *dlogits, const void *w, int T, int C,
                                              int E, int K)
{
    test_rows->router_backward_input(test_real(dx, T, C), test_real(drows, T * K, C),
                                     test_int(at, T, K), test_float(dlogits, T, E),
                                     test_real(w, E, C), T, C, E, K);
}

static inline void test_router_backward_weight(float *dw, const float *dlogits, const void *x,
                                               int T, int C, int E)
{
    test_rows->router_backward_weight(test_float(dw, E, C), test_float(dlogits, T, E),
                                      test_real(x, T, C), T, C, E);
}

static inline void test_combine_forward(void *y, const void *x, const void *rows, const int *at,
                                        const float *weight, int T, int C, int K)
{
    test_rows->combine_forward(test_real(y, T, C), test_real(x, T, C), test_real(rows, T * K, C),
                               test_int(at, T, K), test_float(weight, T, K), T, C, K);
}

static inline void test_combine_backward(void *drows, float *dweight, const void *dy,
                                         const void *rows, const int *at, const float *weight,
                                         int T, int C, int K)
{
    test_rows->combine_backward(test_real(drows, T * K, C), test_float(dweight, T, K),
                                test_real(dy, T, C), test_real(rows, T * K, C), test_int(at, T, K),
                                test_float(weight, T, K), T, C, K);
}

/* --- attention --- */

/* The table of angles is as long as the model's context. */
static inline void test_rope(void *x, int T, int stride, int heads, int D, const int *pos,
                             const float *cos_sin, bool inverse)
{
    test_rows->rope(test_real(x, T > 0 ? (T - 1) * stride + heads * D : 0, 1), T, stride, heads, D,
                    test_int(pos, T, 1), test_float(cos_sin, D, 1), inverse);
}

static inline void test_attention_forward(void *out, float *lse, const void *qkv,
                                          struct segments seg, const struct dims *d, void *scratch)
{
    struct segments there = test_segments(seg);
    int T = test_last(there);
    test_rows->attention_forward(test_real(out, T, d->Hq * d->D), test_float(lse, T, d->Hq),
                                 test_real(qkv, T, dims_qkv(d)), there, d, test_bytes(scratch, 1));
}

static inline void test_attention_backward(void *dqkv, const void *dout, const void *qkv,
                                           const void *out, const float *lse, struct segments seg,
                                           const struct dims *d, void *scratch)
{
    struct segments there = test_segments(seg);
    int T = test_last(there), heads = d->Hq * d->D;
    test_rows->attention_backward(test_real(dqkv, T, dims_qkv(d)), test_real(dout, T, heads),
                                  test_real(qkv, T, dims_qkv(d)), test_real(out, T, heads),
                                  test_float(lse, T, d->Hq), there, d, test_bytes(scratch, 1));
}

/* --- the head --- */

static inline void test_logprob_forward(float *logp, float *entropy, const float *logits,
                                        const int *target, float inv_temp, int T, int V)
{
    test_rows->logprob_forward(test_float(logp, T, 1), test_float(entropy, T, 1),
                               test_float(logits, T, V), test_int(target, T, 1), inv_temp, T, V);
}

static inline void test_logprob_backward(void *dlogits, const float *dlogp, const float *logits,
                                         const int *target, float inv_temp, int T, int V)
{
    test_rows->logprob_backward(test_real(dlogits, T, V), test_float(dlogp, T, 1),
                                test_float(logits, T, V), test_int(target, T, 1), inv_temp, T, V);
}

static inline void test_logprob_most(float *most, const float *logits, float inv_temp, int T, int V)
{
    test_rows->logprob_most(test_float(most, T, 1), test_float(logits, T, V), inv_temp, T, V);
}

static inline void test_logprob_sums(float *sums, const float *most, const float *logits,
                                     const int *target, int first, float inv_temp, int T, int V)
{
    test_rows->logprob_sums(test_float(sums, 3, T), test_float(most, T, 1),
                            test_float(logits, T, V), test_int(target, T, 1), first, inv_temp, T,
                            V);
}

static inline void test_logprob_share_backward(void *dlogits, const float *dlogp,
                                               const float *sum_exp, const float *most,
                                               const float *logits, const int *target, int first,
                                               float inv_temp, int T, int V)
{
    test_rows->logprob_share_backward(test_real(dlogits, T, V), test_float(dlogp, T, 1),
                                      test_float(sum_exp, T, 1), test_float(most, T, 1),
                                      test_float(logits, T, V), test_int(target, T, 1), first,
                                      inv_temp, T, V);
}

static inline void test_logprob_join(float *logp, float *entropy, const float *sums,
                                     const int *target, int T)
{
    test_rows->logprob_join(test_float(logp, T, 1), test_float(entropy, T, 1),
                            test_float(sums, 3, T), test_int(target, T, 1), T);
}

static inline void test_fill_columns(float *y, struct share columns, float value, int T, int N)
{
    test_rows->fill_columns(test_float(y, T, N), columns, value, T, N);
}

/* --- optimizer --- */

static inline void test_adamw_step(void *param, float *master, float *m, float *v,
                                   const float *grad, size_t n, const struct adamw *h)
{
    size_t bytes = n * sizeof *master;
    test_rows->adamw_step(test_bytes(param, n * test_rows->real_bytes), test_bytes(master, bytes),
                          test_bytes(m, bytes), test_bytes(v, bytes), test_bytes(grad, bytes), n,
                          h);
}

static inline void test_square_sum(struct exact_sum *sum, const float *x, size_t n)
{
    test_rows->square_sum(test_bytes(sum, sizeof *sum), test_bytes(x, n * sizeof *x), n);
}

static inline void test_to_real(void *out, const float *in, size_t n)
{
    test_rows->to_real(test_bytes(out, n * test_rows->real_bytes), test_bytes(in, n * sizeof *in),
                       n);
}

static inline void test_to_float(float *out, const void *in, size_t n)
{
    test_rows->to_float(test_bytes(out, n * sizeof *out), test_bytes(in, n * test_rows->real_bytes),
                        n);
}

/* --- the table --- */

/* linear_place and what says how large something is touch no memory: the host's. */
#define TEST_OPS(X)           \
    X(linear_pack)            \
    X(linear_forward)         \
    X(linear_backward_input)  \
    X(linear_backward_weight) \
    X(copy_rows)              \
    X(scatter_rows)           \
    X(embed_forward)          \
    X(embed_backward)         \
    X(rmsnorm_forward)        \
    X(rmsnorm_backward)       \
    X(rmsnorm_heads_forward)  \
    X(rmsnorm_heads_backward) \
    X(add)                    \
    X(swiglu_forward)         \
    X(swiglu_backward)        \
    X(router_forward)         \
    X(router_select)          \
    X(router_sort)            \
    X(router_load)            \
    X(router_backward)        \
    X(router_backward_input)  \
    X(router_backward_weight) \
    X(combine_forward)        \
    X(combine_backward)       \
    X(rope)                   \
    X(attention_forward)      \
    X(attention_backward)     \
    X(logprob_forward)        \
    X(logprob_backward)       \
    X(logprob_most)           \
    X(logprob_sums)           \
    X(logprob_share_backward) \
    X(logprob_join)           \
    X(fill_columns)           \
    X(adamw_step)             \
    X(square_sum)             \
    X(to_real)                \
    X(to_float)
#define TEST_OPS_ROW(row) .row = test_##row,

/* The rows that do on the test device what `host` does; one such table at a time. */
static inline const struct ops *test_ops(const struct ops *host)
{
    static struct ops table;
    test_rows = host;
    table = (struct ops){.name = host->name,
                         .isa = host->isa,
                         .precision = host->precision,
                         .real_bytes = host->real_bytes,
                         .linear_place = host->linear_place,
                         .attention_scratch = host->attention_scratch,
                         .kv_block_bytes = host->kv_block_bytes,
                         TEST_OPS(TEST_OPS_ROW)};
    return &table;
}

#endif
