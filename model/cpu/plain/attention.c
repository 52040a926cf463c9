/* Causal grouped-query attention, one query at a time, in the plainest loops.
 *
 * A block of the cache holds, for each of KV_BLOCK positions, Hkv*D keys, then Hkv*D values. */
#include <math.h>
#include <stdlib.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "model/cpu/real.h"

size_t OP(attention_scratch)(const struct dims *d, int T)
{
    (void)T;
    return sizeof(double) * ((size_t)d->max_context + (size_t)d->D) * 2;
}

/* Where the key and value of position j are: two strided views, or blocks. */
struct past {
    const real *key, *value;
    size_t step;      /* elements from one position to the next */
    const int *block; /* NULL: positions follow each other */
    size_t block_elements;
};

static size_t past_at(const struct past *p, int j)
{
    if (!p->block) return (size_t)j * p->step;
    return (size_t)p->block[j / KV_BLOCK] * p->block_elements + (size_t)(j % KV_BLOCK) * p->step;
}

static double dot(const real *a, const real *b, int D)
{
    double sum = 0;
    for (int i = 0; i < D; i++) sum += (double)real_get(a[i]) * (double)real_get(b[i]);
    return sum;
}

/* p[j] = exp(q.k_j * scale - lse) over n keys; returns lse. */
static double weights(double *p, const real *q, const struct past *past, int n, int D)
{
    double most = -INFINITY, sum = 0;
    for (int j = 0; j < n; j++) {
        p[j] = dot(q, past->key + past_at(past, j), D) / sqrt(D);
        if (p[j] > most) most = p[j];
    }
    for (int j = 0; j < n; j++) sum += exp(p[j] - most);
    double lse = most + log(sum);
    for (int j = 0; j < n; j++) p[j] = exp(p[j] - lse);
    return lse;
}

static double attend(real *out, const real *q, const struct past *past, int n, int D, double *p)
{
    double lse = weights(p, q, past, n, D);
    for (int i = 0; i < D; i++) {
        double sum = 0;
        for (int j = 0; j < n; j++)
            sum += p[j] * (double)real_get(past->value[past_at(past, j) + (size_t)i]);
        out[i] = real_put((float)sum);
    }
    return lse;
}

/* The keys and values that query head h sees in a sequence whose first row is `row`. */
static struct past sequence_past(const real *row, int h, const struct dims *d)
{
    int kv = h / (d->Hq / d->Hkv);
    const real *key = row + (d->Hq + kv) * d->D;
    return (struct past){.key = key, .value = key + d->Hkv * d->D, .step = (size_t)dims_qkv(d)};
}

/* The oracle: one query at a time, in double, straight from the equation. */
void OP(attention_forward)(void *out, float *lse, const void *qkv, struct segments seg,
                           const struct dims *d, void *scratch)
{
    size_t width = (size_t)dims_qkv(d), out_width = (size_t)(d->Hq * d->D);
    for (int s = 0; s < seg.n; s++)
        for (int t = seg.start[s]; t < seg.start[s + 1]; t++)
            for (int h = 0; h < d->Hq; h++) {
                struct past past =
                    sequence_past((const real *)qkv + (size_t)seg.start[s] * width, h, d);
                const real *q = (const real *)qkv + (size_t)t * width + h * d->D;
                real *o = (real *)out + (size_t)t * out_width + h * d->D;
                lse[t * d->Hq + h] =
                    (float)attend(o, q, &past, t - seg.start[s] + 1, d->D, scratch);
            }
}

