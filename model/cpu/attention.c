/* Causal grouped-query attention of packed sequences, forward.
 *
 * Per sequence and head, QUERIES queries at a time: all their scores against the keys up to the last query, key block by
 * key block; softmax of whole rows; then the values in key order. Two passes over a row of scores instead of the
 * running rescaling of FlashAttention: a row's result is then the same sum in the same order however queries are grouped. */
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

float OP(softmax_row)(float *s, int n, float *sum)
{
    int end = round_up(n, 16), whole = n / LANES * LANES;
    for (int j = n; j < end; j++) s[j] = -INFINITY;
    vec most = vec_all(-INFINITY), total = {0};
    for (int j = 0; j < end; j += LANES) most = vec_max(most, vec_load(s + j));
    float largest = vec_largest(most);
    for (int j = 0; j < end; j += LANES) {
        vec p = vec_exp(vec_load(s + j) - largest);
        if (j >= whole) p = vec_select(vec_first(n - j), p, (vec){0});
        vec_store(s + j, p);
        total += p;
    }
    *sum = vec_sum(total);
    return largest;
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

void OP(block_transpose)(float *to, const float *from, int rows, int D)
{
    int width = head_width(D);
    for (int i = 0; i < D; i++)
        for (int j = 0; j < KV_BLOCK; j++)
            to[i * KV_BLOCK + j] = j < rows ? from[(size_t)j * (size_t)width + (size_t)i] : 0.0f;
}

/* --- forward --- */

size_t OP(attention_scratch)(const struct dims *d, int T)
{
    size_t longest = (size_t)round_up(T < d->max_context ? T : d->max_context, 16);
    size_t context = (size_t)round_up(d->max_context, 16), width = (size_t)head_width(d->D);
    size_t sequence = 6 * longest * width;                        /* K, V, transposes, gradients */
    size_t rows = QUERIES * (context + 4 * width + 3 * KV_BLOCK); /* scores; Q, dO, sums */
    size_t block = 2 * KV_BLOCK * width;                          /* one block of the cache */
    return (sequence + rows + block) * sizeof(float) + 64;
}

/* A kv head's keys (transposed by block: (n/16, D, 16)) and values ((n, width)) of one sequence. */
struct head {
    float *keys, *values;
    int n, D, width;
};

static void head_read(struct head *h, const real *key, const real *value, size_t step, float *rows)
{
    OP(head_load)(rows, key, step, h->n, h->D, 1.0f);
    OP(head_load)(h->values, value, step, h->n, h->D, 1.0f);
    for (int j = 0; j < h->n; j += KV_BLOCK)
        OP(block_transpose)
        (h->keys + (size_t)j * (size_t)h->D, rows + (size_t)j * (size_t)h->width,
         h->n - j < KV_BLOCK ? h->n - j : KV_BLOCK, h->D);
}

/* Queries [first, first+M) of one head against the keys up to their own. q: scaled, (M, width); out (M, width). */
static void attend(float *out, float *lse, int lse_step, float *scores, const struct head *h,
                   float *q, int first, int M)
{
    int keys = first + M, end = round_up(keys, KV_BLOCK);
    struct tile Q = {q, (size_t)h->width, 1}, S = {scores, (size_t)end, 1};
    for (int j = 0; j < end; j += KV_BLOCK, S.p += KV_BLOCK)
        OP(tile_multiply)
        (S, Q, (struct tile){h->keys + (size_t)j * (size_t)h->D, KV_BLOCK, 1}, M, KV_BLOCK, h->D,
         false);
    float sums[QUERIES];
    for (int r = 0; r < M; r++) {
        float *row = scores + (size_t)r * (size_t)end;
        float most = OP(softmax_row)(row, first + r + 1, &sums[r]);
        memset(row + first + r + 1, 0, (size_t)(end - first - r - 1) * sizeof *row);
        lse[r * lse_step] = most + logf(sums[r]);
    }
    struct tile O = {out, (size_t)h->width, 1}, V = {h->values, (size_t)h->width, 1};
    OP(tile_multiply)(O, (struct tile){scores, (size_t)end, 1}, V, M, h->width, keys, false);
    for (int r = 0; r < M; r++)
        for (int i = 0; i < h->width; i++) {
            /* + 0 makes a -0 a +0: keys that a row does not see add +0 to it when rows are grouped */
            float *o = out + (size_t)r * (size_t)h->width + (size_t)i;
            *o = *o / sums[r] + 0.0f;
        }
}

static void sequence_forward(real *out, float *lse, const real *qkv, int n, const struct dims *d,
                             float *scratch)
{
    size_t step = (size_t)dims_qkv(d), rounded = (size_t)round_up(n, 16);
    int group = d->Hq / d->Hkv;
    struct head h = {.n = n, .D = d->D, .width = head_width(d->D)};
    h.keys = scratch;
    h.values = h.keys + rounded * (size_t)h.width;
    float *rows = h.values + rounded * (size_t)h.width, *q = rows + rounded * (size_t)h.width;
    float *sums = q + QUERIES * h.width, *scores = sums + QUERIES * h.width;
    float scale = 1.0f / sqrtf((float)d->D);
    for (int kv = 0; kv < d->Hkv; kv++) {
        const real *key = qkv + (d->Hq + kv) * d->D;
        head_read(&h, key, key + d->Hkv * d->D, step, rows);
        for (int head = kv * group; head < (kv + 1) * group; head++)
            for (int t = 0; t < n; t += QUERIES) {
                int M = n - t < QUERIES ? n - t : QUERIES;
                OP(head_load)(q, qkv + (size_t)t * step + head * d->D, step, M, d->D, scale);
                attend(sums, lse + t * d->Hq + head, d->Hq, scores, &h, q, t, M);
                for (int r = 0; r < M; r++)
                    OP(to_real)
                    (out + ((t + r) * d->Hq + head) * d->D, sums + r * h.width, (size_t)d->D);
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
