/* on each instruction set */
/* Promise P1: an output row depends, bit for bit, on its own inputs only. Every operation's rows
 * are compared with the same rows computed in other company: other row counts, other positions,
 * other packings, or one by one from the cache. */
#include "tests/support/ops_data.h"
#include "tests/support/check_unit.h"

static const struct ops *ops;

/* _i / 2 picks the table, _i % 2 the precision. */
static bool setup(int i)
{
    ops = ops_find(i % 2 ? PRECISION_BF16 : PRECISION_FP32, test_isas[i / 2]);
    return ops != NULL;
}

/* --- linear layers --- */

enum { MOST = 70, BIG = 300 };

/* Row r of a call must be row first + r of `all`, for the last T of MOST rows. */
static void linear_rows(const struct linear *l, const char *x, const char *all, char *y, int T,
                        bool forward, bool y_float)
{
    int in = forward ? l->K : l->N, out = forward ? l->N : l->K, first = MOST - T;
    size_t out_bytes = (size_t)out * (y_float ? sizeof(float) : ops->real_bytes);
    const char *from = x + (size_t)first * (size_t)in * ops->real_bytes;
    if (forward)
        ops->linear_forward(y, y_float, from, l, NULL, T);
    else
        ops->linear_backward_input(y, false, from, l, T);
    for (int r = 0; r < T; r++)
        ck_assert_msg(memcmp(y + (size_t)r * out_bytes, all + (size_t)(first + r) * out_bytes,
                             out_bytes) == 0,
                      "%s N %d K %d: row %d of %d differs from row %d of many", ops->name, l->N,
                      l->K, r, T, first + r);
}

static void linear_case(int N, int K, bool forward, bool y_float)
{
    int in = forward ? K : N, out = forward ? N : K;
    bool large = (size_t)N * (size_t)K > 200000;
    int step = N * K > 10000 ? 3 : 1;
    void *w = reals_spread(ops, (size_t)N * (size_t)K, 1, 0.3f);
    void *x = reals_spread(ops, (size_t)in * BIG, 2, 1.0f);
    char *all = malloc((size_t)out * BIG * 4), *y = malloc((size_t)out * BIG * 4);
    struct test_linear t;
    test_linear_make(&t, ops, w, N, K);
    if (forward)
        ops->linear_forward(all, y_float, x, &t.l, NULL, BIG);
    else
        ops->linear_backward_input(all, false, x, &t.l, BIG);
    for (int T = 1; T <= MOST; T += large ? 23 : step)
        linear_rows(&t.l, x, all, y, T, forward, y_float);
    arena_free(&t.a);
    free(w);
    free(x);
    free(all);
    free(y);
}

/* The data are worth their name: of sums that short, and of bf16, another order still shows in
 * every fifth. */
START_TEST(data_show_the_order)
{
    enum { K = 32, SUMS = 2000 };
    ops = ops_find(_i ? PRECISION_BF16 : PRECISION_FP32, "base");
    void *w = reals_spread(ops, K * SUMS, 1, 0.3f), *x = reals_spread(ops, K * SUMS, 2, 1.0f);
    float *a = floats_of(ops, w, K * SUMS), *b = floats_of(ops, x, K * SUMS);
    int differ = 0;
    for (int i = 0; i < SUMS; i++) {
        volatile float up = 0, down = 0;
        for (int k = 0; k < K; k++) {
            up = up + a[i * K + k] * b[i * K + k];
            down = down + a[i * K + K - 1 - k] * b[i * K + K - 1 - k];
        }
        differ += up != down;
    }
    ck_assert_int_gt(differ, SUMS / 5);
    void *all[] = {w, x, a, b};
    for (int i = 0; i < 4; i++) free(all[i]);
}
END_TEST

static const int shapes[][2] = {{384, 128}, {128, 344},  {688, 128},  {64, 128},   {8, 32},
                                {128, 128}, {2048, 512}, {512, 2048}, {1024, 4864}};

static void linear_all(void)
{
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        linear_case(shapes[s][0], shapes[s][1], true, s % 2);
        linear_case(shapes[s][0], shapes[s][1], false, false);
    }
}

