/* Attention of new rows over cached keys and values, on tiles. The same products and sums in the
 * same order as in attention.c, so the same bits; which rows go together is said in runs.h.
 *
 * A block of the cache: per kv head KV_BLOCK keys as tiles of 32 channels (pack_keys), then their
 * values as KV_BLOCK/2 rows of pairs (width, 2). Two blocks make the rows of tiles of values; they
 * are copied side by side, with zeros for what is not there: a weight of 0 does not hide a NaN. */
#include "model/cpu/amx/tiles.h"

static size_t head_elements(const struct dims *d)
{
    return KV_BLOCK * (depth_of(d->D) + width_of(d->D));
}

size_t OP(kv_block_bytes)(const struct dims *d)
{
    return (size_t)d->Hkv * head_elements(d) * sizeof(real);
}

static real *block_of(const struct kv_layer *kv, const int *table, int pos, const struct dims *d)
{
    unsigned char *at = kv->pool + (size_t)table[pos / KV_BLOCK] * OP(kv_block_bytes)(d);
    return (real *)(void *)at;
}

/* Pairs of channels; those behind D are zeros, as they are summed over. */
static void key_store(real *keys, const real *key, int lane, int D)
{
    enum { PAIR = 2 * sizeof(real) };
    for (int i = 0; i < (int)depth_of(D); i += 2) {
        real *to = keys + i / 2 * DEPTH + 2 * lane;
        if (i < D)
            memcpy(to, key + i, PAIR);
        else
            memset(to, 0, PAIR);
    }
}

/* Every other half of a row of pairs: the first or the second. */
static void value_store(real *values, const real *value, int second, int D)
{
    const __mmask32 halves = second ? 0xaaaaaaaa : 0x55555555;
    for (int i = 0; i < D; i += SIDE) {
        __m512i v = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes_below(D - i), value + i));
        if (second) v = _mm512_slli_epi32(v, 16);
        _mm512_mask_storeu_epi16(values + 2 * i, halves, v);
    }
}

/* Places of positions that are not stored are never read as numbers, so they are not cleared. */
void OP(kv_store)(struct kv_layer *kv, const void *qkv, struct kv_rows rows, int T,
                  const struct dims *d)
{
    size_t depth = depth_of(d->D), width = width_of(d->D);
    for (int t = 0; t < T; t++) {
        real *keys = block_of(kv, rows.table[t], rows.pos[t], d);
        int lane = rows.pos[t] % KV_BLOCK;
        const real *key = (const real *)qkv + (size_t)t * (size_t)dims_qkv(d) + d->Hq * d->D;
        const real *value = key + d->Hkv * d->D;
        for (int h = 0; h < d->Hkv; h++, key += d->D, value += d->D, keys += head_elements(d)) {
            key_store(keys, key, lane, d->D);
            value_store(keys + KV_BLOCK * depth + (size_t)(lane / 2) * 2 * width, value, lane % 2,
                        d->D);
        }
    }
}

/* Queries of one kv head, and what is computed of them. */
struct asked {
    const struct dims *d;
    const struct kv_layer *kv;
    int head, configured; /* kv head; rows of the tiles */
    struct asked_rows rows;
    float scale;
    real *q;       /* (M, depth) */
    float *out;    /* (M, width): weighted values */
    float *scores; /* (M, KEYS) */
    real *weights; /* (M, KEYS) */
    real *values;  /* (KEYS/2, width, 2) */
    float most[QUERIES];
    __m512 total[QUERIES];
};

/* The asked kv head in the block with position pos: its keys, behind them its values. */
static const real *keys_at(const struct asked *a, const int *table, int pos)
{
    return block_of(a->kv, table, pos, a->d) + (size_t)a->head * head_elements(a->d);
}

/* Where the span's first query goes on a run later than its block b; in that block, if nowhere. */
static const real *keys_next(const struct asked *a, const struct span *s, int b)
{
    int later = s->j + b + KEYS;
    bool more = later < a->rows.keys[s->first];
    return more ? keys_at(a, a->rows.table[s->first], later) : keys_at(a, s->table, s->j + b);
}

/* Pairs of values of the run; zeros from `seen` on, up to the next multiple of 32. With each line
 * one of the next run is asked for: more at once than the processor waits for would stop it. */
static void values_copy(const struct asked *a, const struct span *s)
{
    size_t width = width_of(a->d->D), keys = KV_BLOCK * depth_of(a->d->D);
    int seen = s->seen;
    for (int b = 0; b < seen; b += KV_BLOCK) {
        const real *from = keys_at(a, s->table, s->j + b) + keys, *next = keys_next(a, s, b) + keys;
        real *to = a->values + (size_t)b * width;
        for (size_t i = 0; i < KV_BLOCK * width; i += DEPTH) {
            _mm512_storeu_si512(to + i, _mm512_loadu_si512(from + i));
            __builtin_prefetch(next + i, 0, 2);
        }
    }
    if (seen % 2 == 1) {
        real *last = a->values + (size_t)(seen / 2) * 2 * width;
        for (size_t i = 0; i < width; i++) last[2 * i + 1] = 0;
    }
    size_t from = (size_t)((seen + 1) / 2) * 2 * width;
    memset(a->values + from, 0, ((size_t)round_up(seen, DEPTH) * width - from) * sizeof(real));
}

/* Weights of query r from its scores; what it summed before is rescaled if its largest score has
 * risen. */
