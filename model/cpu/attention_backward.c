/* Gradients of attention.c. The probabilities are computed again from the
 * scores and lse; with delta = sum_d dout out,  dP = dout V^T,  dS = P (dP -
 * delta): dV += P^T dout,  dK += dS^T q,  dq = dS K   (q carries the scale; dq
 * gets it at the end). Query heads of a group add to their kv head's dK and dV
 * in head order, queries in position order.
 */
#include "model/cpu/attention.h"

/* One kv head of one sequence: (n, width); the transposes in runs of (D, KEYS).
 */
struct kv_head_back {
    float *keys, *keys_t, *values_t, *dkeys, *dvalues;
    int n, D, width;
};
/* QUERIES rows of one query head. */
struct queries {
    float *q, *dout, *dq; /* (QUERIES, width) */
    float *P, *dS;        /* (QUERIES, KEYS) */
    float lse[QUERIES], delta[QUERIES];
    int first, M;
};

/* `some` is room for KEYS rows. */
static void head_read(struct kv_head_back *h, const real *key, const real *value, size_t step,
                      float *some)
{
    size_t bytes = (size_t)h->n * (size_t)h->width * sizeof(float);
    OP(head_load)(h->keys, key, step, h->n, h->D, 1.0f);
    OP(head_transpose)(h->keys_t, key, step, h->n, h->D, some);
    OP(head_transpose)(h->values_t, value, step, h->n, h->D, some);
    memset(h->dkeys, 0, bytes);
    memset(h->dvalues, 0, bytes);
}

/* Scores S and dP of a strip -> P and dS; 0 where a query does not see the key.
 */
static void probabilities(struct queries *b, const struct strip *s, int j)
{
    for (int r = s->row; r < s->row + s->rows; r++) {
        int seen = b->first + r + 1 - j;
        float *P = b->P + r * KEYS, *dS = b->dS + r * KEYS;
        for (int i = 0; i < s->keys; i += LANES) {
            vec e = vec_exp(vec_load(P + i) - b->lse[r]);
            vec ds = e * (vec_load(dS + i) - b->delta[r]);
            if (seen < i + LANES) {
                vec_int sees = vec_first(seen - i);
                e = vec_select(sees, e, (vec){0});
                ds = vec_select(sees, ds, (vec){0});
            }
            vec_store(P + i, e);
            vec_store(dS + i, ds);
        }
    }
}

/* P, dS and dQ of the run at key j. */
static void run_queries(struct queries *b, const struct kv_head_back *h, int j)
{
    size_t w = (size_t)h->width, at = (size_t)j * (size_t)h->D;
    struct tile K = {h->keys + (size_t)j * w, w, 1};
    struct tile K_t = {h->keys_t + at, KEYS, 1}, V_t = {h->values_t + at, KEYS, 1};
    for (struct strip s = {0}; strip_next(&s, b->first, b->M, j);) {
        size_t rows = (size_t)s.row * w;
        struct tile Q = {b->q + rows, w, 1}, dO = {b->dout + rows, w, 1}, dQ = {b->dq + rows, w, 1};
        struct tile P = {b->P + s.row * KEYS, KEYS, 1}, dS = {b->dS + s.row * KEYS, KEYS, 1};
        OP(tile_multiply)(P, Q, K_t, s.rows, s.keys, h->D, false);
        OP(tile_multiply)(dS, dO, V_t, s.rows, s.keys, h->D, false);
        probabilities(b, &s, j);
        OP(tile_multiply)
        (dQ, dS, K, s.rows, h->width, strip_seen(&s, b->first, j), j > 0);
    }
}

/* dV and dK of the run at key j. Keys that all queries of the block see are
 * done together, the others by strips, each with the queries from its first key
 * on. */
static void run_keys(struct queries *b, const struct kv_head_back *h, int j)
{
    int seen = smaller(KEYS, b->first + b->M - j),
        all = b->first - j + STRIP; /* a multiple of STRIP */
    size_t w = (size_t)h->width;
    for (int key = 0, keys; key < seen; key += keys) {
        keys = smaller(key < all ? all : STRIP, seen - key);
        int row = larger(0, j + key - b->first);
        size_t at = (size_t)(j + key) * w, from = (size_t)row * w;
        struct tile P_t = {b->P + row * KEYS + key, 1, KEYS}, dO = {b->dout + from, w, 1};
        struct tile dS_t = {b->dS + row * KEYS + key, 1, KEYS}, Q = {b->q + from, w, 1};
        struct tile dV = {h->dvalues + at, w, 1}, dK = {h->dkeys + at, w, 1};
        OP(tile_multiply)(dV, P_t, dO, keys, h->width, b->M - row, true);
        OP(tile_multiply)(dK, dS_t, Q, keys, h->width, b->M - row, true);
    }
}

static float row_dot(const float *a, const float *b, int width)
{
    vec sum = {0};
    for (int i = 0; i < width; i += LANES) sum = vec_fma(vec_load(a + i), vec_load(b + i), sum);
    return vec_sum(sum);
}

