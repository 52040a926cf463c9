/* Attention of new rows over cached keys and values. The same tiles in the same order as
 * attention.c, so the same bits.
 *
 * A block of the cache: per kv head D x KV_BLOCK keys (transposed: lanes are positions), then
 * KV_BLOCK x D values. */
#include <math.h>
#include "model/cpu/attention.h"

size_t OP(kv_block_bytes)(const struct dims *d)
{
    return (size_t)(2 * d->Hkv * d->D * KV_BLOCK) * sizeof(real);
}

static real *block_of(const struct kv_layer *kv, const int *table, int pos, const struct dims *d)
{
    unsigned char *at = kv->pool + (size_t)table[pos / KV_BLOCK] * OP(kv_block_bytes)(d);
    return (real *)(void *)at;
}

/* Keys lie transposed in a block, so that decoding reads KV_BLOCK keys of one channel as a vector.
 */
void OP(kv_store)(struct kv_layer *kv, const void *qkv, struct kv_rows rows, int T,
                  const struct dims *d)
{
    for (int t = 0; t < T; t++) {
        real *block = block_of(kv, rows.table[t], rows.pos[t], d);
        int lane = rows.pos[t] % KV_BLOCK;
        const real *key = (const real *)qkv + (size_t)t * (size_t)dims_qkv(d) + d->Hq * d->D;
        const real *value = key + d->Hkv * d->D;
        for (int h = 0; h < d->Hkv; h++, key += d->D, value += d->D) {
            real *keys = block + 2 * h * d->D * KV_BLOCK, *values = keys + d->D * KV_BLOCK;
            for (int i = 0; i < d->D; i++) keys[i * KV_BLOCK + lane] = key[i];
            memcpy(values + lane * d->D, value, (size_t)d->D * sizeof *values);
        }
    }
}

/* Query heads of one kv head, for one row. */
struct key_group {
    int n, head;          /* query heads; kv head */
    float *q, *out, *sum; /* (n, width) scaled; (n, width); (n) */
    const int *table;
    int keys; /* positions seen */
};

/* A run of up to KEYS keys from the cache: to (D, KEYS). */
static void keys_read(float *to, const struct key_group *g, int first, const struct kv_layer *kv,
                      const struct dims *d)
{
    for (int j = first; j < g->keys && j < first + KEYS; j += KV_BLOCK) {
        const real *keys = block_of(kv, g->table, j, d) + 2 * g->head * d->D * KV_BLOCK;
        for (int i = 0; i < d->D; i++)
            for (int lane = 0; lane < KV_BLOCK; lane += LANES)
                vec_store(to + i * KEYS + j - first + lane, vec_get(keys + i * KV_BLOCK + lane));
    }
}

/* A run of `n` values: to (n, width). */
static void values_read(float *to, const struct key_group *g, int first, int n,
                        const struct kv_layer *kv, const struct dims *d)
{
    for (int j = 0; j < n; j += KV_BLOCK, to += KV_BLOCK * head_width(d->D)) {
        const real *values =
            block_of(kv, g->table, first + j, d) + (2 * g->head + 1) * d->D * KV_BLOCK;
        OP(head_load)(to, values, (size_t)d->D, n - j < KV_BLOCK ? n - j : KV_BLOCK, d->D, 1.0f);
    }
}

/* --- one query: keys and values are widened as they are used, in tile_multiply's order of sums,
 * hence its bits --- */

/* Scores of `blocks` blocks of keys from `first`: sums side by side, each over d in order. */
__attribute__((always_inline)) static inline void scores_run(float *scores,
                                                             const struct key_group *g, int first,
                                                             const int blocks,
                                                             const struct kv_layer *kv,
                                                             const struct dims *d)
{
    enum { PER_BLOCK = KV_BLOCK / LANES };
    const real *keys[KEYS / KV_BLOCK];
    vec sum[KEYS / LANES];
    for (int b = 0; b < blocks; b++)
        keys[b] = block_of(kv, g->table, first + b * KV_BLOCK, d) + 2 * g->head * d->D * KV_BLOCK;
    for (int v = 0; v < blocks * PER_BLOCK; v++) sum[v] = (vec){0};
    for (int i = 0; i < d->D; i++) {
        vec q = vec_all(g->q[i]);
        for (int v = 0; v < blocks * PER_BLOCK; v++) {
            const real *at = keys[v / PER_BLOCK] + i * KV_BLOCK + v % PER_BLOCK * LANES;
            sum[v] = vec_fma(q, vec_get(at), sum[v]);
        }
    }
    for (int v = 0; v < blocks * PER_BLOCK; v++) vec_store(scores + v * LANES, sum[v]);
}

