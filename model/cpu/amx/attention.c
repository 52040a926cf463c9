/* Causal grouped-query attention of packed sequences on tiles of bf16, forward.
 *
 * FlashAttention's running softmax (arXiv 2205.14135, algorithm 1), by runs of KEYS keys counted
 * from the sequence's first position: a row's largest score so far and what it rescales depend on
 * its own scores alone, and so do its bits (P1). Where the largest score does not rise, nothing is
 * rescaled: the factor would be 1. Weights are rounded to bf16 before they meet values; their sum
 * and all other sums are in float.
 *
 * Strips of 32 queries, of all heads that share keys, meet some runs one after the other, while
 * these are in a cache. */
#include "model/cpu/amx/tiles.h"

enum {
    STRIP = 32,  /* queries */
    HEADS = 4,   /* query heads that are done together, at most */
    NEAR = 1024, /* keys that stay in a cache while all strips of a block meet them */
    STRIPS = 16, /* strips of a block, over all its heads */
    TILES = STRIP / SIDE
};

/* The larger need of two: of backward's whole sequence, of forward's block or the cache's. */
size_t OP(attention_scratch)(const struct dims *d, int T)
{
    enum { WORK = 64 * 1024 }; /* scores, weights, what lines of the cache leave between */
    size_t longest = (size_t)round_up(smaller(T, d->max_context), KEYS);
    size_t depth = depth_of(d->D), width = width_of(d->D);
    size_t sequence = longest * (4 * depth + 3 * width) * sizeof(real) +
                      longest * (3 * width + 2) * sizeof(float);
    size_t block = STRIPS * STRIP * (depth * sizeof(real) + width * sizeof(float));
    return sequence + block + WORK + KEYS * width * sizeof(real);
}

/* Some queries of one head, from position `first` on. */
struct strip {
    real *q;    /* (STRIP, depth) */
    float *out; /* (STRIP, width): weighted values */
    int head, first;
    float most[STRIP]; /* largest score so far, times scale */
    __m512 total[STRIP];
};

/* One kv head of a sequence, and the strips that meet it. */
struct attended {
    const struct dims *d;
    real *keys, *values; /* tiles (pack_keys, pack_pairs) */
    float *scores;       /* (STRIP, KEYS) */
    real *weights;       /* (STRIP, KEYS) */
    float scale;
    int strips;
    struct strip *strip;
};

