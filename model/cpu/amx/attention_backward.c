/* Gradients of attention.c, on tiles. The weights P are computed again from the scores and lse;
 * with delta = sum_d dout out,  dP = dout V^T,  dS = P (dP - delta):  dV += P^T dout,  dK += dS^T
 * q, dq = dS K,  the last two times the scale. P and dS are rounded to bf16 before they are
 * multiplied with. Query heads of a group add to their kv head's dK and dV in head order, queries
 * in position order; a dq adds its keys in position order.
 *
 * dK and dV are summed transposed, (channels, keys): then P and dS are the products' right sides,
 * which lie in pairs of queries, and need no transposing. */
#include "model/cpu/amx/tiles.h"

enum {
    SQUARE = 64, /* queries and keys that meet at once */
    HALF = 32,   /* queries whose scores are in the nearest cache */
    BLOCK = 512, /* keys whose gradients stay near while all queries pass */
    ACROSS = SQUARE / SIDE
};

/* A square's scores and what follows from them. */
struct square {
    float *S, *dP; /* (HALF, SQUARE) */
    real *P, *dS;  /* tiles of pairs of queries: per 32 queries, one for 16 keys */
    real *rows;    /* dS (SQUARE, SQUARE) */
};

/* One kv head of one sequence, and one query head that meets it. */
struct head_back {
    const struct dims *d;
    int n, all; /* positions; padded to squares */
    size_t depth, width;
    float scale;
    struct square square;
    real *keys, *values, *pairs;   /* tiles: keys and values by channels, keys by positions */
    float *dkeys, *dvalues;        /* per 16 keys, tiles of (16 channels, 16 keys) */
    real *q, *q_t, *dout, *dout_t; /* rows (all, depth) and tiles of (channels, positions) */
    float *dq;                     /* (all, width) */
    float *lse, *delta;            /* (all); lse for powers of two */
};

/* Two rows of 16 to tiles: pairs of bf16 side by side. */
static void pairs_store(real *to, __m512 a, __m512 b)
{
    static const uint16_t turns[DEPTH] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                          21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                          11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_loadu_si512(turns), both));
}

/* P and dS of 16 keys of one query, from S and dP. */
static inline void weigh(__m512 *p, __m512 *ds, const float *S, const float *dP, float scale,
                         float lse, float delta)
{
    *p = exp2_of(_mm512_fmsub_ps(_mm512_loadu_ps(S), _mm512_set1_ps(scale), _mm512_set1_ps(lse)));
    *ds = _mm512_mul_ps(*p, _mm512_sub_ps(_mm512_loadu_ps(dP), _mm512_set1_ps(delta)));
}

/* Rows [from, from + HALF) of the square of queries at i; 0 where a query does not see the key. */
static void half_weigh(const struct head_back *h, int i, int j, int from)
{
    const struct square *s = &h->square;
    for (int r = 0; r < HALF; r += 2) {
        int query = i + from + r;
        __m512 ds[2][ACROSS];
        for (int v = 0; v < ACROSS; v++) {
            size_t at = (size_t)(r * SQUARE + v * SIDE), tile = (size_t)(from / HALF * ACROSS + v);
            __m512 p[2];
            for (int k = 0; k < 2; k++) {
                size_t row = at + (size_t)k * SQUARE;
                weigh(&p[k], &ds[k][v], s->S + row, s->dP + row, h->scale, h->lse[query + k],
                      h->delta[query + k]);
                __mmask16 sees = lanes_below(query + k + 1 - j - v * SIDE);
                p[k] = _mm512_maskz_mov_ps(sees, p[k]);
                ds[k][v] = _mm512_maskz_mov_ps(sees, ds[k][v]);
            }
            at = tile * TILE / sizeof(real) + (size_t)(r / 2 * DEPTH);
            pairs_store(s->P + at, p[0], p[1]);
            pairs_store(s->dS + at, ds[0][v], ds[1][v]);
        }
        for (int k = 0; k < 2; k++)
            for (int v = 0; v < ACROSS; v += 2)
                halves_store(s->rows + (from + r + k) * SQUARE + v * SIDE, ds[k][v], ds[k][v + 1]);
    }
}