/* NV vectors of the weighted sum of values, from column `from`: over the keys in order. */
__attribute__((always_inline)) static inline void values_run(const struct key_group *g,
                                                             const float *p, int from, const int NV,
                                                             const struct kv_layer *kv,
                                                             const struct dims *d)
{
    vec sum[4] = {{0}};
    for (int j = 0; j < g->keys; j += KV_BLOCK) {
        const real *values =
            block_of(kv, g->table, j, d) + (2 * g->head + 1) * d->D * KV_BLOCK + from;
        int here = g->keys - j < KV_BLOCK ? g->keys - j : KV_BLOCK;
        for (int k = 0; k < here; k++, values += d->D) {
            vec weight = vec_all(p[j + k]);
            for (int v = 0; v < NV; v++)
                sum[v] = vec_fma(weight, vec_get(values + v * LANES), sum[v]);
        }
    }
    for (int v = 0; v < NV; v++) vec_store(g->out + from + v * LANES, sum[v]);
}

static void attend_one(const struct key_group *g, float *scores, const struct kv_layer *kv,
                       const struct dims *d)
{
    int end = round_up(g->keys, KV_BLOCK), j = 0, from = 0;
    for (; end - j >= KEYS; j += KEYS) scores_run(scores + j, g, j, KEYS / KV_BLOCK, kv, d);
    for (; j < end; j += KV_BLOCK) scores_run(scores + j, g, j, 1, kv, d);
    (void)OP(softmax_row)(scores, g->keys, end, &g->sum[0]);
    for (; d->D - from >= 4 * LANES; from += 4 * LANES) values_run(g, scores, from, 4, kv, d);
    for (; d->D - from >= 2 * LANES; from += 2 * LANES) values_run(g, scores, from, 2, kv, d);
    for (; from < d->D; from += LANES) values_run(g, scores, from, 1, kv, d);
}

/* As the training kernel: the same tiles and the same order of keys, so that the bits are equal
 * (P2). */
static void attend(const struct key_group *g, float *scores, float *wide, const struct kv_layer *kv,
                   const struct dims *d)
{
    size_t width = (size_t)head_width(d->D);
    int end = round_up(g->keys, KV_BLOCK);
    struct tile Q = {g->q, width, 1}, S = {scores, (size_t)end, 1}, O = {g->out, width, 1};
    for (int j = 0; j < end; j += KEYS, S.p += KEYS) {
        keys_read(wide, g, j, kv, d);
        OP(tile_multiply)
        (S, Q, (struct tile){wide, KEYS, 1}, g->n, end - j < KEYS ? end - j : KEYS, d->D, false);
    }
    for (int r = 0; r < g->n; r++)
        (void)OP(softmax_row)(scores + r * end, g->keys, end, &g->sum[r]);
    struct tile P = {scores, (size_t)end, 1};
    for (int j = 0; j < g->keys; j += KEYS, P.p += KEYS) {
        int here = g->keys - j < KEYS ? g->keys - j : KEYS;
        values_read(wide, g, j, here, kv, d);
        OP(tile_multiply)(O, P, (struct tile){wide, width, 1}, g->n, (int)width, here, j > 0);
    }
}

/* Query heads that share a kv head are done together, up to QUERIES of them: keys are read once. */
void OP(attention_cached)(void *out, const void *qkv, const struct kv_layer *kv,
                          struct kv_rows rows, int T, const struct dims *d, void *scratch)
{
    int width = head_width(d->D), all = d->Hq / d->Hkv;
    float sums[QUERIES], scale = 1.0f / sqrtf((float)d->D);
    struct key_group g = {.q = scratch, .out = (float *)scratch + QUERIES * width, .sum = sums};
    float *wide = g.out + QUERIES * width, *scores = wide + KEYS * width;
    for (int t = 0; t < T; t++)
        for (int head = 0; head < d->Hq; head += g.n) {
            int left = all - head % all; /* of this kv head */
            g.n = left < QUERIES ? left : QUERIES;
            g.head = head / all;
            g.table = rows.table[t];
            g.keys = rows.pos[t] + 1;
            const real *from = (const real *)qkv + (size_t)t * (size_t)dims_qkv(d) + head * d->D;
            real *to = (real *)out + ((size_t)t * (size_t)d->Hq + (size_t)head) * (size_t)d->D;
            OP(head_load)(g.q, from, (size_t)d->D, g.n, d->D, scale);
            if (g.n == 1 && d->D % LANES == 0)
                attend_one(&g, scores, kv, d);
            else
                attend(&g, scores, wide, kv, d);
            for (int r = 0; r < g.n; r++)
                OP(row_finish)(to + r * d->D, g.out + r * width, sums[r], d->D);
        }
}
