/* on each instruction set */
/* Every operation of every table that this machine can run, in both precisions, against the plain
 * loops; those on logits: test_ops_logits.c. */
#include "comm/base/rng.h"
#include "tests/support/ops_tables.h"

static void linear_case(int N, int K, int T, bool with_bias)
{
    size_t n = (size_t)N, k = (size_t)K, t = (size_t)T;
    void *w = reals_random(ops, n * k, 1, 0.3f), *x = reals_random(ops, t * k, 2, 0.5f);
    void *dy = reals_random(ops, t * n, 3, 0.5f), *bias = reals_random(ops, n, 4, 1.0f);
    void *y = malloc(t * n * 4), *y2 = malloc(t * n * 4), *dx = malloc(t * k * 4),
         *dx2 = malloc(t * k * 4);
    float *dw = floats_random(n * k, 5, 1.0f), *dw2 = floats_random(n * k, 5, 1.0f);
    float *db = floats_random(n, 6, 1.0f), *db2 = floats_random(n, 6, 1.0f);
    struct test_linear a, b;
    test_linear_make(&a, ops, w, N, K);
    test_linear_make(&b, plain, w, N, K);

    ops->linear_forward(y, false, x, &a.l, with_bias ? bias : NULL, T);
    plain->linear_forward(y2, false, x, &b.l, with_bias ? bias : NULL, T);
    NEAR_REALS(y, y2, t * n);
    ops->linear_forward(y, true, x, &a.l, with_bias ? bias : NULL, T);
    plain->linear_forward(y2, true, x, &b.l, with_bias ? bias : NULL, T);
    ck_assert_double_le(worst_error(y, y2, t * n), 1e-4); /* not rounded in either precision */
    ops->linear_backward_input(dx, false, dy, &a.l, T);
    plain->linear_backward_input(dx2, false, dy, &b.l, T);
    NEAR_REALS(dx, dx2, t * k);
    ops->linear_backward_weight(dw, db, dy, x, N, K, T);
    plain->linear_backward_weight(dw2, db2, dy, x, N, K, T);
    ck_assert_double_le(worst_error(dw, dw2, n * k), 1e-4);
    ck_assert_double_le(worst_error(db, db2, n), 1e-4);

    void *all[] = {w, x, dy, bias, y, y2, dx, dx2, dw, dw2, db, db2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    arena_free(&a.a);
    arena_free(&b.a);
}

START_TEST(linear)
{
    if (!setup(_i)) return;
    linear_case(48, 32, 5, true);
    linear_case(7, 11, 70, false);
    linear_case(130, 96, 300, true);
    linear_case(96, 600, 17, false);
}
END_TEST

START_TEST(embedding)
{
    if (!setup(_i)) return;
    enum { T = 9, C = 37, V = 11 };
    void *table = reals_random(ops, V * C, 1, 1.0f), *dx = reals_random(ops, T * C, 2, 1.0f);
    int token[T];
    for (int t = 0; t < T; t++) token[t] = t * 7 % V;
    float x[T * C], x2[T * C], d[V * C] = {0}, d2[V * C] = {0};
    /* all of the vocabulary; tokens 4 to 6 of it */
    for (int part = 0; part < 2; part++) {
        struct share own = part ? (struct share){4, 3} : (struct share){0, V};
        memset(x, 1, sizeof x);
        ops->embed_forward(x, table, token, own, T, C);
        plain->embed_forward(x2, table, token, own, T, C);
        ck_assert_mem_eq(x, x2, T * C * ops->real_bytes);
        for (int t = 0; t < T; t++) {
            int row = token[t] - own.first;
            static const char zeros[C * sizeof(float)];
            bool mine = row >= 0 && row < own.n;
            const char *expect = (char *)table + (size_t)(mine ? row * C : 0) * ops->real_bytes;
            ck_assert_mem_eq((char *)x + (size_t)(t * C) * ops->real_bytes, mine ? expect : zeros,
                             C * ops->real_bytes);
        }
        ops->embed_backward(d, dx, token, own, T, C);
        plain->embed_backward(d2, dx, token, own, T, C);
        ck_assert_mem_eq(d, d2, sizeof d);
    }
    free(table);
    free(dx);
}
END_TEST

START_TEST(moves)
{
    if (!setup(_i)) return;
    enum { T = 5, C = 7, K = 3, STEP = 40, BYTES = 24 };
    unsigned char from[T * STEP], to[T * STEP], to2[T * STEP];
    for (int i = 0; i < T * STEP; i++) from[i] = (unsigned char)(i * 7 + 1);
    for (int dense = 0; dense < 2; dense++) {
        size_t step = dense ? BYTES : STEP;
        memset(to, 0, sizeof to);
        memset(to2, 0, sizeof to2);
        ops->copy_rows(to, step, from, STEP - 8, T, BYTES);
        plain->copy_rows(to2, step, from, STEP - 8, T, BYTES);
        ck_assert_mem_eq(to, to2, sizeof to);
        for (size_t t = 0; t < T; t++) {
            ck_assert_mem_eq(to + t * step, from + t * (STEP - 8), BYTES);
            if (!dense) ck_assert_int_eq(to[t * step + BYTES], 0);
        }
    }
    ops->copy_rows(to, BYTES, from, BYTES, T, BYTES);
    ck_assert_mem_eq(to, from, T * BYTES);
    int at[T * K];
    for (int i = 0; i < T * K; i++) at[i] = i * 4 % (T * K);
    char *x = reals_random(ops, T * C, 1, 1.0f), y[T * K * C * 4], y2[T * K * C * 4];
    size_t row = C * ops->real_bytes;
    ops->scatter_rows(y, at, x, T, C, K);
    plain->scatter_rows(y2, at, x, T, C, K);
    ck_assert_mem_eq(y, y2, T * K * row);
    for (int i = 0; i < T * K; i++)
        ck_assert_mem_eq(y + (size_t)at[i] * row, x + (size_t)(i / K) * row, row);
    free(x);
}
END_TEST

/* Some heads of wider rows; between them nothing is touched. */
START_TEST(rmsnorm_of_heads)
{
    if (!setup(_i)) return;
    enum { T = 4, HEADS = 3, D = 21, STRIDE = HEADS * D + 10, STATISTICS = HEADS + 2 };
    struct head_rows h = {T, HEADS, D, STRIDE, STATISTICS};
    void *x = reals_random(ops, T * STRIDE, 1, 2.0f), *gain = reals_random(ops, D, 2, 1.5f);
    void *dy = reals_random(ops, T * STRIDE, 3, 1.0f);
    float y[T * STRIDE] = {0}, y2[T * STRIDE] = {0}, rstd[T * STATISTICS] = {0};
    float rstd2[T * STATISTICS] = {0}, dgain[D] = {0}, dgain2[D] = {0};
    ops->rmsnorm_heads_forward(y, rstd, x, gain, h, 1e-5f);
    plain->rmsnorm_heads_forward(y2, rstd2, x, gain, h, 1e-5f);
    NEAR_REALS(y, y2, T * STRIDE);
    NEAR_FLOATS(rstd, rstd2, T * STATISTICS);
    /* row 2, by the op for rows */
    size_t at = 2 * STRIDE * ops->real_bytes;
    float one[HEADS * D], one_rstd[HEADS];
    ops->rmsnorm_forward(one, one_rstd, (char *)x + at, gain, HEADS, D, 1e-5f);
    ck_assert_mem_eq(one, (char *)y + at, HEADS * D * ops->real_bytes);
    ck_assert_mem_eq(one_rstd, rstd + 2 * STATISTICS, sizeof one_rstd);
    ops->rmsnorm_heads_backward(y, dgain, dy, x, gain, rstd2, h);
    plain->rmsnorm_heads_backward(y2, dgain2, dy, x, gain, rstd2, h);
    NEAR_REALS(y, y2, T * STRIDE);
    NEAR_FLOATS(dgain, dgain2, D);
    free(x);
    free(gain);
    free(dy);
}
END_TEST

START_TEST(rmsnorm)
{
    if (!setup(_i)) return;
    enum { T = 6, C = 133 };
    void *x = reals_random(ops, T * C, 1, 2.0f), *gain = reals_random(ops, C, 2, 1.5f);
    void *dy = reals_random(ops, T * C, 3, 1.0f), *carry = reals_random(ops, T * C, 4, 1.0f);
    float y[T * C], y2[T * C], rstd[T], rstd2[T];
    float *dgain = floats_random(C, 5, 1.0f), *dgain2 = floats_random(C, 5, 1.0f);
    ops->rmsnorm_forward(y, rstd, x, gain, T, C, 1e-5f);
    plain->rmsnorm_forward(y2, rstd2, x, gain, T, C, 1e-5f);
    NEAR_REALS(y, y2, T * C);
    NEAR_FLOATS(rstd, rstd2, T);
    for (int with = 0; with < 2; with++) {
        ops->rmsnorm_backward(y, with ? dgain : NULL, dy, x, gain, rstd2, with ? carry : NULL, T,
                              C);
        plain->rmsnorm_backward(y2, with ? dgain2 : NULL, dy, x, gain, rstd2, with ? carry : NULL,
                                T, C);
        NEAR_REALS(y, y2, T * C);
        NEAR_FLOATS(dgain, dgain2, C);
    }
    /* in place: dx over carry */
    ops->rmsnorm_backward(carry, NULL, dy, x, gain, rstd2, carry, T, C);
    NEAR_REALS(carry, y2, T * C);
    void *all[] = {x, gain, dy, carry, dgain, dgain2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}
END_TEST

START_TEST(swiglu_and_add)
{
    if (!setup(_i)) return;
    enum { T = 5, F = 77 };
    void *gu = reals_random(ops, T * 2 * F, 1, 6.0f), *dy = reals_random(ops, T * F, 2, 1.0f);
    float y[2 * T * F], y2[2 * T * F];
    ops->swiglu_forward(y, gu, T, F);
    plain->swiglu_forward(y2, gu, T, F);
    NEAR_REALS(y, y2, T * F);
    ops->swiglu_backward(y, dy, gu, T, F);
    plain->swiglu_backward(y2, dy, gu, T, F);
    NEAR_REALS(y, y2, 2 * T * F);
    ops->swiglu_backward(gu, dy, gu, T, F); /* in place */
    NEAR_REALS(gu, y2, 2 * T * F);
    ops->add(y, gu, dy, T * F);
    plain->add(y2, gu, dy, T * F);
    ck_assert_mem_eq(y, y2, T * F * ops->real_bytes);
    free(gu);
    free(dy);
}
END_TEST

/* 21 experts and 3 choices of a row, of which row 4 takes two of the same rows as row 3 does. */
START_TEST(experts)
{
    if (!setup(_i)) return;
    enum { T = 6, C = 53, E = 21, K = 3 };
    void *x = reals_random(ops, T * C, 1, 1.0f), *w = reals_random(ops, E * C, 2, 1.0f);
    void *rows = reals_random(ops, T * K * C, 3, 1.0f), *dy = reals_random(ops, T * C, 4, 1.0f);
    float *weight = floats_random(T * K, 5, 1.0f), *dlogits = floats_random(T * E, 6, 1.0f);
    int at[T * K];
    for (int i = 0; i < T * K; i++) at[i] = i * 7 % (T * K);
    float a[T * K * C], b[T * K * C], da[T * K], db[T * K];
    ops->router_forward(a, x, w, T, C, E);
    plain->router_forward(b, x, w, T, C, E);
    ck_assert_double_le(worst_error(a, b, T * E), 2e-5);
    ops->router_backward_input(a, rows, at, dlogits, w, T, C, E, K);
    plain->router_backward_input(b, rows, at, dlogits, w, T, C, E, K);
    NEAR_REALS(a, b, T * C);
    float *dw = floats_random(E * C, 7, 1.0f), *dw2 = floats_random(E * C, 7, 1.0f);
    ops->router_backward_weight(dw, dlogits, x, T, C, E);
    plain->router_backward_weight(dw2, dlogits, x, T, C, E);
    ck_assert_double_le(worst_error(dw, dw2, E * C), 2e-5);
    ops->combine_forward(a, x, rows, at, weight, T, C, K);
    plain->combine_forward(b, x, rows, at, weight, T, C, K);
    NEAR_REALS(a, b, T * C);
    ops->combine_backward(a, da, dy, rows, at, weight, T, C, K);
    plain->combine_backward(b, db, dy, rows, at, weight, T, C, K);
    ck_assert_mem_eq(a, b, T * K * C * ops->real_bytes);
    ck_assert_double_le(worst_error(da, db, T * K), 2e-5);
    ops->combine_backward(rows, da, dy, rows, at, weight, T, C, K); /* in place */
    ck_assert_mem_eq(rows, b, T * K * C * ops->real_bytes);
    ck_assert_double_le(worst_error(da, db, T * K), 2e-5);
    void *all[] = {x, w, rows, dy, weight, dlogits, dw, dw2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}
END_TEST

/* Both tables have one text here; what it says is held against the definition. */
START_TEST(choices)
{
    if (!setup(_i)) return;
    enum { T = 9, E = 7, K = 3 };
    float *prob = floats_random(T * E, 1, 0.5f), weight[T * K];
    int expert[T * K], at[T * K], start[E + 1], count[E];
    for (int i = 0; i < T * E; i++) prob[i] = floorf(8 * (prob[i] + 0.5f)) / 8; /* with equals */
    for (int normed = 0; normed < 2; normed++) {
        ops->router_select(weight, expert, prob, T, E, K, normed);
        for (int t = 0; t < T; t++) {
            const float *p = prob + t * E;
            float sum = 0;
            for (int j = 0; j < K; j++) sum += p[expert[t * K + j]];
            for (int j = 0; j < K; j++) {
                int mine = expert[t * K + j], before = 0;
                for (int e = 0; e < E; e++)
                    before += p[e] > p[mine] || (p[e] == p[mine] && e < mine);
                ck_assert_int_eq(before, j);
                ck_assert_float_eq(weight[t * K + j], normed ? p[mine] / sum : p[mine]);
            }
        }
    }
    ops->router_sort(at, start, expert, T * K, E);
    for (int i = 0; i < T * K; i++) {
        int before = 0;
        for (int k = 0; k < T * K; k++)
            before += expert[k] < expert[i] || (expert[k] == expert[i] && k < i);
        ck_assert_int_eq(at[i], before);
        ck_assert(start[expert[i]] <= at[i] && at[i] < start[expert[i] + 1]);
    }
    static const int begins[] = {0, 4, T};
    uint64_t chosen[E] = {5};
    struct exact_sum balance = {0};
    double expect = 0;
    ops->router_load(chosen, &balance, count, prob, expert, (struct segments){2, begins}, E, K);
    for (int s = 0; s < 2; s++)
        for (int e = 0; e < E; e++) {
            double rows = begins[s + 1] - begins[s], f = 0, P = 0;
            for (int i = begins[s] * K; i < begins[s + 1] * K; i++) f += expert[i] == e;
            for (int t = begins[s]; t < begins[s + 1]; t++) P += (double)prob[t * E + e];
            expect += rows * E * (f / (rows * K)) * (P / rows);
            chosen[e] -= (uint64_t)f;
        }
    ck_assert_double_eq_tol(exact_value(&balance), expect, 1e-9);
    for (int e = 0; e < E; e++) ck_assert_uint_eq(chosen[e], e == 0 ? 5 : 0);
    free(prob);
}
END_TEST

START_TEST(rope)
{
    if (!setup(_i)) return;
    enum { T = 7, D = 24, HEADS = 3, STRIDE = 100 };
    int pos[T] = {0, 1, 2, 0, 9, 30, 31};
    float cos_sin[32 * D];
    for (int p = 0; p < 32; p++)
        for (int i = 0; i < D / 2; i++) {
            float angle = (float)p * powf(100.0f, -2.0f * (float)i / D);
            cos_sin[p * D + i] = cosf(angle);
            cos_sin[p * D + D / 2 + i] = sinf(angle);
        }
    void *x = reals_random(ops, T * STRIDE, 1, 1.0f), *x2 = reals_random(ops, T * STRIDE, 1, 1.0f);
    void *before = reals_random(ops, T * STRIDE, 1, 1.0f);
    ops->rope(x, T, STRIDE, HEADS, D, pos, cos_sin, false);
    plain->rope(x2, T, STRIDE, HEADS, D, pos, cos_sin, false);
    NEAR_REALS(x, x2, T * STRIDE);
    ops->rope(x, T, STRIDE, HEADS, D, pos, cos_sin, true);
    NEAR_REALS(x, before, T * STRIDE);
    free(x);
    free(x2);
    free(before);
}
END_TEST

static void attention_case(int Hq, int Hkv, int D, const int *start, int n)
{
    struct dims d = {.Hq = Hq, .Hkv = Hkv, .D = D, .max_context = 1200};
    struct segments seg = {n, start};
    size_t T = (size_t)start[n], in = T * (size_t)dims_qkv(&d), out = T * (size_t)(Hq * D);
    size_t bytes = ops->attention_scratch(&d, (int)T),
           bytes2 = plain->attention_scratch(&d, (int)T);
    void *scratch = malloc(bytes > bytes2 ? bytes : bytes2);
    void *qkv = reals_random(ops, in, 1, 2.0f), *dout = reals_random(ops, out, 2, 1.0f);
    void *o = malloc(out * 4), *o2 = malloc(out * 4), *dqkv = malloc(in * 4),
         *dqkv2 = malloc(in * 4);
    float *lse = malloc(T * (size_t)Hq * 4), *lse2 = malloc(T * (size_t)Hq * 4);
    ops->attention_forward(o, lse, qkv, seg, &d, scratch);
    plain->attention_forward(o2, lse2, qkv, seg, &d, scratch);
    NEAR_REALS(o, o2, out);
    NEAR_FLOATS(lse, lse2, T * (size_t)Hq);
    ops->attention_backward(dqkv, dout, qkv, o2, lse2, seg, &d, scratch);
    plain->attention_backward(dqkv2, dout, qkv, o2, lse2, seg, &d, scratch);
    /* bf16: delta comes from the rounded output, so the error is one of the output, not of the
     * gradient */
    ck_assert_double_le(worst_real_error(ops, dqkv, dqkv2, in), 2 * tolerance);
    void *all[] = {scratch, qkv, dout, o, o2, dqkv, dqkv2, lse, lse2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

START_TEST(attention)
{
    if (!setup(_i)) return;
    attention_case(4, 2, 16, (const int[]){0, 50}, 1);
    attention_case(2, 2, 10, (const int[]){0, 1, 18, 33, 97}, 4);
    attention_case(6, 1, 64, (const int[]){0, 16, 48}, 2);
    attention_case(20, 1, 8, (const int[]){0, 33}, 1);
    /* on both sides of blocks of queries and runs of keys (model/cpu/attention.h) */
    attention_case(3, 1, 80, (const int[]){0, 64, 129, 130, 193}, 4);
    attention_case(7, 1, 128, (const int[]){0, 130}, 1);
    attention_case(2, 1, 16, (const int[]){0, 65, 193}, 2);
    /* and of blocks of keys, and of those that stay near (model/cpu/amx) */
    attention_case(2, 1, 32, (const int[]){0, 390}, 1);
    attention_case(1, 1, 16, (const int[]){0, 1100}, 1);
}
END_TEST

START_TEST(adamw)
{
    if (!setup(_i)) return;
    enum { N = 101 };
    struct adamw h = {.lr = 0.01f,
                      .beta1 = 0.9f,
                      .beta2 = 0.95f,
                      .eps = 1e-8f,
                      .weight_decay = 0.1f,
                      .grad_scale = 0.5f};
    float *w = floats_random(N, 1, 1.0f), *w2 = floats_random(N, 1, 1.0f);
    float m[N] = {0}, m2[N] = {0}, v[N] = {0}, v2[N] = {0}, p[N], p2[N];
    for (int step = 1; step <= 5; step++) {
        float *g = floats_random(N, (unsigned)step + 1, 1.0f);
        h.correction1 = 1 - powf(h.beta1, (float)step);
        h.correction2 = 1 - powf(h.beta2, (float)step);
        ops->adamw_step(p, w, m, v, g, N, &h);
        plain->adamw_step(p2, w2, m2, v2, g, N, &h);
        ck_assert_double_le(worst_error(w, w2, N), 1e-6);
        ck_assert_double_le(worst_error(m, m2, N), 1e-6);
        ck_assert_double_le(worst_error(v, v2, N), 1e-6);
        NEAR_REALS(p, p2, N);
        free(g);
    }
    free(w);
    free(w2);
}
END_TEST

/* Terms of which each is a fourth of the one before, in either order, to the last bit; a NaN stays.
 */
START_TEST(squares)
{
    if (!setup(_i)) return;
    enum { N = 24 }; /* the sum has 53 places */
    float x[N];
    double expected = 0;
    for (int i = 0; i < N; i++) expected += (i % 2 ? 9 : 16) * ldexp(1, SQUARE_BITS - 2 * i);
    for (int turned = 0; turned < 2; turned++) {
        struct exact_sum sum = {0};
        for (int i = 0; i < N; i++) x[turned ? N - 1 - i : i] = ldexpf(i % 2 ? 3 : -4, -i);
        for (int part = 0; part < N; part += 10)
            ops->square_sum(&sum, x + part, N - part < 10 ? (size_t)(N - part) : 10);
        ck_assert(exact_value(&sum) == expected);
    }
    struct exact_sum broken = {0};
    x[7] = NAN;
    ops->square_sum(&broken, x, N);
    ck_assert(isnan(exact_value(&broken)));
}
END_TEST

/* Floats of any bits, of exponents from `low` up to `high`; every seventh is short, so that its
 * square lies halfway between multiples of 2^-64 now and then. */
static void floats_between(float *x, int n, int low, int high)
{
    for (int i = 0; i < n; i++) {
        struct rng_at at = {.purpose = RNG_TEST, .position = (uint32_t)i};
        uint32_t bits = rng_below(11, at, 1u << 24), exponent = (uint32_t)(low + 127);
        exponent += rng_below(12, at, (uint32_t)(high - low + 1));
        if (i % 7 == 0) bits &= 1u << 23 | 7u << 20;
        bits = (bits & 1u << 23) << 8 | exponent << 23 | (bits & 0x7fffffu);
        memcpy(&x[i], &bits, sizeof bits);
    }
}

/* However many at a time, from the smallest denormal to infinity and NaN: what exact_add makes of
 * each square, to the last bit of the sum's 128. The last row is of 2^-42, whose squares are half
 * of what a sum can tell apart. */
START_TEST(squares_of_all_sizes)
{
    static const int ranges[][2] = {{-127, 128}, {-127, 127}, {-127, 8}, {-60, 8},
                                    {-43, -41},  {7, 10},     {-20, 15}, {-42, -42}};
    enum { N = 5000 };
    static float x[N];
    if (!setup(_i / 8)) return;
    floats_between(x, N, ranges[_i % 8][0], ranges[_i % 8][1]);
    for (int n = 0; n <= N; n = n < 40 ? n + 1 : n * 5 / 4 + 3) {
        struct exact_sum sum = {.lo = 5, .hi = -1}, expected = sum;
        for (int i = 0; i < n; i++) {
            double v = (double)x[N - n + i];
            exact_add(&expected, v * v * (1 << SQUARE_BITS));
        }
        ops->square_sum(&sum, x + N - n, (size_t)n);
        if (memcmp(&sum, &expected, sizeof sum) != 0)
            ck_abort_msg("2^%d to 2^%d, %d of them", ranges[_i % 8][0], ranges[_i % 8][1], n);
    }
}
END_TEST

/* Known roundings to bf16: ties to even, overflow to infinity, NaN kept; and back. */
START_TEST(conversion)
{
    if (!setup(_i) || ops->precision != PRECISION_BF16) return;
    static const struct {
        uint32_t in;
        uint16_t out;
    } cases[] = {{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82},
                 {0x3f808001, 0x3f81}, {0x7f7fffff, 0x7f80}, {0x7f800001, 0x7fc0},
                 {0xff800000, 0xff80}, {0x80000001, 0x8000}, {0x00018000, 0x0002}};
    enum { N = 9, COPIES = 5 };
    float in[N * COPIES];
    uint16_t out[N * COPIES];
    for (int i = 0; i < N * COPIES; i++) memcpy(&in[i], &cases[i % N].in, 4);
    ops->to_real(out, in, N * COPIES);
    for (int i = 0; i < N * COPIES; i++) ck_assert_uint_eq(out[i], cases[i % N].out);
    ops->to_float(in, out, N * COPIES);
    for (int i = 0; i < N * COPIES; i++) {
        uint32_t u;
        memcpy(&u, &in[i], 4);
        ck_assert_uint_eq(u, (uint32_t)cases[i % N].out << 16);
    }
}
END_TEST

#define TESTS(X)                              \
    X(linear, .to = TABLES)                   \
    X(embedding, .to = TABLES)                \
    X(moves, .to = TABLES)                    \
    X(rmsnorm_of_heads, .to = TABLES)         \
    X(choices, .to = TABLES)                  \
    X(rmsnorm, .to = TABLES)                  \
    X(swiglu_and_add, .to = TABLES)           \
    X(experts, .to = TABLES)                  \
    X(rope, .to = TABLES)                     \
    X(attention, .to = TABLES)                \
    X(adamw, .to = TABLES)                    \
    X(squares, .to = TABLES)                  \
    X(squares_of_all_sizes, .to = 8 * TABLES) \
    X(conversion, .to = TABLES)

UNIT_MAIN("ops_table", .timeout_s = 60)