static void row_softmax(struct asked *a, const struct span *s, int r)
{
    float *score = a->scores + r * KEYS, *out = a->out + (size_t)r * width_of(a->d->D);
    int seen = smaller(KEYS, a->rows.keys[r] - s->j), keys = round_up(s->seen, DEPTH);
    __m512 v = _mm512_set1_ps(-INFINITY);
    for (int i = 0; i < keys; i += SIDE) {
        _mm512_mask_storeu_ps(score + i, (__mmask16)~lanes_below(seen - i),
                              _mm512_set1_ps(-INFINITY));
        v = _mm512_max_ps(v, _mm512_loadu_ps(score + i));
    }
    float old = a->most[r], most = _mm512_reduce_max_ps(v) * a->scale;
    if (!(most > old)) most = old;
    a->most[r] = most;
    if (s->j > 0 && most != old) {
        __m512 f = exp2_of(_mm512_set1_ps(old - most));
        for (size_t c = 0; c < width_of(a->d->D); c += SIDE)
            _mm512_storeu_ps(out + c, _mm512_mul_ps(_mm512_loadu_ps(out + c), f));
        a->total[r] = _mm512_mul_ps(a->total[r], f);
    }
    a->total[r] = row_weigh(a->weights + r * KEYS, score, a->total[r], a->scale, most, keys);
}

static void configure(struct asked *a, int rows)
{
    if (a->configured != rows) OP(tiles_configure)(rows);
    a->configured = rows;
}

/* Queries [first, first + n) of a span, n <= 16, against its run. */
static void rows_run(struct asked *a, const struct span *s, int first, int n)
{
    size_t depth = depth_of(a->d->D), width = width_of(a->d->D), deep = depth / DEPTH;
    size_t at = (size_t)first;
    struct tiles Q = {a->q + at * depth, depth * sizeof(real), 0, LINE};
    struct tiles P = {a->weights + at * KEYS, KEYS * sizeof(real), 0, LINE};
    struct tiles V = {a->values, 2 * width * sizeof(real), LINE, SIDE * 2 * width * sizeof(real)};
    struct tiles O = {a->out + at * width, width * sizeof(float), 0, LINE};
    configure(a, n);
    for (int b = 0; b < s->seen; b += KV_BLOCK) {
        struct tiles K = {(real *)(uintptr_t)keys_at(a, s->table, s->j + b), LINE, 0, TILE};
        struct tiles S = {a->scores + at * KEYS + b, KEYS * sizeof(float), 0, 0};
        OP(tiles_multiply)(S, Q, K, 1, 1, (int)deep, false);
        const real *next = keys_next(a, s, b);
        for (size_t i = 0; i < KV_BLOCK * depth; i += DEPTH) __builtin_prefetch(next + i, 0, 2);
    }
    if (first == s->first) values_copy(a, s);
    for (int r = first; r < first + n; r++) row_softmax(a, s, r);
    OP(tiles_multiply)
    (O, P, V, 1, (int)(width / SIDE), round_up(s->seen, DEPTH) / DEPTH, s->j > 0);
}

/* Runs in order, each with all who see it: a block that several read is read once. */
static void attend(struct asked *a)
{
    int most = 0;
    for (int r = 0; r < a->rows.M; r++) {
        most = larger(most, a->rows.keys[r]);
        a->most[r] = -INFINITY;
        a->total[r] = _mm512_setzero_ps();
    }
    for (int j = 0; j < most; j += KEYS)
        for (struct span next = {.j = j}, *s = &next; span_next(s, &a->rows);) {
            for (int done = 0, n; done < s->n; done += n) {
                n = smaller(SIDE, s->n - done);
                rows_run(a, s, s->first + done, n);
            }
        }
}

/* Queries from the rows of the call, attention, and its results into the rows of the output. */
static void some_attend(struct asked *a, real *out, const real *qkv, struct kv_rows rows,
                        const struct some_rows *s)
{
    const struct dims *d = a->d;
    size_t depth = depth_of(d->D), width = width_of(d->D);
    real *to = a->q;
    some_ask(&a->rows, rows, s);
    for (int t = s->t; t < s->t + s->rows; t++, to += (size_t)s->heads * depth) {
        const real *q = qkv + (size_t)t * (size_t)dims_qkv(d) + s->head * d->D;
        OP(pack_rows)(to, q, (size_t)d->D, s->heads, s->heads, d->D);
    }
    attend(a);
    for (int r = 0; r < a->rows.M; r++) {
        size_t t = (size_t)(s->t + r / s->heads), head = (size_t)(s->head + r % s->heads);
        row_write(out + (t * (size_t)d->Hq + head) * (size_t)d->D, a->out + (size_t)r * width,
                  1.0f / _mm512_reduce_add_ps(a->total[r]), d->D);
    }
}

/* Tiles are configured for the number of rows that go together, which often stays the same. */
void OP(attention_cached)(void *out, const void *qkv, const struct kv_layer *kv,
                          struct kv_rows rows, int T, const struct dims *d, void *scratch)
{
    char *at = carve_begin(scratch);
    struct asked a = {.d = d, .kv = kv, .scale = scale_of(d->D)};
    a.q = carve(&at, QUERIES * depth_of(d->D) * sizeof(real));
    a.out = carve(&at, QUERIES * width_of(d->D) * sizeof(float));
    a.scores = carve(&at, QUERIES * KEYS * sizeof(float));
    a.weights = carve(&at, QUERIES * KEYS * sizeof(real));
    a.values = carve(&at, KEYS * width_of(d->D) * sizeof(real));
    for (struct some_rows s = {0}; some_next(&s, rows, T, d);) {
        a.head = s.head / (d->Hq / d->Hkv);
        some_attend(&a, out, qkv, rows, &s);
    }
    OP(tiles_release)();
}