/* Queries at i meet keys at j. */
static void square_backward(const struct head_back *h, int i, int j)
{
    size_t row = h->depth * sizeof(real), deep = row / LINE, wide = h->width / SIDE;
    size_t floats = SQUARE * sizeof(float), reals = SQUARE * sizeof(real);
    size_t key = (size_t)(j / SIDE) * deep * TILE, pair = (size_t)(j / DEPTH) * wide * TILE;
    size_t query = (size_t)(i / DEPTH) * wide * TILE, dkey = (size_t)(j / SIDE) * wide * TILE;
    struct tiles K = {(char *)h->keys + key, LINE, deep * TILE, TILE};
    struct tiles V = {(char *)h->values + key, LINE, deep * TILE, TILE};
    struct tiles S = {h->square.S, floats, SIDE * floats, LINE}, dP = S;
    dP.p = h->square.dP;
    for (int from = 0; from < SQUARE; from += HALF) {
        size_t at = (size_t)(i + from) * row;
        struct tiles Q = {(char *)h->q + at, row, SIDE * row, LINE}, dO = Q;
        dO.p = (char *)h->dout + at;
        OP(tiles_multiply)(S, Q, K, HALF / SIDE, ACROSS, (int)deep, false);
        OP(tiles_multiply)(dP, dO, V, HALF / SIDE, ACROSS, (int)deep, false);
        half_weigh(h, i, j, from);
    }
    struct tiles P = {h->square.P, LINE, TILE, ACROSS * TILE}, dS = P;
    dS.p = h->square.dS;
    struct tiles Q_t = {(char *)h->q_t + query, LINE, TILE, wide * TILE}, dO_t = Q_t;
    dO_t.p = (char *)h->dout_t + query;
    struct tiles dV = {(char *)h->dvalues + dkey, LINE, TILE, wide * TILE}, dK = dV;
    dK.p = (char *)h->dkeys + dkey;
    OP(tiles_multiply)(dV, dO_t, P, (int)wide, ACROSS, SQUARE / DEPTH, true);
    OP(tiles_multiply)(dK, Q_t, dS, (int)wide, ACROSS, SQUARE / DEPTH, true);
    size_t width = h->width * sizeof(float);
    struct tiles dQ = {h->dq + (size_t)i * h->width, width, SIDE * width, LINE};
    struct tiles rows = {h->square.rows, reals, SIDE * reals, LINE};
    struct tiles pairs = {(char *)h->pairs + pair, LINE, TILE, wide * TILE};
    OP(tiles_multiply)(dQ, rows, pairs, ACROSS, (int)wide, SQUARE / DEPTH, true);
}

/* What one call works on, at the sequence's first row. */
struct sequence_back {
    real *dqkv;
    const real *dout, *qkv, *out;
    const float *lse;
};

static float row_dot(const real *a, const real *b, int D)
{
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < D; i += SIDE) {
        __mmask16 there = lanes_below(D - i);
        __m512i x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, a + i));
        __m512i y = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, b + i));
        sum = _mm512_fmadd_ps((__m512)_mm512_slli_epi32(x, 16), (__m512)_mm512_slli_epi32(y, 16),
                              sum);
    }
    return _mm512_reduce_add_ps(sum);
}

/* delta = out . dout is the softmax's row sum of P * dP (FlashAttention, algorithm 4). A row that
 * is not there has weights 0. */
static void queries_begin(struct head_back *h, const struct sequence_back *s, int head)
{
    const struct dims *d = h->d;
    size_t step = (size_t)dims_qkv(d), out_step = (size_t)(d->Hq * d->D);
    const real *q = s->qkv + head * d->D, *dout = s->dout + head * d->D,
               *out = s->out + head * d->D;
    OP(pack_rows)(h->q, q, step, h->n, h->all, d->D);
    OP(pack_channels)(h->q_t, q, step, h->n, h->all, d->D);
    OP(pack_rows)(h->dout, dout, out_step, h->n, h->all, d->D);
    OP(pack_channels)(h->dout_t, dout, out_step, h->n, h->all, d->D);
    memset(h->dq, 0, (size_t)h->all * h->width * sizeof *h->dq);
    for (int t = 0; t < h->all; t++) {
        size_t at = (size_t)t * out_step;
        bool there = t < h->n;
        h->lse[t] = there ? s->lse[t * d->Hq + head] * LOG2_E : INFINITY;
        h->delta[t] = there ? row_dot(out + at, dout + at, d->D) : 0;
    }
}

static void queries_end(const struct head_back *h, const struct sequence_back *s, int head)
{
    const struct dims *d = h->d;
    float scale = 1.0f / sqrtf((float)d->D);
    real *to = s->dqkv + head * d->D;
    const float *dq = h->dq;
    for (int t = 0; t < h->n; t++, to += dims_qkv(d), dq += h->width)
        row_write(to, dq, scale, d->D);
}