/* The largest of each of 16 vectors, in order: row 4i + e enters as number i + {0, 8, 4, 12}[e]. */
static __m512 rows_largest(const float *score, int keys)
{
    static const int enters[SIDE] = {0, 4, 8, 12, 2, 6, 10, 14, 1, 5, 9, 13, 3, 7, 11, 15};
    __m512 v[SIDE];
    for (int i = 0; i < SIDE; i++) {
        const float *row = score + enters[i] * KEYS;
        v[i] = _mm512_loadu_ps(row);
        for (int k = SIDE; k < keys; k += SIDE)
            v[i] = _mm512_max_ps(v[i], _mm512_loadu_ps(row + k));
    }
    for (int i = 0; i < 8; i++)
        v[i] =
            _mm512_max_ps(_mm512_unpacklo_ps(v[i], v[i + 8]), _mm512_unpackhi_ps(v[i], v[i + 8]));
    for (int i = 0; i < 4; i++) {
        __m512d a = _mm512_castps_pd(v[i]), b = _mm512_castps_pd(v[i + 4]);
        v[i] = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    for (int i = 0; i < 4; i += 2)
        v[i] = _mm512_max_ps(_mm512_shuffle_f32x4(v[i], v[i + 1], 0x88),
                             _mm512_shuffle_f32x4(v[i], v[i + 1], 0xdd));
    return _mm512_max_ps(_mm512_shuffle_f32x4(v[0], v[2], 0x88),
                         _mm512_shuffle_f32x4(v[0], v[2], 0xdd));
}

/* Scores of keys behind a query's own -> -infinity. */
static void hide(float *score, int seen, int keys)
{
    for (int r = 0; r < STRIP; r++, seen++, score += KEYS)
        for (int i = 0; i < keys; i += SIDE)
            if (seen < i + SIDE)
                _mm512_mask_storeu_ps(score + i, (__mmask16)~lanes_below(seen - i),
                                      _mm512_set1_ps(-INFINITY));
}

/* What the rows whose largest score has risen have summed so far. */
static void rescale(struct strip *s, int row, unsigned risen, const float *factor, size_t width)
{
    for (; risen; risen &= risen - 1) {
        int i = __builtin_ctz(risen);
        __m512 f = _mm512_set1_ps(factor[i]);
        float *out = s->out + (size_t)(row + i) * width;
        for (size_t c = 0; c < width; c += SIDE)
            _mm512_storeu_ps(out + c, _mm512_mul_ps(_mm512_loadu_ps(out + c), f));
        s->total[row + i] = _mm512_mul_ps(s->total[row + i], f);
    }
}

/* Scores of a run -> weights; what was summed before is rescaled. */
static void strip_softmax(const struct attended *a, struct strip *s, int j, int keys)
{
    if (j + keys > s->first + 1) hide(a->scores, s->first + 1 - j, keys);
    for (int row = 0; row < STRIP; row += SIDE) {
        float *scores = a->scores + row * KEYS, factor[SIDE];
        __m512 old = _mm512_loadu_ps(s->most + row);
        __m512 most = _mm512_mul_ps(rows_largest(scores, keys), _mm512_set1_ps(a->scale));
        most = _mm512_max_ps(most, old);
        _mm512_storeu_ps(s->most + row, most);
        unsigned risen = _mm512_cmp_ps_mask(most, old, _CMP_NEQ_UQ);
        if (j > 0 && risen) {
            _mm512_storeu_ps(factor, exp2_of(_mm512_sub_ps(old, most)));
            rescale(s, row, risen, factor, width_of(a->d->D));
        }
        for (int r = row; r < row + SIDE; r++, scores += KEYS)
            s->total[r] =
                row_weigh(a->weights + r * KEYS, scores, s->total[r], a->scale, s->most[r], keys);
    }
}

/* A strip meets the run at key j. */
static void strip_run(const struct attended *a, struct strip *s, int j)
{
    size_t depth = depth_of(a->d->D) * sizeof(real), width = width_of(a->d->D);
    size_t channels = width / SIDE, deep = depth / LINE;
    int keys = smaller(KEYS, s->first + STRIP - j);
    struct tiles Q = {s->q, depth, SIDE * depth, LINE};
    struct tiles K = {(char *)a->keys + (size_t)(j / SIDE) * deep * TILE, LINE, deep * TILE, TILE};
    struct tiles S = {a->scores, KEYS * sizeof(float), SIDE * KEYS * sizeof(float), LINE};
    OP(tiles_multiply)(S, Q, K, TILES, keys / SIDE, (int)deep, false);
    strip_softmax(a, s, j, keys);
    struct tiles P = {a->weights, KEYS * sizeof(real), SIDE * KEYS * sizeof(real), LINE};
    struct tiles V = {(char *)a->values + (size_t)(j / DEPTH) * channels * TILE, LINE, TILE,
                      channels * TILE};
    struct tiles O = {s->out, width * sizeof(float), SIDE * width * sizeof(float), LINE};
    OP(tiles_multiply)(O, P, V, TILES, (int)channels, keys / DEPTH, j > 0);
}

/* A strip meets those of the NEAR keys from `near` on that it sees. */
static void strip_runs(const struct attended *a, struct strip *s, int near)
{
    int end = smaller(near + NEAR, s->first + STRIP);
    for (int j = near; j < end; j += KEYS) strip_run(a, s, j);
}

/* What one call works on, at the sequence's first row. */
struct sequence {
    real *out;
    float *lse;
    const real *qkv;
    int n;
};

static void strip_begin(const struct attended *a, struct strip *s, const struct sequence *q)
{
    size_t step = (size_t)dims_qkv(a->d);
    const real *from = q->qkv + (size_t)s->first * step + s->head * a->d->D;
    OP(pack_rows)
    (s->q, from, step, smaller(STRIP, q->n - s->first), STRIP, a->d->D);
    for (int r = 0; r < STRIP; r++) {
        s->most[r] = -INFINITY;
        s->total[r] = _mm512_setzero_ps();
    }
}

static void strip_end(const struct attended *a, const struct strip *s, const struct sequence *q)
{
    int rows = smaller(STRIP, q->n - s->first), D = a->d->D;
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)(s->first + r) * (size_t)a->d->Hq + (size_t)s->head;
        float sum = _mm512_reduce_add_ps(s->total[r]);
        q->lse[at] = s->most[r] * LN_2 + logf(sum);
        row_write(q->out + at * (size_t)D, s->out + (size_t)r * width_of(D), 1.0f / sum, D);
    }
}

