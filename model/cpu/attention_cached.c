/* Attention of new rows over cached keys and values. The same sums in the same
 * order as in attention.c, so the same bits.
 *
 * Rows whose sequences begin with the same blocks (rows of one prompt, answers
 * that share one) are done together, with all query heads of a kv head: for
 * each run of keys, those that read the same blocks form a span, and the run is
 * read once for a span.
 *
 * A block of the cache: per kv head D x KV_BLOCK keys (transposed: lanes are
 * positions), then KV_BLOCK x D values. */
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

/* Keys lie transposed in a block, so that decoding reads KV_BLOCK keys of one
 * channel as a vector.
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

/* Queries of one kv head, and what is computed of them. */
struct asked {
    const struct dims *d;
    const struct kv_layer *kv;
    int head; /* kv head */
    struct asked_rows rows;
    float *q, *out; /* (M, width); q is scaled, out weighted values */
    float *scores;  /* runs of (M, KEYS) */
    float *wide;    /* a run of keys (D, KEYS) or values (KEYS, width) */
    struct softmax softmax;
};

/* The asked kv head in the block with position pos: its keys (D, KV_BLOCK), behind them its values
 * (KV_BLOCK, D). */
static const real *keys_at(const struct asked *a, const int *table, int pos)
{
    return block_of(a->kv, table, pos, a->d) + 2 * a->head * a->d->D * KV_BLOCK;
}

/* --- few queries: keys and values are widened as they are used --- */

enum { FEW = 4, PER_BLOCK = KV_BLOCK / LANES };
#if LANES == 16
enum { SUMS = 16 }; /* vectors summed side by side: registers allow */
#else
enum { SUMS = 12 };
#endif

/* Scores of m queries (m, KEYS) against `blocks` blocks, each sum over d in
 * order. `next`: blocks to be read soon. */
__attribute__((always_inline)) static inline void few_scores(float *s, const float *q, size_t width,
                                                             const real *const *keys,
                                                             const real *const *next, int D,
                                                             const int m, const int blocks)
{
    enum { LINE = (int)(64 / (KV_BLOCK * sizeof(real))) }; /* rows in a line of the cache */
    vec sum[FEW][KEYS / LANES];
    for (int r = 0; r < m; r++)
        for (int v = 0; v < blocks * PER_BLOCK; v++) sum[r][v] = (vec){0};
    for (int i = 0; i < D; i++) {
        vec left[FEW];
        for (int r = 0; r < m; r++) left[r] = vec_all(q[(size_t)r * width + (size_t)i]);
        for (int v = 0; v < blocks * PER_BLOCK; v++) {
            vec right = vec_get(keys[v / PER_BLOCK] + i * KV_BLOCK + v % PER_BLOCK * LANES);
            for (int r = 0; r < m; r++) sum[r][v] = vec_fma(left[r], right, sum[r][v]);
        }
        if (i % LINE == 0)
            for (int b = 0; b < blocks; b++) __builtin_prefetch(next[b] + i * KV_BLOCK);
    }
    for (int r = 0; r < m; r++)
        for (int v = 0; v < blocks * PER_BLOCK; v++) vec_store(s + r * KEYS + v * LANES, sum[r][v]);
}

/* NV vectors of the weighted values of m queries, from column `from`: the sums
 * go on over the run's keys in order. */
__attribute__((always_inline)) static inline void few_values(float *out, const float *p,
                                                             size_t width, const real *const *keys,
                                                             const real *const *next,
                                                             const struct span *s, int D, int from,
                                                             const int m, const int NV)
{
    vec sum[FEW][SUMS];
    for (int r = 0; r < m; r++)
        for (int v = 0; v < NV; v++)
            sum[r][v] = s->j > 0 ? vec_load(out + (size_t)r * width + from + v * LANES) : (vec){0};
    for (int b = 0; b * KV_BLOCK < s->seen; b++) {
        const real *value = keys[b] + D * KV_BLOCK + from, *ahead = next[b] + D * KV_BLOCK + from;
        int here = smaller(KV_BLOCK, s->seen - b * KV_BLOCK);
        for (int k = 0; k < here; k++, value += D, ahead += D) {
            vec weight[FEW];
            __builtin_prefetch(ahead);
            if (NV * LANES * (int)sizeof(real) > 64) __builtin_prefetch(ahead + 64 / sizeof(real));
            for (int r = 0; r < m; r++) weight[r] = vec_all(p[r * KEYS + b * KV_BLOCK + k]);
            for (int v = 0; v < NV; v++) {
                vec right = vec_get(value + v * LANES);
                for (int r = 0; r < m; r++) sum[r][v] = vec_fma(weight[r], right, sum[r][v]);
            }
        }
    }
    for (int r = 0; r < m; r++)
        for (int v = 0; v < NV; v++)
            vec_store(out + (size_t)r * width + from + v * LANES, sum[r][v]);
}

