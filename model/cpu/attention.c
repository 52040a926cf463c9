/* Causal grouped-query attention of packed sequences, forward.
 *
 * Per sequence and head, QUERIES queries at a time: all their scores against the keys up to the
 * last query; softmax of whole rows; then the values in key order. Two passes over a row of scores
 * instead of the running rescaling of FlashAttention: a row's result is then the same sum in the
 * same order however queries are grouped. */
#include "model/cpu/attention.h"

#include <math.h>

/* MR rows and NV vectors of columns of C in registers. */
__attribute__((always_inline)) static inline void micro(float *c, size_t ldc, const float *a,
                                                        size_t row, size_t col, const float *b,
                                                        size_t ldb, int K, bool add, const int MR,
                                                        const int NV)
{
    vec sum[8][4];
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NV; j++)
            sum[i][j] = add ? vec_load(c + (size_t)i * ldc + j * LANES) : (vec){0};
    for (int k = 0; k < K; k++) {
        vec right[4];
        for (int j = 0; j < NV; j++) right[j] = vec_load(b + (size_t)k * ldb + j * LANES);
        for (int i = 0; i < MR; i++) {
            vec left = vec_all(a[(size_t)i * row + (size_t)k * col]);
            for (int j = 0; j < NV; j++) sum[i][j] = vec_fma(left, right[j], sum[i][j]);
        }
    }
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NV; j++) vec_store(c + (size_t)i * ldc + j * LANES, sum[i][j]);
}

#define MICRO(mr, nv) micro(c, C.row, a, A.row, A.col, b, B.row, K, add, mr, nv)

/* NV columns' worth for all M rows. */
#define COLUMNS(nv)                                                                               \
    static void columns_##nv(struct tile C, struct tile A, struct tile B, int M, int K, bool add) \
    {                                                                                             \
        const float *a = A.p, *b = B.p;                                                           \
        float *c = C.p;                                                                           \
        int left = M;                                                                             \
        for (; (nv) == 1 && left >= 8; left -= 8, a += 8 * A.row, c += 8 * C.row) MICRO(8, nv);   \
        for (; left >= 4; left -= 4, a += 4 * A.row, c += 4 * C.row) MICRO(4, nv);                \
        for (; left >= 2; left -= 2, a += 2 * A.row, c += 2 * C.row) MICRO(2, nv);                \
        if (left) MICRO(1, nv);                                                                   \
    }
COLUMNS(1)
COLUMNS(2)
#if LANES == 16
COLUMNS(4)
#endif

void OP(tile_multiply)(struct tile C, struct tile A, struct tile B, int M, int N, int K, bool add)
{
    int left = N;
#if LANES == 16
    for (; left >= 4 * LANES; left -= 4 * LANES, B.p += 4 * LANES, C.p += 4 * LANES)
        columns_4(C, A, B, M, K, add);
#endif
    for (; left >= 2 * LANES; left -= 2 * LANES, B.p += 2 * LANES, C.p += 2 * LANES)
        columns_2(C, A, B, M, K, add);
    for (; left > 0; left -= LANES, B.p += LANES, C.p += LANES) columns_1(C, A, B, M, K, add);
}

/* Entries from n to end are set to -inf, so that rows are summed in whole vectors whatever their
 * length: an entry's place in the sum depends only on its position (P1). */
float OP(softmax_row)(float *s, int n, int end, float *sum)
{
    for (int j = n; j < end; j++) s[j] = -INFINITY;
    vec most = vec_all(-INFINITY), total = {0};
    for (int j = 0; j < end; j += LANES) most = vec_max(most, vec_load(s + j));
    float largest = vec_largest(most);
    for (int j = 0; j < end; j += LANES) {
        vec p = vec_exp(vec_load(s + j) - largest);
        vec_store(s + j, p);
        total += p;
    }
    *sum = vec_sum(total);
    return largest;
}

/* Rows are padded, so whole vectors may be read. + 0 makes a -0 a +0: keys that a row does not see
 * add +0 to its sums, but only where rows are grouped. */
void OP(row_finish)(real *out, const float *row, float sum, int D)
{
    FOR_VECS(i, left, D, { vec_out(out + i, vec_load(row + i) / sum + 0.0f, left); });
}

void OP(head_load)(float *to, const real *from, size_t step, int rows, int D, float scale)
{
    int width = head_width(D);
    for (int t = 0; t < rows; t++) {
        float *restrict row = to + (size_t)t * (size_t)width;
        const real *restrict in = from + (size_t)t * step;
        for (int i = 0; i < D; i++) row[i] = real_get(in[i]) * scale;
        for (int i = D; i < width; i++) row[i] = 0;
    }
}

