/* Rows that hand on to another table's, between two readings of the clocks. What each of them works
 * on is written beside the call: operations of products (other arithmetic counts for nothing: it is
 * bounded by memory), and bytes of operands, each read or written once. */
#include "model/ops_timed.h"

#include <string.h>
#include <time.h>

#include "comm/base/die.h"
#include "comm/base/log.h"
#include "model/precision.h"

static struct {
    const struct ops *of;
    struct ops_tally row[OPS_ROW_COUNT];
    double flops, bytes; /* a second */
    bool on, within;
} in_use;

/* --- the clocks --- */

struct clocks {
    double seconds, processor;
};
static struct clocks clocks_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (struct clocks){clock_now(), (double)t.tv_sec + 1e-9 * (double)t.tv_nsec};
}

/* A row that called another through the table would count its time twice. */
static struct clocks enter(void)
{
    if (!in_use.on) return (struct clocks){0, 0};
    INVARIANT(!in_use.within, "a row of the table called another through it");
    in_use.within = true;
    return clocks_now();
}

/* The limit is that of each call: a row may be bound by products once and by memory another time.
 */
static void leave(enum ops_row row, struct clocks began, double flop, double bytes)
{
    if (!in_use.on) return;
    struct ops_tally *t = &in_use.row[row];
    double by_flop = in_use.flops > 0 ? flop / in_use.flops : 0;
    double by_bytes = in_use.bytes > 0 ? bytes / in_use.bytes : 0;
    struct clocks now = clocks_now();
    t->seconds += now.seconds - began.seconds;
    t->processor += now.processor - began.processor;
    t->calls++;
    t->flop += flop;
    t->bytes += bytes;
    t->limit += by_flop > by_bytes ? by_flop : by_bytes;
    if (by_flop > by_bytes) t->by_flop += by_flop;
    in_use.within = false;
}