/* The run's blocks, and those of the run behind it, as far as there are any. */
struct few_blocks {
    const real *keys[KEYS / KV_BLOCK], *next[KEYS / KV_BLOCK];
};

static struct few_blocks few_blocks_of(const struct asked *a, const struct span *s)
{
    struct few_blocks f = {{0}, {0}};
    int last = s->j + s->seen - 1, most = a->rows.keys[s->first] - 1;
    for (int b = 0; b < KEYS / KV_BLOCK; b++) {
        int pos = s->j + b * KV_BLOCK, later = pos + KEYS;
        f.keys[b] = keys_at(a, s->table, smaller(pos, last));
        f.next[b] = later <= most ? keys_at(a, a->rows.table[s->first], later) : f.keys[b];
    }
    return f;
}

/* m queries from number `first` of all. */
__attribute__((always_inline)) static inline void few_scores_run(const struct asked *a,
                                                                 const struct span *s, int first,
                                                                 const struct few_blocks *f,
                                                                 const int m)
{
    const int some = SUMS / m / PER_BLOCK > 4 ? 4 : SUMS / m / PER_BLOCK > 1 ? 2 : 1;
    size_t width = (size_t)head_width(a->d->D);
    const float *q = a->q + (size_t)first * width;
    float *to = a->scores + (size_t)s->j * (size_t)a->rows.M + (size_t)first * KEYS;
    int all = round_up(s->seen, KV_BLOCK) / KV_BLOCK, b = 0;
    for (; b + some <= all; b += some)
        few_scores(to + b * KV_BLOCK, q, width, f->keys + b, f->next + b, a->d->D, m, some);
    for (; b < all; b++)
        few_scores(to + b * KV_BLOCK, q, width, f->keys + b, f->next + b, a->d->D, m, 1);
}

/* The same of the weighted values, in as few passes over the run as registers allow. */
__attribute__((always_inline)) static inline void few_values_run(const struct asked *a,
                                                                 const struct span *s, int first,
                                                                 const struct few_blocks *f,
                                                                 const int m)
{
    const int most = SUMS / m >= 8 ? 8 : SUMS / m >= 4 ? 4 : 2;
    size_t width = (size_t)head_width(a->d->D);
    const float *p = a->scores + (size_t)s->j * (size_t)a->rows.M + (size_t)first * KEYS;
    float *out = a->out + (size_t)first * width;
    int D = a->d->D, from = 0;
#define FEW_COLUMNS(nv)                                                \
    for (; (nv) <= most && D - from >= (nv)*LANES; from += (nv)*LANES) \
    few_values(out, p, width, f->keys, f->next, s, D, from, m, nv)
    FEW_COLUMNS(8);
    FEW_COLUMNS(4);
    FEW_COLUMNS(2);
    FEW_COLUMNS(1);
}

/* `run` for all queries of a span, up to FEW at once. */
#define FEW_AT_ONCE(run)                                                    \
    for (int at = s->first, left = s->n, m; left > 0; at += m, left -= m) { \
        m = smaller(left, FEW);                                             \
        if (m == 4)                                                         \
            run(a, s, at, &f, 4);                                           \
        else if (m == 3)                                                    \
            run(a, s, at, &f, 3);                                           \
        else if (m == 2)                                                    \
            run(a, s, at, &f, 2);                                           \
        else                                                                \
            run(a, s, at, &f, 1);                                           \
    }

/* --- many queries: the run is widened first --- */

/* Scores of a span's queries with its keys, which lie by channel in whole blocks. */
static void wide_scores(const struct asked *a, const struct span *s)
{
    size_t width = (size_t)head_width(a->d->D);
    int columns = round_up(s->seen, KV_BLOCK);
    for (int b = 0; b < columns; b += KV_BLOCK) {
        const real *keys = keys_at(a, s->table, s->j + b);
        for (int i = 0; i < a->d->D; i++)
            for (int lane = 0; lane < KV_BLOCK; lane += LANES)
                vec_store(a->wide + i * KEYS + b + lane, vec_get(keys + i * KV_BLOCK + lane));
    }
    struct tile Q = {a->q + (size_t)s->first * width, width, 1}, K = {a->wide, KEYS, 1};
    struct tile S = {a->scores + (size_t)s->j * (size_t)a->rows.M + (size_t)s->first * KEYS, KEYS,
                     1};
    OP(tile_multiply)(S, Q, K, s->n, columns, a->d->D, false);
}