/* What one call works on, at the sequence's first row. */
struct query_run {
    real *dqkv;
    const real *dout, *qkv, *out;
    const float *lse;
    const struct dims *d;
};

/* delta = out . dout is the softmax's row sum of P * dP (FlashAttention,
 * algorithm 4); P is formed again from lse. */
static void query_block(struct queries *b, const struct query_run *s, const struct kv_head_back *h,
                        int head)
{
    const struct dims *d = s->d;
    size_t step = (size_t)dims_qkv(d), out_step = (size_t)(d->Hq * d->D);
    size_t at = (size_t)b->first * step + (size_t)(head * d->D);
    size_t out_at = (size_t)b->first * out_step + (size_t)(head * d->D);
    float scale = 1.0f / sqrtf((float)d->D);
    OP(head_load)
    (b->q, s->out + out_at, out_step, b->M, d->D, 1.0f); /* out, for delta only */
    OP(head_load)(b->dout, s->dout + out_at, out_step, b->M, d->D, 1.0f);
    for (int r = 0; r < b->M; r++) {
        b->delta[r] = row_dot(b->q + r * h->width, b->dout + r * h->width, h->width);
        b->lse[r] = s->lse[(b->first + r) * d->Hq + head];
    }
    OP(head_load)(b->q, s->qkv + at, step, b->M, d->D, scale);
    for (int j = 0; j < b->first + b->M; j += KEYS) {
        run_queries(b, h, j);
        run_keys(b, h, j);
    }
    for (int r = 0; r < b->M; r++) {
        float *dq = b->dq + r * h->width;
        for (int i = 0; i < d->D; i++) dq[i] *= scale;
        OP(to_real)(s->dqkv + at + (size_t)r * step, dq, (size_t)d->D);
    }
}

static void head_write(const struct query_run *s, const struct kv_head_back *h, int kv)
{
    const struct dims *d = s->d;
    real *dkey = s->dqkv + (d->Hq + kv) * d->D, *dvalue = dkey + d->Hkv * d->D;
    for (int t = 0; t < h->n; t++, dkey += dims_qkv(d), dvalue += dims_qkv(d)) {
        OP(to_real)(dkey, h->dkeys + (size_t)t * (size_t)h->width, (size_t)d->D);
        OP(to_real)
        (dvalue, h->dvalues + (size_t)t * (size_t)h->width, (size_t)d->D);
    }
}

static float *carve(float **at, size_t floats)
{
    float *p = *at;
    *at += floats;
    return p;
}

/* dK and dV of a kv head add up over its query heads in their order, in fp32,
 * and are written once.
 */
static void sequence_backward(const struct query_run *s, int n, float *scratch)
{
    const struct dims *d = s->d;
    struct kv_head_back h = {.n = n, .D = d->D, .width = head_width(d->D)};
    struct queries b = {0};
    size_t rows = (size_t)round_up(n, KEYS) * (size_t)h.width, few = (size_t)(QUERIES * h.width);
    float **all[] = {&h.keys, &h.keys_t, &h.values_t, &h.dkeys, &h.dvalues};
    float **some[] = {&b.q, &b.dout, &b.dq};
    for (int i = 0; i < 5; i++) *all[i] = carve(&scratch, rows);
    for (int i = 0; i < 3; i++) *some[i] = carve(&scratch, few);
    b.P = carve(&scratch, QUERIES * KEYS);
    b.dS = carve(&scratch, QUERIES * KEYS);
    for (int kv = 0; kv < d->Hkv; kv++) {
        const real *key = s->qkv + (d->Hq + kv) * d->D;
        head_read(&h, key, key + d->Hkv * d->D, (size_t)dims_qkv(d), b.dq);
        for (int head = kv * (d->Hq / d->Hkv); head < (kv + 1) * (d->Hq / d->Hkv); head++)
            for (b.first = 0; b.first < n; b.first += QUERIES) {
                b.M = n - b.first < QUERIES ? n - b.first : QUERIES;
                query_block(&b, s, &h, head);
                if (n >= LONG_SEQUENCE) watchdog_feed();
            }
        head_write(s, &h, kv);
    }
}

/* Sequences of a micro-batch are independent. */
void OP(attention_backward)(void *dqkv, const void *dout, const void *qkv, const void *out,
                            const float *lse, struct segments seg, const struct dims *d,
                            void *scratch)
{
    for (int i = 0; i < seg.n; i++) {
        size_t first = (size_t)seg.start[i], width = first * (size_t)dims_qkv(d);
        size_t out_width = first * (size_t)(d->Hq * d->D);
        struct query_run s = {.dqkv = (real *)dqkv + width,
                              .dout = (const real *)dout + out_width,
                              .qkv = (const real *)qkv + width,
                              .out = (const real *)out + out_width,
                              .lse = lse + first * (size_t)d->Hq,
                              .d = d};
        sequence_backward(&s, seg.start[i + 1] - seg.start[i], scratch);
    }
}