/* One query head against its keys. A block takes long in a long sequence: it feeds the watchdog. */
static void head_backward(struct head_back *h, const struct sequence_back *s, int head)
{
    queries_begin(h, s, head);
    for (int block = 0; block < h->all; block += BLOCK) {
        for (int i = block; i < h->all; i += SQUARE)
            for (int j = block; j < smaller(block + BLOCK, i + SQUARE); j += SQUARE)
                square_backward(h, i, j);
        if (h->n >= LONG_SEQUENCE) watchdog_feed();
    }
    queries_end(h, s, head);
}

/* Tiles of (channels, keys) to rows of a head. */
static void keys_write(real *to, const float *from, const struct head_back *h, float scale)
{
    int step = dims_qkv(h->d), D = h->d->D;
    for (int t = 0; t < h->n; t += SIDE)
        for (int c = 0; c < D; c += SIDE, from += SIDE * SIDE) {
            __m512i row[SIDE];
            for (int i = 0; i < SIDE; i++) row[i] = _mm512_loadu_si512(from + i * SIDE);
            square_turn(row);
            for (int i = 0; i < smaller(SIDE, h->n - t); i++)
                row_write(to + (size_t)(t + i) * (size_t)step + c, (const float *)&row[i], scale,
                          smaller(SIDE, D - c));
        }
}

/* dK and dV of a kv head add up over its query heads, in float, and are written once. */
static void sequence_backward(struct head_back *h, const struct sequence_back *s)
{
    const struct dims *d = h->d;
    int group = d->Hq / d->Hkv;
    size_t step = (size_t)dims_qkv(d), bytes = (size_t)h->all * h->width * sizeof *h->dkeys;
    for (int kv = 0; kv < d->Hkv; kv++) {
        const real *key = s->qkv + (d->Hq + kv) * d->D, *value = key + d->Hkv * d->D;
        real *dkey = s->dqkv + (d->Hq + kv) * d->D, *dvalue = dkey + d->Hkv * d->D;
        OP(pack_keys)(h->keys, key, step, h->n, h->all, d->D);
        OP(pack_keys)(h->values, value, step, h->n, h->all, d->D);
        OP(pack_pairs)(h->pairs, key, step, h->n, h->all, d->D);
        memset(h->dkeys, 0, bytes);
        memset(h->dvalues, 0, bytes);
        for (int head = kv * group; head < (kv + 1) * group; head++) head_backward(h, s, head);
        keys_write(dkey, h->dkeys, h, 1.0f / sqrtf((float)d->D));
        keys_write(dvalue, h->dvalues, h, 1.0f);
    }
}

/* Places what a sequence of n positions needs. */
static void place(struct head_back *h, char *at, int n)
{
    size_t all = (size_t)round_up(n, SQUARE);
    h->n = n;
    h->all = (int)all;
    real **deep[] = {&h->keys, &h->values, &h->q, &h->dout};
    real **wide[] = {&h->pairs, &h->q_t, &h->dout_t};
    float **sums[] = {&h->dkeys, &h->dvalues, &h->dq};
    for (int i = 0; i < 4; i++) *deep[i] = carve(&at, all * h->depth * sizeof(real));
    for (int i = 0; i < 3; i++) *wide[i] = carve(&at, all * h->width * sizeof(real));
    for (int i = 0; i < 3; i++) *sums[i] = carve(&at, all * h->width * sizeof(float));
    h->lse = carve(&at, all * sizeof(float));
    h->delta = carve(&at, all * sizeof(float));
}

/* Sequences of a micro-batch are independent. */
void OP(attention_backward)(void *dqkv, const void *dout, const void *qkv, const void *out,
                            const float *lse, struct segments seg, const struct dims *d,
                            void *scratch)
{
    char *at = carve_begin(scratch);
    struct head_back h = {
        .d = d, .depth = depth_of(d->D), .width = width_of(d->D), .scale = scale_of(d->D)};
    h.square.S = carve(&at, HALF * SQUARE * sizeof(float));
    h.square.dP = carve(&at, HALF * SQUARE * sizeof(float));
    h.square.P = carve(&at, SQUARE * SQUARE * sizeof(real));
    h.square.dS = carve(&at, SQUARE * SQUARE * sizeof(real));
    h.square.rows = carve(&at, SQUARE * SQUARE * sizeof(real));
    OP(tiles_configure)(SIDE);
    for (int i = 0; i < seg.n; i++) {
        size_t first = (size_t)seg.start[i], width = first * (size_t)dims_qkv(d);
        size_t out_width = first * (size_t)(d->Hq * d->D);
        struct sequence_back s = {(real *)dqkv + width, (const real *)dout + out_width,
                                  (const real *)qkv + width, (const real *)out + out_width,
                                  lse + first * (size_t)d->Hq};
        place(&h, at, seg.start[i + 1] - seg.start[i]);
        sequence_backward(&h, &s);
    }
    OP(tiles_release)();
}