#define TIMED(row, flop, bytes, ...)                  \
    do {                                              \
        struct clocks began = enter();                \
        in_use.of->row(__VA_ARGS__);                  \
        leave(OPS_ROW_##row, began, (flop), (bytes)); \
    } while (0)

/* --- the work --- */

static double area(int n, int m)
{
    return (double)n * m;
}
static double real(void)
{
    return (double)in_use.of->real_bytes;
}
/* Bytes of an element of a packed copy. */
static double packed(void)
{
    return (double)matmul_type_bytes(precision_kind(in_use.of->precision)->product());
}
static double copies(const struct linear *l)
{
    return l->backward ? 2 : 1;
}
/* Bytes of T rows of n reals, or of an output that may be float. */
static double reals(int T, int n)
{
    return area(T, n) * real();
}
static double output(int T, int n, bool is_float)
{
    return area(T, n) * (is_float ? 4 : real());
}
static double products(int T, int N, int K)
{
    return 2.0 * T * N * K;
}
/* Scores and weighted sums over the keys up to each row, 2 a key, channel and head either. */
static double scores(struct segments seg, const struct dims *d)
{
    double pairs = 0;
    for (int i = 0; i < seg.n; i++) {
        double n = seg.start[i + 1] - seg.start[i];
        pairs += n * (n + 1) / 2;
    }
    return 4 * pairs * d->Hq * d->D;
}
/* In a decode call each row reads the keys of its sequence, shared blocks once for each. */
static double keys(struct kv_rows r, int T)
{
    double n = 0;
    for (int t = 0; t < T; t++) n += r.pos[t] + 1;
    return n;
}
static double cached(double n, const struct dims *d)
{
    return n * (double)in_use.of->kv_block_bytes(d) / KV_BLOCK;
}

/* --- the rows --- */

static void timed_linear_place(struct linear *l, int N, int K, bool backward, struct arena *a)
{
    TIMED(linear_place, 0, 0, l, N, K, backward, a);
}

static void timed_linear_pack(struct linear *l, const void *w)
{
    TIMED(linear_pack, 0, copies(l) * area(l->N, l->K) * (real() + packed()), l, w);
}

static void timed_linear_forward(void *y, bool y_float, const void *x, const struct linear *l,
                                 const void *bias, int T)
{
    TIMED(linear_forward, products(T, l->N, l->K),
          reals(T, l->K) + output(T, l->N, y_float) + area(l->N, l->K) * packed(), y, y_float, x, l,
          bias, T);
}

static void timed_linear_backward_input(void *dx, bool dx_float, const void *dy,
                                        const struct linear *l, int T)
{
    TIMED(linear_backward_input, products(T, l->N, l->K),
          reals(T, l->N) + output(T, l->K, dx_float) + area(l->N, l->K) * packed(), dx, dx_float,
          dy, l, T);
}

static void timed_linear_backward_weight(float *dw, float *db, const void *dy, const void *x, int N,
                                         int K, int T)
{
    TIMED(linear_backward_weight, products(T, N, K), reals(T, N) + reals(T, K) + 8 * area(N, K), dw,
          db, dy, x, N, K, T);
}

static void timed_copy_rows(void *y, size_t y_step, const void *x, size_t x_step, int T,
                            size_t bytes)
{
    TIMED(copy_rows, 0, 2 * area(T, 1) * (double)bytes, y, y_step, x, x_step, T, bytes);
}

static void timed_scatter_rows(void *y, const int *at, const void *x, int T, int C, int K)
{
    TIMED(scatter_rows, 0, reals(T, C) * (1 + K), y, at, x, T, C, K);
}

static void timed_embed_forward(void *x, const void *table, const int *token, struct share own,
                                int T, int C)
{
    TIMED(embed_forward, 0, 2 * reals(T, C), x, table, token, own, T, C);
}

static void timed_embed_backward(float *dtable, const void *dx, const int *token, struct share own,
                                 int T, int C)
{
    TIMED(embed_backward, 0, reals(T, C) + 8 * area(T, C), dtable, dx, token, own, T, C);
}

static void timed_rmsnorm_forward(void *y, float *rstd, const void *x, const void *gain, int T,
                                  int C, float eps)
{
    TIMED(rmsnorm_forward, 0, 2 * reals(T, C), y, rstd, x, gain, T, C, eps);
}

static void timed_rmsnorm_backward(void *dx, float *dgain, const void *dy, const void *x,
                                   const void *gain, const float *rstd, const void *carry, int T,
                                   int C)
{
    TIMED(rmsnorm_backward, 0, (carry ? 4 : 3) * reals(T, C), dx, dgain, dy, x, gain, rstd, carry,
          T, C);
}

static void timed_rmsnorm_heads_forward(void *y, float *rstd, const void *x, const void *gain,
                                        struct head_rows h, float eps)
{
    TIMED(rmsnorm_heads_forward, 0, 2 * reals(h.T, h.heads * h.D), y, rstd, x, gain, h, eps);
}

static void timed_rmsnorm_heads_backward(void *dx, float *dgain, const void *dy, const void *x,
                                         const void *gain, const float *rstd, struct head_rows h)
{
    TIMED(rmsnorm_heads_backward, 0, 3 * reals(h.T, h.heads * h.D), dx, dgain, dy, x, gain, rstd,
          h);
}

static void timed_add(void *y, const void *a, const void *b, size_t n)
{
    TIMED(add, 0, 3 * (double)n * real(), y, a, b, n);
}

static void timed_swiglu_forward(void *y, const void *gu, int T, int F)
{
    TIMED(swiglu_forward, 0, 3 * reals(T, F), y, gu, T, F);
}

static void timed_swiglu_backward(void *dgu, const void *dy, const void *gu, int T, int F)
{
    TIMED(swiglu_backward, 0, 5 * reals(T, F), dgu, dy, gu, T, F);
}

static void timed_router_forward(float *prob, const void *x, const void *w, int T, int C, int E)
{
    TIMED(router_forward, products(T, C, E), reals(T, C) + reals(E, C) + 4 * area(T, E), prob, x, w,
          T, C, E);
}

static void timed_score_forward(float *score, const void *x, const void *w, int T, int C)
{
    TIMED(score_forward, products(T, C, 1), reals(T, C) + reals(1, C) + 4 * area(T, 1), score, x, w,
          T, C);
}

static void timed_router_select(float *weight, int *expert, const float *prob, int T, int E, int K,
                                bool normed)
{
    TIMED(router_select, 0, 4 * area(T, E) + 8 * area(T, K), weight, expert, prob, T, E, K, normed);
}

static void timed_router_sort(int *at, int *start, const int *expert, int n, int E)
{
    TIMED(router_sort, 0, 8.0 * n, at, start, expert, n, E);
}

static void timed_router_load(uint64_t *chosen, struct exact_sum *balance, int *count,
                              const float *prob, const int *expert, struct segments seg, int E,
                              int K)
{
    TIMED(router_load, 0, 4 * area(seg.start[seg.n], E + K), chosen, balance, count, prob, expert,
          seg, E, K);
}

static void timed_router_backward(float *prob, const struct chosen *of, float balance, int *count,
                                  struct segments seg, int E, int K, bool normed)
{
    TIMED(router_backward, 0, 8 * area(seg.start[seg.n], E), prob, of, balance, count, seg, E, K,
          normed);
}

static void timed_router_backward_input(void *dx, const void *drows, const int *at,
                                        const float *dlogits, const void *w, int T, int C, int E,
                                        int K)
{
    TIMED(router_backward_input, products(T, C, E),
          reals(T, C) * (K + 1) + reals(E, C) + 4 * area(T, E), dx, drows, at, dlogits, w, T, C, E,
          K);
}

static void timed_router_backward_weight(float *dw, const float *dlogits, const void *x, int T,
                                         int C, int E)
{
    TIMED(router_backward_weight, products(T, C, E), reals(T, C) + 8 * area(E, C), dw, dlogits, x,
          T, C, E);
}

static void timed_combine_forward(void *y, const void *x, const void *rows, const int *at,
                                  const float *weight, int T, int C, int K)
{
    TIMED(combine_forward, 0, reals(T, C) * (K + 2), y, x, rows, at, weight, T, C, K);
}

static void timed_combine_backward(void *drows, float *dweight, const void *dy, const void *rows,
                                   const int *at, const float *weight, int T, int C, int K)
{
    TIMED(combine_backward, 0, reals(T, C) * (2 * K + 1), drows, dweight, dy, rows, at, weight, T,
          C, K);
}

static void timed_rope(void *x, int T, int stride, int heads, int D, const int *pos,
                       const float *cos_sin, bool inverse)
{
    TIMED(rope, 0, 2 * reals(T, heads * D), x, T, stride, heads, D, pos, cos_sin, inverse);
}

static size_t timed_attention_scratch(const struct dims *d, int T)
{
    return in_use.of->attention_scratch(d, T);
}

static void timed_attention_forward(void *out, float *lse, const void *qkv, struct segments seg,
                                    const struct dims *d, void *scratch)
{
    TIMED(attention_forward, scores(seg, d), reals(seg.start[seg.n], dims_qkv(d) + d->Hq * d->D),
          out, lse, qkv, seg, d, scratch);
}

static void timed_attention_backward(void *dqkv, const void *dout, const void *qkv, const void *out,
                                     const float *lse, struct segments seg, const struct dims *d,
                                     void *scratch)
{
    TIMED(attention_backward, 2 * scores(seg, d),
          2 * reals(seg.start[seg.n], dims_qkv(d) + d->Hq * d->D), dqkv, dout, qkv, out, lse, seg,
          d, scratch);
}

static size_t timed_kv_block_bytes(const struct dims *d)
{
    return in_use.of->kv_block_bytes(d);
}

static void timed_kv_store(struct kv_layer *kv, const void *qkv, struct kv_rows rows, int T,
                           const struct dims *d)
{
    TIMED(kv_store, 0, 2 * cached(T, d), kv, qkv, rows, T, d);
}

static void timed_attention_cached(void *out, const void *qkv, const struct kv_layer *kv,
                                   struct kv_rows rows, int T, const struct dims *d, void *scratch)
{
    TIMED(attention_cached, 4 * keys(rows, T) * d->Hq * d->D, cached(keys(rows, T), d), out, qkv,
          kv, rows, T, d, scratch);
}

static void timed_logprob_forward(float *logp, float *entropy, float *range, const float *logits,
                                  const int *target, float inv_temp, int T, int V)
{
    TIMED(logprob_forward, 0, 4 * area(T, V), logp, entropy, range, logits, target, inv_temp, T, V);
}

static void timed_logprob_backward(void *dlogits, const float *dlogp, const float *range,
                                   const float *logits, const int *target, float inv_temp, int T,
                                   int V)
{
    TIMED(logprob_backward, 0, 4 * area(T, V) + reals(T, V), dlogits, dlogp, range, logits, target,
          inv_temp, T, V);
}

static void timed_logprob_most(float *most, const float *logits, float inv_temp, int T, int V)
{
    TIMED(logprob_most, 0, 4 * area(T, V), most, logits, inv_temp, T, V);
}

static void timed_logprob_sums(float *sums, const float *most, const float *logits,
                               const int *target, int first, float inv_temp, int T, int V)
{
    TIMED(logprob_sums, 0, 4 * area(T, V), sums, most, logits, target, first, inv_temp, T, V);
}

static void timed_logprob_share_backward(void *dlogits, const float *dlogp, const float *sum_exp,
                                         const float *most, const float *logits, const int *target,
                                         int first, float inv_temp, int T, int V)
{
    TIMED(logprob_share_backward, 0, 4 * area(T, V) + reals(T, V), dlogits, dlogp, sum_exp, most,
          logits, target, first, inv_temp, T, V);
}

static void timed_logprob_join(float *logp, float *entropy, const float *sums, const int *target,
                               int T)
{
    TIMED(logprob_join, 0, 20.0 * T, logp, entropy, sums, target, T);
}

static void timed_sample_largest(float *most, const float *z, int V, int group)
{
    TIMED(sample_largest, 0, 4.0 * V, most, z, V, group);
}

static void timed_sample_weights(double *sum, double *weight, const float *z, float most,
                                 double inv_temp, int V, int piece)
{
    TIMED(sample_weights, 0, (weight ? 12.0 : 4.0) * V, sum, weight, z, most, inv_temp, V, piece);
}

static double timed_sample_sum(const double *weight, const float *z, float from, int n)
{
    struct clocks began = enter();
    double r = in_use.of->sample_sum(weight, z, from, n);
    leave(OPS_ROW_sample_sum, began, 0, 12.0 * n);
    return r;
}

static void timed_fill_columns(float *y, struct share columns, float value, int T, int N)
{
    TIMED(fill_columns, 0, 4 * area(T, columns.n), y, columns, value, T, N);
}

static void timed_adamw_step(void *param, float *master, float *m, float *v, const float *grad,
                             size_t n, const struct adamw *h)
{
    TIMED(adamw_step, 0, (double)n * (28 + real()), param, master, m, v, grad, n, h);
}

static void timed_square_sum(struct exact_sum *sum, const float *x, size_t n)
{
    TIMED(square_sum, 0, 4 * (double)n, sum, x, n);
}

static void timed_to_real(void *out, const float *in, size_t n)
{
    TIMED(to_real, 0, (double)n * (4 + real()), out, in, n);
}

static void timed_to_float(float *out, const void *in, size_t n)
{
    TIMED(to_float, 0, (double)n * (4 + real()), out, in, n);
}

/* --- the table --- */

#define TIMED_ROW(row) .row = timed_##row,

const struct ops *ops_timed(const struct ops *of)
{
    static struct ops table;
    table = (struct ops){.name = of->name,
                         .isa = of->isa,
                         .precision = of->precision,
                         .real_bytes = of->real_bytes,
                         OPS_ROWS(TIMED_ROW)};
    in_use.of = of;
    in_use.on = in_use.within = false;
    return &table;
}

void ops_timed_start(double flops, double bytes)
{
    in_use.flops = flops;
    in_use.bytes = bytes;
    in_use.on = true;
}

bool ops_timed_stop(void)
{
    bool was = in_use.on;
    in_use.on = false;
    return was;
}

void ops_timed_reset(void)
{
    memset(in_use.row, 0, sizeof in_use.row);
}

const struct ops_tally *ops_timed_tally(enum ops_row row)
{
    return &in_use.row[row];
}

const char *ops_timed_name(enum ops_row row)
{
#define ROW_NAME(row) #row,
    static const char *const names[] = {OPS_ROWS(ROW_NAME)};
    return names[row];
}

/* Limits add up, since rows run one after the other. */
struct ops_tally ops_timed_sum(void)
{
    struct ops_tally sum = {0};
    for (int i = 0; i < OPS_ROW_COUNT; i++) {
        const struct ops_tally *t = &in_use.row[i];
        sum.calls += t->calls;
        sum.seconds += t->seconds;
        sum.processor += t->processor;
        sum.flop += t->flop;
        sum.bytes += t->bytes;
        sum.limit += t->limit;
        sum.by_flop += t->by_flop;
    }
    return sum;
}
