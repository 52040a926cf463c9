/* Causal grouped-query attention of packed sequences, forward.
 *
 * Per sequence and head, QUERIES queries at a time: all their scores against
 * the keys up to the last query; softmax of whole rows; then the values in key
 * order. Two passes over a row of scores instead of the running rescaling of
 * FlashAttention: a row's result is then the same sum in the same order however
 * queries are grouped. */
#include "model/cpu/attention.h"

/* Rows are padded, so whole vectors may be read. + 0 makes a -0 a +0: keys that
 * a row does not see add +0 to its sums, but only where rows are grouped. */
void OP(row_finish)(real *out, const float *row, float sum, int D)
{
    FOR_VECS(i, left, D, { vec_out(out + i, vec_load(row + i) / sum + 0.0f, left); });
}

/* --- forward --- */

size_t OP(attention_scratch)(const struct dims *d, int T)
{
    int longest = round_up(smaller(T, d->max_context), KEYS);
    size_t width = (size_t)head_width(d->D);
    size_t sequence = 5 * (size_t)longest * width; /* keys, values, their transposes, gradients */
    size_t scores = QUERIES * (size_t)round_up(d->max_context, KEYS);
    size_t rows = QUERIES * (3 * width + 2 * KEYS); /* q, dout, dq or out; P, dS */
    size_t keys = KEYS * width;                     /* a run of the cache */
    return (sequence + scores + rows + keys) * sizeof(float);
}

/* One sequence's keys, transposed in runs, and values (n, width) of one kv
 * head; QUERIES rows of one query head. */
struct attended {
    float *keys, *values;
    float *q, *out; /* (QUERIES, width); q is scaled, out weighted values */
    float *scores;  /* runs of (QUERIES, KEYS) */
    int n, D, first, M;
    struct softmax softmax;
};

/* Scores of the run at key j; -inf where a query does not see the key. */
static void run_scores(struct attended *a, int j)
{
    size_t width = (size_t)head_width(a->D);
    float *scores = a->scores + (size_t)j * QUERIES;
    struct tile K = {a->keys + (size_t)j * (size_t)a->D, KEYS, 1};
    for (struct strip s = {0}; strip_next(&s, a->first, a->M, j);) {
        float *row = scores + s.row * KEYS;
        struct tile Q = {a->q + (size_t)s.row * width, width, 1}, S = {row, KEYS, 1};
        OP(tile_multiply)(S, Q, K, s.rows, s.keys, a->D, false);
        for (int r = s.row; r < s.row + s.rows; r++, row += KEYS)
            softmax_most(&a->softmax, r, row, a->first + r + 1 - j, s.keys);
    }
}

/* Scores of the run at key j -> e^(score - largest), and its weighted values.
 */
static void run_values(struct attended *a, int j)
{
    size_t width = (size_t)head_width(a->D);
    float *scores = a->scores + (size_t)j * QUERIES;
    struct tile V = {a->values + (size_t)j * width, width, 1};
    for (struct strip s = {0}; strip_next(&s, a->first, a->M, j);) {
        float *row = scores + s.row * KEYS;
        struct tile P = {row, KEYS, 1}, O = {a->out + (size_t)s.row * width, width, 1};
        for (int r = s.row; r < s.row + s.rows; r++, row += KEYS)
            softmax_weigh(&a->softmax, r, row, s.keys);
        OP(tile_multiply)
        (O, P, V, s.rows, (int)width, strip_seen(&s, a->first, j), j > 0);
    }
}

/* Queries [first, first+M) of one head against the keys up to their own. */
static void attend(struct attended *a, real *out, float *lse, const struct dims *d)
{
    int width = head_width(a->D), end = a->first + a->M;
    softmax_begin(&a->softmax, a->M);
    for (int j = 0; j < end; j += KEYS) run_scores(a, j);
    softmax_largest(&a->softmax, a->M);
    for (int j = 0; j < end; j += KEYS) run_values(a, j);
    for (int r = 0; r < a->M; r++) {
        float sum = vec_sum(a->softmax.total[r]);
        lse[r * d->Hq] = a->softmax.largest[r] + logf(sum);
        OP(row_finish)(out + r * d->Hq * d->D, a->out + r * width, sum, d->D);
    }
}

/* Keys and values of a kv head are widened once and used by all query heads of its group. A long
 * sequence takes minutes: its blocks of queries feed the watchdog. */
static void sequence_forward(real *out, float *lse, const real *qkv, int n, const struct dims *d,
                             float *scratch)
{
    size_t step = (size_t)dims_qkv(d), width = (size_t)head_width(d->D);
    size_t rows = (size_t)round_up(n, KEYS) * width;
    int group = d->Hq / d->Hkv;
    struct attended a = {.n = n, .D = d->D, .keys = scratch, .values = scratch + rows};
    a.q = a.values + rows;
    a.out = a.q + QUERIES * width;
    a.scores = a.out + QUERIES * width;
    float scale = 1.0f / sqrtf((float)d->D);
    for (int kv = 0; kv < d->Hkv; kv++) {
        const real *key = qkv + (d->Hq + kv) * d->D;
        OP(head_transpose)(a.keys, key, step, n, d->D, a.out);
        OP(head_load)(a.values, key + d->Hkv * d->D, step, n, d->D, 1.0f);
        for (int head = kv * group; head < (kv + 1) * group; head++)
            for (a.first = 0; a.first < n; a.first += QUERIES) {
                size_t t = (size_t)a.first;
                a.M = smaller(QUERIES, n - a.first);
                OP(head_load)
                (a.q, qkv + t * step + head * d->D, step, a.M, d->D, scale);
                attend(&a, out + (t * (size_t)d->Hq + (size_t)head) * (size_t)d->D,
                       lse + t * (size_t)d->Hq + head, d);
                if (n >= LONG_SEQUENCE) watchdog_feed();
            }
    }
}

void OP(attention_forward)(void *out, float *lse, const void *qkv, struct segments seg,
                           const struct dims *d, void *scratch)
{
    for (int s = 0; s < seg.n; s++) {
        size_t first = (size_t)seg.start[s];
        sequence_forward((real *)out + first * (size_t)(d->Hq * d->D), lse + first * (size_t)d->Hq,
                         (const real *)qkv + first * (size_t)dims_qkv(d),
                         seg.start[s + 1] - seg.start[s], d, scratch);
    }
}