void OP(head_transpose)(float *to, const float *from, int n, int D)
{
    size_t width = (size_t)head_width(D), columns = (size_t)transposed_width(n);
    for (int first = 0; first < n; first += 16)
        for (int i = 0; i < D; i++)
            for (int j = first; j < first + 16; j++)
                to[(size_t)i * columns + (size_t)j] =
                    j < n ? from[(size_t)j * width + (size_t)i] : 0.0f;
}

/* --- forward --- */

size_t OP(attention_scratch)(const struct dims *d, int T)
{
    int longest = T < d->max_context ? T : d->max_context;
    size_t width = (size_t)head_width(d->D), columns = (size_t)transposed_width(longest);
    size_t sequence = (4 + 2) * columns * width; /* K, V, their gradients; transposes */
    size_t scores = QUERIES * (size_t)round_up(d->max_context, KEYS);
    size_t rows = QUERIES * (3 * width + 2 * KEYS); /* q, dout, dq or out; P, dS */
    size_t keys = KEYS * width;                     /* a run of the cache */
    return (sequence + scores + rows + keys) * sizeof(float);
}

/* One sequence's keys (D, transposed_width) and values (n, width) of one kv head. */
struct kv_head {
    float *keys, *values;
    int n, D, width;
};

static void head_read(struct kv_head *h, const real *key, const real *value, size_t step,
                      float *rows)
{
    OP(head_load)(rows, key, step, h->n, h->D, 1.0f);
    OP(head_load)(h->values, value, step, h->n, h->D, 1.0f);
    OP(head_transpose)(h->keys, rows, h->n, h->D);
}

/* Queries [first, first+M) of one head against the keys up to their own. q: scaled, (M, width).
 * Results: out (M, width) weighted values, sums (M) of the weights. */
static void attend(float *out, float *sums, float *lse, int lse_step, float *scores,
                   const struct kv_head *h, float *q, int first, int M)
{
    size_t width = (size_t)h->width, columns = (size_t)transposed_width(h->n);
    int end = round_up(first + M, 16);
    struct tile Q = {q, width, 1}, K = {h->keys, columns, 1}, S = {scores, (size_t)end, 1};
    struct tile V = {h->values, width, 1}, O = {out, width, 1};
    OP(tile_multiply)(S, Q, K, M, end, h->D, false);
    for (int r = 0; r < M; r++) {
        float most = OP(softmax_row)(scores + r * end, first + r + 1, end, &sums[r]);
        lse[r * lse_step] = most + logf(sums[r]);
    }
    OP(tile_multiply)(O, S, V, M, h->width, first + M, false);
}

/* Keys and values of a kv head are widened once and used by all query heads of its group. */
static void sequence_forward(real *out, float *lse, const real *qkv, int n, const struct dims *d,
                             float *scratch)
{
    size_t step = (size_t)dims_qkv(d), columns = (size_t)transposed_width(n);
    int group = d->Hq / d->Hkv, width = head_width(d->D);
    struct kv_head h = {.n = n, .D = d->D, .width = width, .keys = scratch};
    h.values = h.keys + columns * (size_t)width;
    float *rows = h.values + columns * (size_t)width, *q = rows + columns * (size_t)width;
    float *weighted = q + QUERIES * width, *scores = weighted + QUERIES * width, sums[QUERIES];
    float scale = 1.0f / sqrtf((float)d->D);
    for (int kv = 0; kv < d->Hkv; kv++) {
        const real *key = qkv + (d->Hq + kv) * d->D;
        head_read(&h, key, key + d->Hkv * d->D, step, rows);
        for (int head = kv * group; head < (kv + 1) * group; head++)
            for (int t = 0; t < n; t += QUERIES) {
                int M = n - t < QUERIES ? n - t : QUERIES;
                OP(head_load)(q, qkv + (size_t)t * step + head * d->D, step, M, d->D, scale);
                attend(weighted, sums, lse + t * d->Hq + head, d->Hq, scores, &h, q, t, M);
                real *to = out + ((size_t)t * (size_t)d->Hq + (size_t)head) * (size_t)d->D;
                for (int r = 0; r < M; r++) OP(row_finish)
                (to + r * d->Hq * d->D, weighted + r * width, sums[r], d->D);
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