/* The library's own choice of kernels for this machine */
START_TEST(linear_best)
{
    ops = ops_find(_i ? PRECISION_BF16 : PRECISION_FP32, NULL);
    linear_all();
}
END_TEST

/* and what it would take on lesser ones. */
START_TEST(linear_limited)
{
    setenv("DUET_ISA", _i / 2 ? "base" : "avx2", 1);
    ops = ops_find(_i % 2 ? PRECISION_BF16 : PRECISION_FP32, NULL);
    if (ops)
        for (int s = 0; s < 4; s++)
            for (int forward = 0; forward < 2; forward++)
                linear_case(shapes[s][0], shapes[s][1], forward, false);
}
END_TEST

/* bf16 both ways, whatever the processor has (with AVX-512 it may emulate) */
START_TEST(linear_bf16)
{
    setenv("DUET_BF16", _i ? "native" : "widen", 1);
    ops = ops_find(PRECISION_BF16, NULL);
    if (!ops) return; /* oneDNN has none here */
    for (int s = 0; s < 7; s++)
        for (int forward = 0; forward < 2; forward++)
            linear_case(shapes[s][0], shapes[s][1], forward, false);
}
END_TEST

/* The weight gradient of T rows is that of the same rows followed by rows without a gradient; and
 * the same twice. */
START_TEST(linear_weight)
{
    if (!setup(_i)) return;
    enum { N = 40, K = 72, T = 300 };
    void *dy = reals_spread(ops, N * T, 1, 1.0f), *x = reals_spread(ops, K * T, 2, 1.0f);
    memset((char *)dy + 280 * N * ops->real_bytes, 0, 20 * N * ops->real_bytes);
    float *a = calloc(N * K, 4), *b = calloc(N * K, 4), *c = calloc(N * K, 4), db[N];
    ops->linear_backward_weight(a, db, dy, x, N, K, T);
    ops->linear_backward_weight(b, db, dy, x, N, K, T);
    ops->linear_backward_weight(c, db, dy, x, N, K, 280);
    ck_assert_mem_eq(a, b, N * K * 4);
    ck_assert_mem_eq(a, c, N * K * 4);
    void *all[] = {dy, x, a, b, c};
    for (int i = 0; i < 5; i++) free(all[i]);
}
END_TEST

/* --- rows of the other operations, one by one --- */

START_TEST(row_wise)
{
    if (!setup(_i)) return;
    enum { T = 9, C = 85 };
    size_t b = ops->real_bytes;
    char *x = reals_spread(ops, T * 2 * C, 1, 3.0f), *dy = reals_spread(ops, T * C, 2, 1.0f);
    char *gain = reals_spread(ops, C, 3, 1.0f);
    char y[T * 2 * C * 4], one[2 * C * 4];
    float rstd[T], r;
    ops->rmsnorm_forward(y, rstd, x, gain, T, C, 1e-6f);
    for (size_t t = 0; t < T; t++) {
        ops->rmsnorm_forward(one, &r, x + t * C * b, gain, 1, C, 1e-6f);
        ck_assert_mem_eq(one, y + t * C * b, C * b);
        ck_assert(r == rstd[t]);
    }
    ops->rmsnorm_backward(y, NULL, dy, x, gain, rstd, NULL, T, C);
    for (size_t t = 0; t < T; t++) {
        ops->rmsnorm_backward(one, NULL, dy + t * C * b, x + t * C * b, gain, &rstd[t], NULL, 1, C);
        ck_assert_mem_eq(one, y + t * C * b, C * b);
    }
    /* as heads of 17 within rows of C: every row alone */
    enum { HEADS = 4, D = 17 };
    float all_rstd[T * HEADS], one_rstd[HEADS];
    ops->rmsnorm_heads_forward(y, all_rstd, x, gain, (struct head_rows){T, HEADS, D, C, HEADS},
                               1e-6f);
    for (size_t t = 0; t < T; t++) {
        ops->rmsnorm_heads_forward(one, one_rstd, x + t * C * b, gain,
                                   (struct head_rows){1, HEADS, D, C, HEADS}, 1e-6f);
        ck_assert_mem_eq(one, y + t * C * b, HEADS * D * b);
        ck_assert_mem_eq(one_rstd, all_rstd + t * HEADS, sizeof one_rstd);
    }
    ops->swiglu_forward(y, x, T, C);
    for (size_t t = 0; t < T; t++) {
        ops->swiglu_forward(one, x + t * 2 * C * b, 1, C);
        ck_assert_mem_eq(one, y + t * C * b, C * b);
    }
    ops->swiglu_backward(y, dy, x, T, C);
    for (size_t t = 0; t < T; t++) {
        ops->swiglu_backward(one, dy + t * C * b, x + t * 2 * C * b, 1, C);
        ck_assert_mem_eq(one, y + t * 2 * C * b, 2 * C * b);
    }
    free(x);
    free(dy);
    free(gain);
}
END_TEST

