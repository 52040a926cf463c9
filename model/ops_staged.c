/* What stands in for rows of struct ops that a device's table does not have. */
#include "model/ops_staged.h"

#include <stdlib.h>

#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "comm/base/missing.h"

/* The rows of the process's one device, called by one thread. */
static struct {
    const struct ops *host;
    struct operands operands;
    const char *table;
} in_use;

/* --- operands: n, or n times m, elements; NULL stays NULL --- */

static const void *bytes_read(const void *p, size_t bytes)
{
    return p ? in_use.operands.read(p, bytes) : NULL;
}
static void *bytes_written(void *p, size_t bytes)
{
    return p ? in_use.operands.write(p, bytes) : NULL;
}
static size_t area(int n, int m, size_t bytes)
{
    return (size_t)n * (size_t)m * bytes;
}
static const void *real_read(const void *p, int n, int m)
{
    return bytes_read(p, area(n, m, in_use.host->real_bytes));
}
static void *real_written(void *p, int n, int m)
{
    return bytes_written(p, area(n, m, in_use.host->real_bytes));
}
static const float *float_read(const float *p, int n, int m)
{
    return bytes_read(p, area(n, m, sizeof *p));
}
static float *float_written(float *p, int n, int m)
{
    return bytes_written(p, area(n, m, sizeof *p));
}
static const int *int_read(const int *p, int n, int m)
{
    return bytes_read(p, area(n, m, sizeof *p));
}
static int *int_written(int *p, int n, int m)
{
    return bytes_written(p, area(n, m, sizeof *p));
}
static void *either_written(void *p, bool is_float, int n, int m)
{
    return is_float ? float_written(p, n, m) : real_written(p, n, m);
}
static struct segments segments_read(struct segments s)
{
    return (struct segments){s.n, int_read(s.start, s.n + 1, 1)};
}
static int rows_of(struct segments here)
{
    INVARIANT(here.start, "%d sequences without bounds", here.n);
    return here.start[here.n];
}

