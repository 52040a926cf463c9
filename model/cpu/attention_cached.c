/* Attention of new rows over cached keys and values. The same tiles in the same order as attention.c, so the same bits.
 *
 * A block of the cache: per kv head D x KV_BLOCK keys (transposed: lanes are positions), then KV_BLOCK x D values. */
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

/* Several query heads of one kv head, for one row. q (group, width) scaled; out (group, width). */
static void attend(float *out, float *scores, float *wide, float *q, int group,
                   const struct kv_layer *kv, const int *table, int n, int head,
                   const struct dims *d)
{
    int width = head_width(d->D), end = round_up(n, KV_BLOCK);
    size_t offset = (size_t)(2 * head * d->D * KV_BLOCK), keys = (size_t)(d->D * KV_BLOCK);
    struct tile Q = {q, (size_t)width, 1}, S = {scores, (size_t)end, 1};
    for (int j = 0; j < end; j += KV_BLOCK, S.p += KV_BLOCK) {
        OP(to_float)(wide, block_of(kv, table, j, d) + offset, keys);
        OP(tile_multiply)(S, Q, (struct tile){wide, KV_BLOCK, 1}, group, KV_BLOCK, d->D, false);
    }
    float sums[QUERIES];
    for (int r = 0; r < group; r++)
        (void)OP(softmax_row)(scores + (size_t)r * (size_t)end, n, &sums[r]);
    struct tile P = {scores, (size_t)end, 1}, O = {out, (size_t)width, 1};
    for (int j = 0; j < n; j += KV_BLOCK, P.p += KV_BLOCK) {
        const real *values = block_of(kv, table, j, d) + offset + keys;
        int here = n - j < KV_BLOCK ? n - j : KV_BLOCK;
        OP(head_load)(wide, values, (size_t)d->D, here, d->D, 1.0f);
        OP(tile_multiply)(O, P, (struct tile){wide, (size_t)width, 1}, group, width, here, j > 0);
    }
    for (int r = 0; r < group; r++)
        for (int i = 0; i < width; i++) out[r * width + i] = out[r * width + i] / sums[r] + 0.0f;
}

void OP(attention_cached)(void *out, const void *qkv, const struct kv_layer *kv,
                          struct kv_rows rows, int T, const struct dims *d, void *scratch)
{
    int width = head_width(d->D), all = d->Hq / d->Hkv;
    float *q = scratch, *sums = q + QUERIES * width, *wide = sums + QUERIES * width;
    float *scores = wide + 2 * KV_BLOCK * width, scale = 1.0f / sqrtf((float)d->D);
    for (int t = 0; t < T; t++)
        for (int head = 0, group; head < d->Hq; head += group) {
            int left = all - head % all; /* of this kv head */
            group = left < QUERIES ? left : QUERIES;
            const real *from = (const real *)qkv + (size_t)t * (size_t)dims_qkv(d) + head * d->D;
            real *to = (real *)out + (t * d->Hq + head) * d->D;
            OP(head_load)(q, from, (size_t)d->D, group, d->D, scale);
            attend(sums, scores, wide, q, group, kv, rows.table[t], rows.pos[t] + 1, head / all, d);
            for (int r = 0; r < group; r++)
                OP(to_real)(to + r * d->D, sums + r * width, (size_t)d->D);
        }
}