START_TEST(experts)
{
    if (!setup(_i)) return;
    enum { T = 7, C = 85, E = 19, K = 2 };
    size_t b = ops->real_bytes;
    char *x = reals_spread(ops, T * C, 1, 1.0f), *w = reals_spread(ops, E * C, 2, 1.0f);
    char *rows = reals_spread(ops, T * K * C, 3, 1.0f);
    float *weight = floats_spread(T * K, 4, 1.0f), prob[T * E], one_prob[E];
    float *dlogits = floats_spread(T * E, 5, 1.0f), dweight[T * K], one_dweight[K];
    int at[T * K];
    for (int i = 0; i < T * K; i++) at[i] = i * 5 % (T * K);
    char y[T * C * 4], dx[T * C * 4], drows[T * K * C * 4], one_drows[T * K * C * 4], one[C * 4];
    ops->router_forward(prob, x, w, T, C, E);
    ops->combine_forward(y, x, rows, at, weight, T, C, K);
    ops->combine_backward(drows, dweight, x, rows, at, weight, T, C, K);
    ops->router_backward_input(dx, rows, at, dlogits, w, T, C, E, K);
    float chosen_weight[T * K], one_weight[K];
    int expert[T * K], one_expert[K];
    ops->router_select(chosen_weight, expert, prob, T, E, K, true);
    for (size_t t = 0; t < T; t++) {
        ops->router_select(one_weight, one_expert, prob + t * E, 1, E, K, true);
        ck_assert_mem_eq(one_weight, chosen_weight + t * K, sizeof one_weight);
        ck_assert_mem_eq(one_expert, expert + t * K, sizeof one_expert);
        const char *row = x + t * C * b;
        ops->router_forward(one_prob, row, w, 1, C, E);
        ck_assert_mem_eq(one_prob, prob + t * E, sizeof one_prob);
        ops->combine_forward(one, row, rows, at + t * K, weight + t * K, 1, C, K);
        ck_assert_mem_eq(one, y + t * C * b, C * b);
        ops->router_backward_input(one, rows, at + t * K, dlogits + t * E, w, 1, C, E, K);
        ck_assert_mem_eq(one, dx + t * C * b, C * b);
        ops->combine_backward(one_drows, one_dweight, row, rows, at + t * K, weight + t * K, 1, C,
                              K);
        ck_assert_mem_eq(one_dweight, dweight + t * K, sizeof one_dweight);
    }
    ck_assert_mem_eq(one_drows + (size_t)at[T * K - 1] * C * b,
                     drows + (size_t)at[T * K - 1] * C * b, C * b);
    void *all[] = {x, w, rows, weight, dlogits};
    for (int i = 0; i < 5; i++) free(all[i]);
}
END_TEST

START_TEST(logprob)
{
    if (!setup(_i)) return;
    enum { T = 7, V = 71 };
    float *z = floats_spread(T * V, 1, 5.0f), *dlogp = floats_spread(T, 2, 1.0f);
    int target[T] = {3, 70, -1, 0, 64, 15, 16};
    float lp[T], H[T], a, h;
    char dz[T * V * 4], one[V * 4];
    ops->logprob_forward(lp, H, NULL, z, target, 1.25f, T, V);
    ops->logprob_backward(dz, dlogp, NULL, z, target, 1.25f, T, V);
    for (size_t t = 0; t < T; t++) {
        ops->logprob_forward(&a, &h, NULL, z + t * V, target + t, 1.25f, 1, V);
        ck_assert(a == lp[t] && h == H[t]);
        ops->logprob_backward(one, dlogp + t, NULL, z + t * V, target + t, 1.25f, 1, V);
        ck_assert_mem_eq(one, dz + t * V * ops->real_bytes, V * ops->real_bytes);
    }
    free(z);
    free(dlogp);
}
END_TEST