/* Positions [first, end) of `heads` query heads against the keys up to their own. */
static void attend(struct attended *a, const struct sequence *q, int head, int heads, int first,
                   int end)
{
    a->strips = 0;
    for (int h = head; h < head + heads; h++)
        for (int at = first; at < end; at += STRIP) {
            struct strip *s = &a->strip[a->strips++];
            s->head = h;
            s->first = at;
            strip_begin(a, s, q);
        }
    for (int near = 0; near < end; near += NEAR)
        for (int i = 0; i < a->strips; i++) strip_runs(a, &a->strip[i], near);
    for (int i = 0; i < a->strips; i++) strip_end(a, &a->strip[i], q);
}

/* Keys and values of a kv head are packed once and used by all query heads of its group. A long
 * sequence takes minutes: its blocks of queries feed the watchdog. */
static void sequence_forward(struct attended *a, const struct sequence *q)
{
    const struct dims *d = a->d;
    int group = d->Hq / d->Hkv, all = round_up(q->n, KEYS);
    size_t step = (size_t)dims_qkv(d);
    for (int kv = 0; kv < d->Hkv; kv++) {
        const real *key = q->qkv + (d->Hq + kv) * d->D;
        OP(pack_keys)(a->keys, key, step, q->n, all, d->D);
        OP(pack_pairs)(a->values, key + d->Hkv * d->D, step, q->n, all, d->D);
        for (int done = 0, heads; done < group; done += heads) {
            heads = smaller(HEADS, group - done);
            int block = STRIPS / heads * STRIP;
            for (int first = 0; first < q->n; first += block) {
                attend(a, q, kv * group + done, heads, first, smaller(q->n, first + block));
                if (q->n >= LONG_SEQUENCE) watchdog_feed();
            }
        }
    }
}

/* Scratch: the strips, then scores, weights, and behind them a sequence's keys and values. */
void OP(attention_forward)(void *out, float *lse, const void *qkv, struct segments seg,
                           const struct dims *d, void *scratch)
{
    struct strip strip[STRIPS];
    size_t depth = depth_of(d->D), width = width_of(d->D);
    char *at = carve_begin(scratch);
    struct attended a = {.d = d, .scale = scale_of(d->D), .strip = strip};
    for (int i = 0; i < STRIPS; i++) {
        strip[i].q = carve(&at, STRIP * depth * sizeof(real));
        strip[i].out = carve(&at, STRIP * width * sizeof(float));
    }
    a.scores = carve(&at, STRIP * KEYS * sizeof(float));
    a.weights = carve(&at, STRIP * KEYS * sizeof(real));
    a.keys = (real *)at;
    OP(tiles_configure)(SIDE);
    for (int s = 0; s < seg.n; s++) {
        size_t first = (size_t)seg.start[s], n = (size_t)(seg.start[s + 1] - seg.start[s]);
        a.values = a.keys + (size_t)round_up((int)n, KEYS) * depth;
        struct sequence q = {(real *)out + first * (size_t)(d->Hq * d->D),
                             lse + first * (size_t)d->Hq,
                             (const real *)qkv + first * (size_t)dims_qkv(d), (int)n};
        sequence_forward(&a, &q);
    }
    OP(tiles_release)();
}