/* The host's row over operands that it can touch. */
#define STAGED(row, ...)                                   \
    do {                                                   \
        if (in_use.table) missing_row(in_use.table, #row); \
        in_use.host->row(__VA_ARGS__);                     \
        in_use.operands.close();                           \
    } while (0)

/* --- linear layers, moves --- */

/* Packed copies lie beside the device's arena, on the host, which alone knows their layout. */
static void staged_linear_place(struct linear *l, int N, int K, bool backward, struct arena *a)
{
    in_use.host->linear_place(l, N, K, backward, arena_host(a));
}

/* The host sees a copy that does not stay. */
static void staged_linear_pack(struct linear *l, const void *w)
{
    STAGED(linear_pack, l, real_read(w, l->N, l->K));
    l->stored = NULL;
}

static void staged_linear_forward(void *y, bool y_float, const void *x, const struct linear *l,
                                  const void *bias, int T)
{
    STAGED(linear_forward, either_written(y, y_float, T, l->N), y_float, real_read(x, T, l->K), l,
           real_read(bias, 1, l->N), T);
}

static void staged_linear_backward_input(void *dx, bool dx_float, const void *dy,
                                         const struct linear *l, int T)
{
    STAGED(linear_backward_input, either_written(dx, dx_float, T, l->K), dx_float,
           real_read(dy, T, l->N), l, T);
}

static void staged_linear_backward_weight(float *dw, float *db, const void *dy, const void *x,
                                          int N, int K, int T)
{
    STAGED(linear_backward_weight, float_written(dw, N, K), float_written(db, 1, N),
           real_read(dy, T, N), real_read(x, T, K), N, K, T);
}

static size_t extent(size_t step, int T, size_t bytes)
{
    return T > 0 ? (size_t)(T - 1) * step + bytes : 0;
}

static void staged_copy_rows(void *y, size_t y_step, const void *x, size_t x_step, int T,
                             size_t bytes)
{
    STAGED(copy_rows, bytes_written(y, extent(y_step, T, bytes)), y_step,
           bytes_read(x, extent(x_step, T, bytes)), x_step, T, bytes);
}

static void staged_scatter_rows(void *y, const int *at, const void *x, int T, int C, int K)
{
    STAGED(scatter_rows, real_written(y, T * K, C), int_read(at, T, K), real_read(x, T, C), T, C,
           K);
}

/* --- row-wise --- */

static void staged_embed_forward(void *x, const void *table, const int *token, struct share own,
                                 int T, int C)
{
    STAGED(embed_forward, real_written(x, T, C), real_read(table, own.n, C), int_read(token, T, 1),
           own, T, C);
}

static void staged_embed_backward(float *dtable, const void *dx, const int *token, struct share own,
                                  int T, int C)
{
    STAGED(embed_backward, float_written(dtable, own.n, C), real_read(dx, T, C),
           int_read(token, T, 1), own, T, C);
}

static void staged_rmsnorm_forward(void *y, float *rstd, const void *x, const void *gain, int T,
                                   int C, float eps)
{
    STAGED(rmsnorm_forward, real_written(y, T, C), float_written(rstd, T, 1), real_read(x, T, C),
           real_read(gain, 1, C), T, C, eps);
}

static void staged_rmsnorm_backward(void *dx, float *dgain, const void *dy, const void *x,
                                    const void *gain, const float *rstd, const void *carry, int T,
                                    int C)
{
    STAGED(rmsnorm_backward, real_written(dx, T, C), float_written(dgain, 1, C),
           real_read(dy, T, C), real_read(x, T, C), real_read(gain, 1, C), float_read(rstd, T, 1),
           real_read(carry, T, C), T, C);
}

/* Heads of some rows: from the first element of the first to the last of the last. */
static int heads_extent(struct head_rows h)
{
    return h.T > 0 ? (h.T - 1) * h.stride + h.heads * h.D : 0;
}
static int statistics_extent(struct head_rows h)
{
    return h.T > 0 ? (h.T - 1) * h.statistics + h.heads : 0;
}

static void staged_rmsnorm_heads_forward(void *y, float *rstd, const void *x, const void *gain,
                                         struct head_rows h, float eps)
{
    STAGED(rmsnorm_heads_forward, real_written(y, heads_extent(h), 1),
           float_written(rstd, statistics_extent(h), 1), real_read(x, heads_extent(h), 1),
           real_read(gain, 1, h.D), h, eps);
}

static void staged_rmsnorm_heads_backward(void *dx, float *dgain, const void *dy, const void *x,
                                          const void *gain, const float *rstd, struct head_rows h)
{
    STAGED(rmsnorm_heads_backward, real_written(dx, heads_extent(h), 1),
           float_written(dgain, 1, h.D), real_read(dy, heads_extent(h), 1),
           real_read(x, heads_extent(h), 1), real_read(gain, 1, h.D),
           float_read(rstd, statistics_extent(h), 1), h);
}

static void staged_add(void *y, const void *a, const void *b, size_t n)
{
    size_t bytes = n * in_use.host->real_bytes;
    STAGED(add, bytes_written(y, bytes), bytes_read(a, bytes), bytes_read(b, bytes), n);
}

static void staged_swiglu_forward(void *y, const void *gu, int T, int F)
{
    STAGED(swiglu_forward, real_written(y, T, F), real_read(gu, T, 2 * F), T, F);
}

static void staged_swiglu_backward(void *dgu, const void *dy, const void *gu, int T, int F)
{
    STAGED(swiglu_backward, real_written(dgu, T, 2 * F), real_read(dy, T, F),
           real_read(gu, T, 2 * F), T, F);
}

/* --- experts --- */

static void staged_router_forward(float *prob, const void *x, const void *w, int T, int C, int E)
{
    STAGED(router_forward, float_written(prob, T, E), real_read(x, T, C), real_read(w, E, C), T, C,
           E);
}

static void staged_score_forward(float *score, const void *x, const void *w, int T, int C)
{
    STAGED(score_forward, float_written(score, T, 1), real_read(x, T, C), real_read(w, 1, C), T, C);
}

static void staged_router_select(float *weight, int *expert, const float *prob, int T, int E, int K,
                                 bool normed)
{
    STAGED(router_select, float_written(weight, T, K), int_written(expert, T, K),
           float_read(prob, T, E), T, E, K, normed);
}

static void staged_router_sort(int *at, int *start, const int *expert, int n, int E)
{
    STAGED(router_sort, int_written(at, n, 1), start, int_read(expert, n, 1), n, E);
}

static void staged_router_load(uint64_t *chosen, struct exact_sum *balance, int *count,
                               const float *prob, const int *expert, struct segments seg, int E,
                               int K)
{
    struct segments there = segments_read(seg);
    int T = rows_of(there);
    STAGED(router_load, bytes_written(chosen, (size_t)E * sizeof *chosen),
           bytes_written(balance, sizeof *balance), int_written(count, E, 1),
           float_read(prob, T, E), int_read(expert, T, K), there, E, K);
}

static void staged_router_backward(float *prob, const struct chosen *of, float balance, int *count,
                                   struct segments seg, int E, int K, bool normed)
{
    struct segments there = segments_read(seg);
    int T = rows_of(there);
    const struct chosen chosen = {int_read(of->expert, T, K), float_read(of->weight, T, K),
                                  float_read(of->dweight, T, K)};
    STAGED(router_backward, float_written(prob, T, E), &chosen, balance, int_written(count, E, 1),
           there, E, K, normed);
}

/* All rows up to the last that is named: a call for some rows of a micro-batch may name any. */
static int rows_named(const int *at, int n)
{
    int rows = 0;
    for (int i = 0; i < n; i++) rows = at[i] >= rows ? at[i] + 1 : rows;
    return rows;
}

static void staged_router_backward_input(void *dx, const void *drows, const int *at,
                                         const float *dlogits, const void *w, int T, int C, int E,
                                         int K)
{
    const int *here = int_read(at, T, K);
    STAGED(router_backward_input, real_written(dx, T, C),
           real_read(drows, rows_named(here, T * K), C), here, float_read(dlogits, T, E),
           real_read(w, E, C), T, C, E, K);
}

static void staged_router_backward_weight(float *dw, const float *dlogits, const void *x, int T,
                                          int C, int E)
{
    STAGED(router_backward_weight, float_written(dw, E, C), float_read(dlogits, T, E),
           real_read(x, T, C), T, C, E);
}

static void staged_combine_forward(void *y, const void *x, const void *rows, const int *at,
                                   const float *weight, int T, int C, int K)
{
    const int *here = int_read(at, T, K);
    STAGED(combine_forward, real_written(y, T, C), real_read(x, T, C),
           real_read(rows, rows_named(here, T * K), C), here, float_read(weight, T, K), T, C, K);
}

static void staged_combine_backward(void *drows, float *dweight, const void *dy, const void *rows,
                                    const int *at, const float *weight, int T, int C, int K)
{
    STAGED(combine_backward, real_written(drows, T * K, C), float_written(dweight, T, K),
           real_read(dy, T, C), real_read(rows, T * K, C), int_read(at, T, K),
           float_read(weight, T, K), T, C, K);
}

/* --- attention --- */

/* Only the rows of the positions are copied from the table of angles. */
static void staged_rope(void *x, int T, int stride, int heads, int D, const int *pos,
                        const float *cos_sin, bool inverse)
{
    const int *here = int_read(pos, T, 1);
    int rows = 0;
    for (int t = 0; t < T; t++) rows = here[t] >= rows ? here[t] + 1 : rows;
    STAGED(rope, real_written(x, T > 0 ? (T - 1) * stride + heads * D : 0, 1), T, stride, heads, D,
           here, float_read(cos_sin, rows, D), inverse);
}

static void *scratch_of(void *scratch, const struct dims *d, int T)
{
    return bytes_written(scratch, in_use.host->attention_scratch(d, T));
}

static void staged_attention_forward(void *out, float *lse, const void *qkv, struct segments seg,
                                     const struct dims *d, void *scratch)
{
    struct segments there = segments_read(seg);
    int T = rows_of(there);
    STAGED(attention_forward, real_written(out, T, d->Hq * d->D), float_written(lse, T, d->Hq),
           real_read(qkv, T, dims_qkv(d)), there, d, scratch_of(scratch, d, T));
}

static void staged_attention_backward(void *dqkv, const void *dout, const void *qkv,
                                      const void *out, const float *lse, struct segments seg,
                                      const struct dims *d, void *scratch)
{
    struct segments there = segments_read(seg);
    int T = rows_of(there), heads = d->Hq * d->D;
    STAGED(attention_backward, real_written(dqkv, T, dims_qkv(d)), real_read(dout, T, heads),
           real_read(qkv, T, dims_qkv(d)), real_read(out, T, heads), float_read(lse, T, d->Hq),
           there, d, scratch_of(scratch, d, T));
}

/* --- the head --- */

static void staged_logprob_forward(float *logp, float *entropy, float *range, const float *logits,
                                   const int *target, float inv_temp, int T, int V)
{
    STAGED(logprob_forward, float_written(logp, T, 1), float_written(entropy, T, 1),
           float_written(range, T, 2), float_read(logits, T, V), int_read(target, T, 1), inv_temp,
           T, V);
}

static void staged_logprob_backward(void *dlogits, const float *dlogp, const float *range,
                                    const float *logits, const int *target, float inv_temp, int T,
                                    int V)
{
    STAGED(logprob_backward, real_written(dlogits, T, V), float_read(dlogp, T, 1),
           float_read(range, T, 2), float_read(logits, T, V), int_read(target, T, 1), inv_temp, T,
           V);
}

static void staged_logprob_most(float *most, const float *logits, float inv_temp, int T, int V)
{
    STAGED(logprob_most, float_written(most, T, 1), float_read(logits, T, V), inv_temp, T, V);
}

static void staged_logprob_sums(float *sums, const float *most, const float *logits,
                                const int *target, int first, float inv_temp, int T, int V)
{
    STAGED(logprob_sums, float_written(sums, 3, T), float_read(most, T, 1),
           float_read(logits, T, V), int_read(target, T, 1), first, inv_temp, T, V);
}

static void staged_logprob_share_backward(void *dlogits, const float *dlogp, const float *sum_exp,
                                          const float *most, const float *logits, const int *target,
                                          int first, float inv_temp, int T, int V)
{
    STAGED(logprob_share_backward, real_written(dlogits, T, V), float_read(dlogp, T, 1),
           float_read(sum_exp, T, 1), float_read(most, T, 1), float_read(logits, T, V),
           int_read(target, T, 1), first, inv_temp, T, V);
}

static void staged_logprob_join(float *logp, float *entropy, const float *sums, const int *target,
                                int T)
{
    STAGED(logprob_join, float_written(logp, T, 1), float_written(entropy, T, 1),
           float_read(sums, 3, T), int_read(target, T, 1), T);
}

static void staged_fill_columns(float *y, struct share columns, float value, int T, int N)
{
    STAGED(fill_columns, float_written(y, T, N), columns, value, T, N);
}

/* --- optimizer --- */

static void staged_adamw_step(void *param, float *master, float *m, float *v, const float *grad,
                              size_t n, const struct adamw *h)
{
    size_t bytes = n * sizeof *master;
    STAGED(adamw_step, bytes_written(param, n * in_use.host->real_bytes),
           bytes_written(master, bytes), bytes_written(m, bytes), bytes_written(v, bytes),
           bytes_read(grad, bytes), n, h);
}

static void staged_square_sum(struct exact_sum *sum, const float *x, size_t n)
{
    STAGED(square_sum, bytes_written(sum, sizeof *sum), bytes_read(x, n * sizeof *x), n);
}

static void staged_to_real(void *out, const float *in, size_t n)
{
    STAGED(to_real, bytes_written(out, n * in_use.host->real_bytes), bytes_read(in, n * sizeof *in),
           n);
}

static void staged_to_float(float *out, const void *in, size_t n)
{
    STAGED(to_float, bytes_written(out, n * sizeof *out),
           bytes_read(in, n * in_use.host->real_bytes), n);
}

/* --- the table --- */

#define STAND_IN(row) \
    if (!t->row) t->row = staged_##row;

void ops_stand_in(struct ops *t, const struct ops *host, struct operands operands,
                  const char *table)
{
    in_use.host = host;
    in_use.operands = operands;
    in_use.table = table;
    OPS_TENSOR_ROWS(STAND_IN)
    if (!t->attention_scratch) t->attention_scratch = host->attention_scratch;
    if (!t->kv_block_bytes) t->kv_block_bytes = host->kv_block_bytes;
}

/* --- copies --- */

enum { OPERANDS = 12 }; /* of one row */
static const struct device *device;
static struct {
    void *here, *there; /* there: NULL when it is only read */
    size_t bytes;
} copies[OPERANDS];
static int n_copies;

static void *copy_out(void *there, const void *from, size_t bytes)
{
    INVARIANT(n_copies < OPERANDS, "more than %d operands", OPERANDS);
    void *here = memory_take(bytes, 1, "operands of a device that has no such row");
    device->copy_out(here, from, bytes);
    copies[n_copies].here = here;
    copies[n_copies].there = there;
    copies[n_copies++].bytes = bytes;
    return here;
}

static const void *copy_read(const void *at, size_t bytes)
{
    return copy_out(NULL, at, bytes);
}

/* What is written is fetched, too: a row may add to it, or leave gaps. */
static void *copy_write(void *at, size_t bytes)
{
    return copy_out(at, at, bytes);
}

static void copy_close(void)
{
    for (int i = 0; i < n_copies; i++) {
        if (copies[i].there) device->copy_in(copies[i].there, copies[i].here, copies[i].bytes);
        free(copies[i].here);
    }
    n_copies = 0;
}

void ops_stage(struct ops *t, const struct device *d)
{
    const struct operands copied = {copy_read, copy_write, copy_close};
    device = d;
    ops_stand_in(t, ops_find(t->precision, NULL), copied, t->name);
}