/* --- attention --- */

/* Lengths on both sides of a strip, a block of queries and a run of keys (attention.h). */
enum { LENGTHS = 6, LONGEST = 150, PACKED = 1 + 16 + 17 + 45 + 64 + LONGEST };
static const int start[LENGTHS + 1] = {0, 1, 17, 34, 79, 143, PACKED};
static const struct dims heads[] = {{.Hq = 4, .Hkv = 2, .D = 16, .max_context = LONGEST},
                                    {.Hq = 3, .Hkv = 1, .D = 10, .max_context = LONGEST},
                                    {.Hq = 2, .Hkv = 2, .D = 64, .max_context = LONGEST},
                                    {.Hq = 18, .Hkv = 1, .D = 8, .max_context = LONGEST},
                                    {.Hq = 10, .Hkv = 2, .D = 80, .max_context = LONGEST},
                                    {.Hq = 7, .Hkv = 1, .D = 128, .max_context = LONGEST}};
enum { HEADS = sizeof heads / sizeof *heads };

/* Forward and backward of a packed micro-batch, kept for comparison. */
struct packed {
    const struct dims *d;
    size_t in, out; /* bytes of a row of qkv, of out */
    char *qkv, *dout, *y, *dqkv;
    float *lse;
    void *scratch;
};

static void packed_make(struct packed *p, const struct dims *d)
{
    size_t b = ops->real_bytes, qkv = (size_t)dims_qkv(d), out = (size_t)(d->Hq * d->D);
    *p = (struct packed){.d = d, .in = qkv * b, .out = out * b};
    p->qkv = reals_spread(ops, PACKED * qkv, 1, 2.0f);
    p->dout = reals_spread(ops, PACKED * out, 2, 1.0f);
    p->y = malloc(PACKED * p->out);
    p->dqkv = malloc(PACKED * p->in);
    p->lse = malloc(PACKED * (size_t)d->Hq * 4);
    p->scratch = malloc(ops->attention_scratch(d, PACKED));
    struct segments seg = {LENGTHS, start};
    ops->attention_forward(p->y, p->lse, p->qkv, seg, d, p->scratch);
    ops->attention_backward(p->dqkv, p->dout, p->qkv, p->y, p->lse, seg, d, p->scratch);
}

static void packed_free(struct packed *p)
{
    void *all[] = {p->qkv, p->dout, p->y, p->dqkv, p->lse, p->scratch};
    for (int i = 0; i < 6; i++) free(all[i]);
}

/* Each sequence alone gives the bits it gave among the others. */
START_TEST(attention_packed)
{
    if (!setup(_i)) return;
    for (int c = 0; c < HEADS; c++) {
        struct packed p;
        packed_make(&p, &heads[c]);
        char *y = malloc(PACKED * p.out), *dqkv = malloc(PACKED * p.in);
        float *lse = malloc(PACKED * (size_t)p.d->Hq * 4);
        for (int s = 0; s < LENGTHS; s++) {
            size_t at = (size_t)start[s], n = (size_t)start[s + 1] - at;
            int alone[] = {0, (int)n};
            struct segments seg = {1, alone};
            ops->attention_forward(y, lse, p.qkv + at * p.in, seg, p.d, p.scratch);
            ck_assert_mem_eq(y, p.y + at * p.out, n * p.out);
            ck_assert_mem_eq(lse, p.lse + at * (size_t)p.d->Hq, n * (size_t)p.d->Hq * 4);
            ops->attention_backward(dqkv, p.dout + at * p.out, p.qkv + at * p.in, y, lse, seg, p.d,
                                    p.scratch);
            ck_assert_mem_eq(dqkv, p.dqkv + at * p.in, n * p.in);
        }
        free(y);
        free(dqkv);
        free(lse);
        packed_free(&p);
    }
}
END_TEST