static void wide_values(const struct asked *a, const struct span *s)
{
    size_t width = (size_t)head_width(a->d->D), D = (size_t)a->d->D;
    for (int b = 0; b < s->seen; b += KV_BLOCK) OP(head_load)
    (a->wide + (size_t)b * width, keys_at(a, s->table, s->j + b) + D * KV_BLOCK, D,
     smaller(KV_BLOCK, s->seen - b), a->d->D, 1.0f);
    struct tile P = {a->scores + (size_t)s->j * (size_t)a->rows.M + (size_t)s->first * KEYS, KEYS,
                     1};
    struct tile V = {a->wide, width, 1}, O = {a->out + (size_t)s->first * width, width, 1};
    OP(tile_multiply)(O, P, V, s->n, (int)width, s->seen, s->j > 0);
}

static bool is_few(const struct asked *a, const struct span *s)
{
    return s->n <= 2 * FEW && a->d->D % LANES == 0;
}

/* Scores of the run at key j; -inf where a query does not see the key. */
static void run_scores(struct asked *a, int j)
{
    for (struct span next = {.j = j}, *s = &next; span_next(s, &a->rows);) {
        if (is_few(a, s)) {
            struct few_blocks f = few_blocks_of(a, s);
            FEW_AT_ONCE(few_scores_run)
        } else {
            wide_scores(a, s);
        }
        float *row = a->scores + (size_t)j * (size_t)a->rows.M + (size_t)s->first * KEYS;
        for (int r = s->first; r < s->first + s->n; r++, row += KEYS)
            softmax_most(&a->softmax, r, row, a->rows.keys[r] - j, round_up(s->seen, KV_BLOCK));
    }
}

/* Scores of the run at key j -> e^(score - largest), and its weighted values.
 */
static void run_values(struct asked *a, int j)
{
    for (struct span next = {.j = j}, *s = &next; span_next(s, &a->rows);) {
        float *row = a->scores + (size_t)j * (size_t)a->rows.M + (size_t)s->first * KEYS;
        for (int r = s->first; r < s->first + s->n; r++, row += KEYS)
            softmax_weigh(&a->softmax, r, row, round_up(s->seen, KV_BLOCK));
        if (is_few(a, s)) {
            struct few_blocks f = few_blocks_of(a, s);
            FEW_AT_ONCE(few_values_run)
        } else {
            wide_values(a, s);
        }
    }
}

static void attend(struct asked *a)
{
    int most = 0;
    for (int r = 0; r < a->rows.M; r++) most = larger(most, a->rows.keys[r]);
    softmax_begin(&a->softmax, a->rows.M);
    for (int j = 0; j < most; j += KEYS) run_scores(a, j);
    softmax_largest(&a->softmax, a->rows.M);
    for (int j = 0; j < most; j += KEYS) run_values(a, j);
}

/* Queries from the rows of the call, attention, and its results into the rows of the output. */
static void some_attend(struct asked *a, real *out, const real *qkv, struct kv_rows rows,
                        const struct some_rows *s)
{
    const struct dims *d = a->d;
    size_t width = (size_t)head_width(d->D);
    float scale = 1.0f / sqrtf((float)d->D), *to = a->q;
    some_ask(&a->rows, rows, s);
    for (int t = s->t; t < s->t + s->rows; t++, to += (size_t)s->heads * width) {
        const real *q = qkv + (size_t)t * (size_t)dims_qkv(d) + s->head * d->D;
        OP(head_load)(to, q, (size_t)d->D, s->heads, d->D, scale);
    }
    attend(a);
    for (int r = 0; r < a->rows.M; r++) {
        size_t t = (size_t)(s->t + r / s->heads), head = (size_t)(s->head + r % s->heads);
        OP(row_finish)
        (out + (t * (size_t)d->Hq + head) * (size_t)d->D, a->out + (size_t)r * width,
         vec_sum(a->softmax.total[r]), d->D);
    }
}

void OP(attention_cached)(void *out, const void *qkv, const struct kv_layer *kv,
                          struct kv_rows rows, int T, const struct dims *d, void *scratch)
{
    size_t width = (size_t)head_width(d->D);
    struct asked a = {.d = d, .kv = kv, .q = scratch};
    a.out = a.q + QUERIES * width;
    a.wide = a.out + QUERIES * width;
    a.scores = a.wide + KEYS * width;
    for (struct some_rows s = {0}; some_next(&s, rows, T, d);) {
        a.head = s.head / (d->Hq / d->Hkv);
        some_attend(&a, out, qkv, rows, &s);
    }
}