/* dq (D), dk and dv (strided like the past, in double, one kv head) of one query. */
static void attend_backward(double *dq, double *dk, double *dv, size_t step, const real *dout,
                            const real *q, const struct past *past, int n, int D, double *p)
{
    double *dp = p + n, delta = 0;
    (void)weights(p, q, past, n, D);
    for (int j = 0; j < n; j++) {
        dp[j] = dot(dout, past->value + past_at(past, j), D);
        delta += p[j] * dp[j];
    }
    for (int i = 0; i < D; i++) dq[i] = 0;
    for (int j = 0; j < n; j++) {
        double ds = p[j] * (dp[j] - delta) / sqrt(D);
        const real *k = past->key + past_at(past, j);
        for (int i = 0; i < D; i++) {
            dq[i] += ds * (double)real_get(k[i]);
            dk[(size_t)j * step + (size_t)i] += ds * (double)real_get(q[i]);
            dv[(size_t)j * step + (size_t)i] += p[j] * (double)real_get(dout[i]);
        }
    }
}

/* The oracle alone allocates: gradients of a whole sequence in double. */
static void sequence_backward(real *dqkv, const real *dout, const real *qkv, int n,
                              const struct dims *d, double *p)
{
    size_t width = (size_t)dims_qkv(d);
    double *sum = memory_take((size_t)n * width, sizeof *sum, "attention's gradients");
    for (int t = 0; t < n; t++)
        for (int h = 0; h < d->Hq; h++) {
            struct past past = sequence_past(qkv, h, d);
            double *dk = sum + (past.key - qkv), *dv = sum + (past.value - qkv);
            size_t at = (size_t)t * width + (size_t)(h * d->D);
            attend_backward(sum + at, dk, dv, width, dout + (t * d->Hq + h) * d->D, qkv + at, &past,
                            t + 1, d->D, p);
        }
    for (size_t i = 0; i < (size_t)n * width; i++) dqkv[i] = real_put((float)sum[i]);
    free(sum);
}

/* Computes the forward again rather than use out and lse, so that an error in those shows in the
 * tests. */
void OP(attention_backward)(void *dqkv, const void *dout, const void *qkv, const void *out,
                            const float *lse, struct segments seg, const struct dims *d,
                            void *scratch)
{
    (void)out;
    (void)lse;
    size_t width = (size_t)dims_qkv(d), out_width = (size_t)(d->Hq * d->D);
    for (int s = 0; s < seg.n; s++) {
        size_t first = (size_t)seg.start[s];
        sequence_backward((real *)dqkv + first * width, (const real *)dout + first * out_width,
                          (const real *)qkv + first * width, seg.start[s + 1] - seg.start[s], d,
                          scratch);
    }
}

size_t OP(kv_block_bytes)(const struct dims *d)
{
    return (size_t)(KV_BLOCK * 2 * d->Hkv * d->D) * sizeof(real);
}

void OP(kv_store)(struct kv_layer *kv, const void *qkv, struct kv_rows rows, int T,
                  const struct dims *d)
{
    size_t bytes = (size_t)(2 * d->Hkv * d->D) * sizeof(real);
    for (int t = 0; t < T; t++) {
        int block = rows.table[t][rows.pos[t] / KV_BLOCK];
        unsigned char *to = kv->pool + (size_t)block * OP(kv_block_bytes)(d);
        const real *row = (const real *)qkv + (size_t)t * (size_t)dims_qkv(d);
        memcpy(to + (size_t)(rows.pos[t] % KV_BLOCK) * bytes, row + d->Hq * d->D, bytes);
    }
}

/* Blocks of the plain cache have keys and values row by row. */
void OP(attention_cached)(void *out, const void *qkv, const struct kv_layer *kv,
                          struct kv_rows rows, int T, const struct dims *d, void *scratch)
{
    struct past past = {.step = (size_t)(2 * d->Hkv * d->D),
                        .block_elements = OP(kv_block_bytes)(d) / sizeof(real)};
    for (int t = 0; t < T; t++)
        for (int h = 0; h < d->Hq; h++) {
            past.block = rows.table[t];
            past.key = (const real *)(const void *)kv->pool + h / (d->Hq / d->Hkv) * d->D;
            past.value = past.key + d->Hkv * d->D;
            const real *q = (const real *)qkv + (size_t)t * (size_t)dims_qkv(d) + h * d->D;
            attend((real *)out + (t * d->Hq + h) * d->D, q, &past, rows.pos[t] + 1, d->D, scratch);
        }
}