/* Causality: a prefix gives the bits of the whole's first rows. */
START_TEST(attention_prefix)
{
    if (!setup(_i)) return;
    for (int c = 0; c < HEADS; c++) {
        struct packed p;
        packed_make(&p, &heads[c]);
        size_t last = (size_t)start[LENGTHS - 1];
        char *y = malloc(LONGEST * p.out), *whole = p.y + last * p.out;
        for (int n = 1; n <= LONGEST; n++) {
            int alone[] = {0, n};
            ops->attention_forward(y, p.lse, p.qkv + last * p.in, (struct segments){1, alone}, p.d,
                                   p.scratch);
            ck_assert_mem_eq(y, whole, (size_t)n * p.out);
        }
        free(y);
        packed_free(&p);
    }
}
END_TEST

/* A cache whose unused memory is NaN, with sequence s in blocks s, s+6, s+12, ... */
enum { BLOCKS = 10 };
struct cached {
    struct kv_layer kv;
    int table[LENGTHS][BLOCKS];
};

static void cached_make(struct cached *k, const struct dims *d)
{
    size_t bytes = LENGTHS * BLOCKS * ops->kv_block_bytes(d);
    k->kv.pool = malloc(bytes);
    memset(k->kv.pool, 0xff, bytes);
    for (int s = 0; s < LENGTHS; s++)
        for (int b = 0; b < BLOCKS; b++) k->table[s][b] = s + b * LENGTHS;
}

/* Stores and attends the given packed rows in one call; they must give the bits of the packed
 * forward. */
static void cached_rows(struct cached *k, const struct packed *p, const int *row, int T)
{
    char *qkv = calloc((size_t)T + 1, p->in), *y = calloc((size_t)T + 1, p->out);
    int pos[PACKED];
    const int *table[PACKED];
    for (int t = 0; t < T; t++) {
        int s = 0;
        while (row[t] >= start[s + 1]) s++;
        pos[t] = row[t] - start[s];
        table[t] = k->table[s];
        memcpy(qkv + (size_t)t * p->in, p->qkv + (size_t)row[t] * p->in, p->in);
    }
    struct kv_rows rows = {pos, table};
    ops->kv_store(&k->kv, qkv, rows, T, p->d);
    ops->attention_cached(y, qkv, &k->kv, rows, T, p->d, p->scratch);
    for (int t = 0; t < T; t++)
        ck_assert_mem_eq(y + (size_t)t * p->out, p->y + (size_t)row[t] * p->out, p->out);
    free(qkv);
    free(y);
}

/* Prefill of all sequences up to a cut, in one call, then the rest a token of every sequence at a
 * time. */
START_TEST(attention_cached)
{
    if (!setup(_i)) return;
    static const int cuts[] = {0, 1, 7, 16, 17, 40, 65, LONGEST};
    for (int c = 0; c < HEADS; c++)
        for (int i = 0; i < 8; i++) {
            struct packed p;
            struct cached k;
            int row[PACKED], T = 0;
            packed_make(&p, &heads[c]);
            cached_make(&k, p.d);
            for (int r = 0, s = 0; r < PACKED; r++) {
                while (r >= start[s + 1]) s++;
                if (r - start[s] < cuts[i]) row[T++] = r;
            }
            cached_rows(&k, &p, row, T);
            for (int at = cuts[i]; at < LONGEST; at++) {
                T = 0;
                for (int s = LENGTHS - 1; s >= 0; s--)
                    if (start[s] + at < start[s + 1]) row[T++] = start[s] + at;
                cached_rows(&k, &p, row, T);
            }
            free(k.kv.pool);
            packed_free(&p);
        }
}
END_TEST

/* Answers of several lengths whose first `shared` blocks are those of one prompt, as far as they
 * fill them. Their last rows in one call, in several orders, are the rows of a packed forward; what
 * no table holds is NaN. */
enum { ANSWERS = 5 };
static const int answer[ANSWERS + 1] = {0, 150, 221, 285, 430, 447}; /* 150, 71, 64, 145, 17 rows */

static int answer_length(int i)
{
    return answer[i + 1] - answer[i];
}

/* Answer i's rows into its blocks, which `table` gets. */
static void answer_store(struct kv_layer *kv, int *table, int i, int shared, const char *qkv,
                         const struct dims *d)
{
    size_t bytes = (size_t)dims_qkv(d) * ops->real_bytes;
    for (int b = 0; b < BLOCKS; b++)
        table[b] = b < shared && (b + 1) * KV_BLOCK <= answer_length(i) ? b : b + (i + 1) * BLOCKS;
    for (int t = 0; t < answer_length(i); t++) {
        const int *blocks = table;
        struct kv_rows rows = {&t, &blocks};
        ops->kv_store(kv, qkv + (size_t)(answer[i] + t) * bytes, rows, 1, d);
    }
}

static void answers_case(const struct dims *d, int shared, int turn)
{
    size_t all = (size_t)answer[ANSWERS], in = (size_t)dims_qkv(d) * ops->real_bytes;
    size_t out = (size_t)(d->Hq * d->D) * ops->real_bytes;
    size_t bytes = (ANSWERS + 1) * BLOCKS * ops->kv_block_bytes(d);
    char *qkv = reals_spread(ops, all * (size_t)dims_qkv(d), 1, 2.0f), *y = malloc(all * out);
    char *last = malloc(ANSWERS * in), *got = malloc(ANSWERS * out);
    void *lse = malloc(all * (size_t)d->Hq * 4),
         *scratch = malloc(ops->attention_scratch(d, (int)all));
    struct kv_layer kv = {.pool = malloc(bytes)};
    int blocks[ANSWERS][BLOCKS], pos[ANSWERS];
    const int *table[ANSWERS];
    memset(kv.pool, 0xff, bytes);
    for (int t = 0; t < ANSWERS; t++) {
        int i = (t * 2 + turn) % ANSWERS, n = answer_length(i), prompt = shared * KV_BLOCK;
        memmove(qkv + (size_t)answer[i] * in, qkv, (size_t)(n < prompt ? n : prompt) * in);
        answer_store(&kv, blocks[t], i, shared, qkv, d);
        table[t] = blocks[t];
        pos[t] = n - 1;
        memcpy(last + (size_t)t * in, qkv + (size_t)(answer[i] + n - 1) * in, in);
    }
    ops->attention_forward(y, lse, qkv, (struct segments){ANSWERS, answer}, d, scratch);
    ops->attention_cached(got, last, &kv, (struct kv_rows){pos, table}, ANSWERS, d, scratch);
    for (int t = 0; t < ANSWERS; t++) {
        int i = (t * 2 + turn) % ANSWERS;
        ck_assert_mem_eq(got + (size_t)t * out, y + (size_t)(answer[i + 1] - 1) * out, out);
    }
    void *none[] = {qkv, y, last, got, lse, scratch, kv.pool};
    for (int i = 0; i < 7; i++) free(none[i]);
}

START_TEST(attention_shared)
{
    if (!setup(_i)) return;
    for (int c = 0; c < HEADS; c++)
        for (int shared = 0; shared <= BLOCKS; shared++)
            answers_case(&heads[c], shared, shared % ANSWERS);
}
END_TEST

#define TESTS(X)                                   \
    X(data_show_the_order, .to = 2)                \
    X(linear_best, .to = 2)                        \
    X(linear_limited, .to = 4)                     \
    X(linear_bf16, .to = 2)                        \
    X(linear_weight, .to = 2 * TEST_ISAS)          \
    X(row_wise, .to = 2 * TEST_ISAS)               \
    X(experts, .to = 2 * TEST_ISAS)                \
    X(logprob, .to = 2 * TEST_ISAS)                \
    X(attention_packed, .to = 2 * TEST_ISAS)       \
    X(attention_prefix, .to = 2 * (TEST_ISAS - 1)) \
    X(attention_cached, .to = 2 * (TEST_ISAS - 1)) \
    X(attention_shared, .to = 2 * (TEST_ISAS - 1))

UNIT_MAIN("P1: rows", .timeout_s = 120)
