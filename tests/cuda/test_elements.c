/* The rows of a GPU's table that go element by element, the optimizer's, and those on logits:
 * against the plain loops, and each row by itself (promise P1). */
#include "tests/cuda/device_rows.h"

#include "comm/base/exact.h"
#include "model/sampling.h"

/* Numbers of elements: in whole spans of eight or not, one block and more. */
static const size_t counts[] = {1, 8, 2047, 2048, 5000};
enum { COUNTS = sizeof counts / sizeof *counts };

START_TEST(sums_and_types)
{
    setup(_i);
    size_t n = counts[_i / PRECISIONS], bytes = n * plain->real_bytes;
    void *a = reals_random(plain, n, 1, 3.0f), *b = reals_random(plain, n, 2, 1.0f);
    void *y = room(n), *y2 = room(n);
    float *f = floats_spread(n, 3, 1.0f), *g = room(n), *g2 = room(n);
    plain->add(y2, a, b, n);
    ops->add(y, a, b, n);
    ck_assert_mem_eq(y, y2, bytes);
    ops->add(a, a, b, n);
    ck_assert_mem_eq(a, y2, bytes);
    ops->to_real(y, f, n);
    plain->to_real(y2, f, n);
    ck_assert_mem_eq(y, y2, bytes);
    ops->to_float(g, y, n);
    plain->to_float(g2, y, n);
    ck_assert_mem_eq(g, g2, n * sizeof *g);
    FREE_ALL(a, b, y, y2, f, g, g2);
}
END_TEST

START_TEST(adamw)
{
    setup(_i);
    size_t n = counts[_i / PRECISIONS];
    struct adamw h = {1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.5f, 0.19f, 0.0975f};
    float *grad = floats_random(n, 1, 1.0f), *square = floats_random(n, 2, 1.0f);
    for (size_t i = 0; i < n; i++) square[i] *= square[i];
    float *master = floats_random(n, 3, 1.0f), *m = floats_random(n, 4, 1.0f);
    float *master2 = floats_random(n, 3, 1.0f), *m2 = floats_random(n, 4, 1.0f);
    float *square2 = room(n);
    void *param = room(n), *param2 = room(n);
    memcpy(square2, square, n * sizeof *square);
    ops->adamw_step(param, master, m, square, grad, n, &h);
    plain->adamw_step(param2, master2, m2, square2, grad, n, &h);
    NEAR_FLOATS(master, master2, n);
    NEAR_FLOATS(m, m2, n);
    NEAR_FLOATS(square, square2, n);
    plain->to_real(param2, master, n);
    ck_assert_mem_eq(param, param2, n * plain->real_bytes);
    FREE_ALL(grad, square, square2, master, master2, m, m2, param, param2);
}
END_TEST

/* Exactly the sum of the plain loop, over all exponents; what cannot be added is counted. */
START_TEST(squares_are_exact)
{
    enum { N = 70000 };
    setup(_i);
    float *x = floats_random(N, 1, 1.0f);
    for (int i = 0; i < N; i++) x[i] = ldexpf(x[i], i % 150 - 135);
    x[0] = 32767.99f; /* just below the limit */
    x[1] = 0x1p-149f;
    for (int broken = 0; broken < 2; broken++) {
        struct exact_sum a = {5, -1, 2}, b = a;
        ops->square_sum(&a, x, N);
        plain->square_sum(&b, x, N);
        ck_assert(a.lo == b.lo && a.hi == b.hi && a.broken == b.broken);
        ck_assert_uint_eq(a.broken, broken ? 5 : 2);
        x[7] = NAN;
        x[8] = -INFINITY;
        x[9] = 32768;
    }
    free(x);
}
END_TEST

/* --- logits --- */

enum { T = 11, INV = 3 };
static const int vocabularies[] = {1, 30, 1024, 2500, 5008};
static const float inv_temps[INV] = {1, 1.25f, 0.5f};
enum { LOGIT_CASES = PRECISIONS * sizeof vocabularies / sizeof *vocabularies };

struct logits {
    int V, target[T];
    size_t n;
    float *z, dlogp[T];
};

/* One row without a target, one whose head is never to be sampled, one of large logits. */
static struct logits logits_made(int V)
{
    struct logits l = {.V = V, .n = (size_t)(T * V)};
    l.z = floats_random(l.n, 1, 8.0f);
    for (int t = 0; t < T; t++) {
        l.target[t] = t == 4 ? -1 : t * 37 % V;
        l.dlogp[t] = (float)(t - 5) / 4;
    }
    for (int v = 0; v < V / 2; v++) l.z[5 * V + v] = -INFINITY;
    for (int v = 0; v < V; v++) l.z[6 * V + v] += 100;
    l.target[5] = V - 1;
    return l;
}

START_TEST(log_probabilities)
{
    setup(_i);
    struct logits l = logits_made(vocabularies[_i / PRECISIONS]);
    float logp[T], entropy[T], logp2[T], entropy2[T], own, H;
    for (int k = 0; k < INV; k++) {
        ops->logprob_forward(logp, entropy, NULL, l.z, l.target, inv_temps[k], T, l.V);
        plain->logprob_forward(logp2, entropy2, NULL, l.z, l.target, inv_temps[k], T, l.V);
        NEAR_FLOATS(logp, logp2, T);
        NEAR_FLOATS(entropy, entropy2, T);
        for (int t = 0; t < T; t++) {
            ops->logprob_forward(&own, &H, NULL, l.z + t * l.V, l.target + t, inv_temps[k], 1, l.V);
            ck_assert(own == logp[t] && H == entropy[t]);
        }
    }
    l.z[0] = NAN;
    ops->logprob_forward(logp, entropy, NULL, l.z, l.target, 1, T, l.V);
    ck_assert(isnan(logp[0]) && isnan(entropy[0]) && !isnan(logp[1]));
    free(l.z);
}
END_TEST

START_TEST(gradients_of_logits)
{
    setup(_i);
    struct logits l = logits_made(vocabularies[_i / PRECISIONS]);
    size_t V = (size_t)l.V, bytes = V * plain->real_bytes;
    void *d = room(l.n), *d2 = room(l.n), *one = room(V);
    ops->logprob_backward(d, l.dlogp, NULL, l.z, l.target, 1.25f, T, l.V);
    plain->logprob_backward(d2, l.dlogp, NULL, l.z, l.target, 1.25f, T, l.V);
    NEAR_REALS(d, d2, l.n);
    for (size_t t = 0; t < T; t++) {
        ops->logprob_backward(one, l.dlogp + t, NULL, l.z + t * V, l.target + t, 1.25f, 1, l.V);
        ck_assert_mem_eq(one, row_at(d, t, V), bytes);
    }
    /* with what the forward row left, the same bits */
    float logp[T], entropy[T], range[2 * T];
    ops->logprob_forward(logp, entropy, range, l.z, l.target, 1.25f, T, l.V);
    ops->logprob_backward(d2, l.dlogp, range, l.z, l.target, 1.25f, T, l.V);
    ck_assert_mem_eq(d, d2, T * bytes);
    FREE_ALL(d, d2, one, l.z);
}
END_TEST

static void *to_gpu(const void *at, size_t bytes)
{
    void *there = gpu->alloc(bytes);
    gpu->copy_in(there, at, bytes);
    return there;
}

/* The gradient over the logits' own memory, half as wide in bf16. */
START_TEST(gradients_in_place)
{
    setup(_i);
    const struct ops *rows = ops_cuda(plain->precision);
    struct logits l = logits_made(vocabularies[_i / PRECISIONS]);
    size_t bytes = l.n * plain->real_bytes;
    float *z = to_gpu(l.z, l.n * sizeof *z), *dlogp = to_gpu(l.dlogp, sizeof l.dlogp);
    int *target = to_gpu(l.target, sizeof l.target);
    void *apart = gpu->alloc(bytes), *a = room(l.n), *b = room(l.n);
    rows->logprob_backward(apart, dlogp, NULL, z, target, 1.25f, T, l.V);
    rows->logprob_backward(z, dlogp, NULL, z, target, 1.25f, T, l.V);
    gpu->copy_out(a, apart, bytes);
    gpu->copy_out(b, z, bytes);
    ck_assert_mem_eq(a, b, bytes);
    gpu->release(z);
    gpu->release(dlogp);
    gpu->release(target);
    gpu->release(apart);
    FREE_ALL(a, b, l.z);
}
END_TEST

/* Rows of drawing take what lies on the GPU: piece by piece, a tail, a NaN that does not count. */
START_TEST(drawing)
{
    enum { V = 3000, GROUP = 32, PIECE = 512, GROUPS = (V + GROUP - 1) / GROUP, PIECES = 6 };
    setup(_i);
    float *z = floats_random(V, 1, 8.0f), most[GROUPS], most2[GROUPS];
    double sum[PIECES], sum2[PIECES], *weight = memory_take(2 * V, sizeof *weight, "a test");
    z[7] = NAN;
    z[8] = -INFINITY;
    float *there = to_gpu(z, V * sizeof *z), *most_there = gpu->alloc(sizeof most);
    double *sum_there = gpu->alloc(sizeof sum), *weight_there = gpu->alloc(V * sizeof *weight);
    gpu_rows->sample_largest(most_there, there, V, GROUP);
    plain->sample_largest(most2, z, V, GROUP);
    gpu->copy_out(most, most_there, sizeof most);
    ck_assert_mem_eq(most, most2, sizeof most);
    gpu_rows->sample_weights(sum_there, weight_there, there, 8, 1.25, V, PIECE);
    plain->sample_weights(sum2, weight + V, z, 8, 1.25, V, PIECE);
    gpu->copy_out(sum, sum_there, sizeof sum);
    gpu->copy_out(weight, weight_there, V * sizeof *weight);
    for (int i = 0; i < PIECES; i++) ck_assert_double_eq_tol(sum[i], sum2[i], 1e-11 * sum2[i]);
    for (int v = 0; v < V; v++)
        ck_assert_double_eq_tol(weight[v], weight[V + v], 1e-11 * weight[V + v] + 1e-300);
    double of = gpu_rows->sample_sum(weight_there, there, 2, V);
    double right = plain->sample_sum(weight + V, z, 2, V);
    ck_assert_double_eq_tol(of, right, 1e-11 * right);
    FREE_ALL(z, weight);
}
END_TEST

/* Whole draws: the host's token or none, and seldom none: where u meets the end of a token's part,
 * with top k or top p, and where nothing is a number. At temperature 0 the lowest of the largest.
 */
START_TEST(whole_draws)
{
    enum { STEP = 5000, DRAWS = 200 };
    static const int counts_of[] = {37, 5000};
    setup(_i);
    const struct ops *host = ops_find(plain->precision, NULL);
    int V = counts_of[_i / PRECISIONS], token[DRAWS], none = 0;
    float *z = memory_take((size_t)DRAWS * STEP, sizeof *z, "a test"),
          *one = floats_random(STEP, 1, 8);
    double u[DRAWS];
    void *scratch = memory_take(sampling_scratch(V), 1, "a test");
    one[7] = NAN, one[8] = -INFINITY, one[20] = one[30] = 9;
    for (int t = 0; t < DRAWS; t++) {
        memcpy(z + (size_t)t * STEP, one, STEP * sizeof *z);
        u[t] = (t + 0.5) / DRAWS;
    }
    u[0] = 0; /* not inside the first token's part by enough */
    float *z_there = to_gpu(z, (size_t)DRAWS * STEP * sizeof *z);
    double *u_there = to_gpu(u, sizeof u);
    int *to = gpu->alloc(sizeof token);
    static const struct sampling ways[] = {
        {1, 0, 1}, {0.7f, 0, 1}, {0, 0, 1}, {1, 5, 1}, {1, 0, 0.5f}};
    for (int k = 0; k < 5; k++) {
        gpu_rows->sample_rows(to, z_there, u_there, &ways[k], DRAWS, STEP, V);
        gpu->copy_out(token, to, sizeof token);
        for (int t = 0; t < DRAWS; t++) {
            int right = sample_token(host, one, V, &ways[k], u[t], scratch);
            ck_assert(token[t] == right || token[t] == -1);
            none += k < 3 && token[t] < 0;
            ck_assert(k < 3 || token[t] == -1);
        }
    }
    ck_assert_int_le(none, 2); /* u = 0, with two temperatures */
    ck_assert_int_ge(none, 1);
    FREE_ALL(z, one, scratch);
}
END_TEST

/* In steps, over a share of a larger vocabulary. */
START_TEST(shares_of_a_vocabulary)
{
    enum { FIRST = 20 };
    setup(_i);
    struct logits l = logits_made(vocabularies[_i / PRECISIONS]);
    float most[T], most2[T], sums[3 * T], sums2[3 * T], logp[T], logp2[T], H[T], H2[T], own[3];
    void *d = room(l.n), *d2 = room(l.n);
    for (int t = 0; t < T; t++) l.target[t] += t % 3 ? FIRST : 0; /* some are another rank's */
    ops->logprob_most(most, l.z, 1.25f, T, l.V);
    plain->logprob_most(most2, l.z, 1.25f, T, l.V);
    ck_assert_mem_eq(most, most2, sizeof most);
    ops->logprob_sums(sums, most, l.z, l.target, FIRST, 1.25f, T, l.V);
    plain->logprob_sums(sums2, most, l.z, l.target, FIRST, 1.25f, T, l.V);
    NEAR_FLOATS(sums, sums2, 3 * T);
    for (int t = 0; t < T; t++) {
        ops->logprob_sums(own, most + t, l.z + t * l.V, l.target + t, FIRST, 1.25f, 1, l.V);
        ck_assert(own[0] == sums[t] && own[1] == sums[T + t] && own[2] == sums[2 * T + t]);
    }
    ops->logprob_join(logp, H, sums2, l.target, T);
    plain->logprob_join(logp2, H2, sums2, l.target, T);
    NEAR_FLOATS(logp, logp2, T);
    NEAR_FLOATS(H, H2, T);
    void *one = room((size_t)l.V);
    ops->logprob_share_backward(d, l.dlogp, sums2, most, l.z, l.target, FIRST, 1.25f, T, l.V);
    plain->logprob_share_backward(d2, l.dlogp, sums2, most, l.z, l.target, FIRST, 1.25f, T, l.V);
    NEAR_REALS(d, d2, l.n);
    for (int t = 0; t < T; t++) { /* each row by itself (P1) */
        float lp, h, top;
        ops->logprob_most(&top, l.z + t * l.V, 1.25f, 1, l.V);
        ck_assert(top == most[t]);
        for (int k = 0; k < 3; k++) own[k] = sums2[k * T + t];
        ops->logprob_join(&lp, &h, own, l.target + t, 1);
        ck_assert(lp == logp[t] && h == H[t]);
        ops->logprob_share_backward(one, l.dlogp + t, own, most + t, l.z + t * l.V, l.target + t,
                                    FIRST, 1.25f, 1, l.V);
        ck_assert_mem_eq(one, row_at(d, (size_t)t, (size_t)l.V), (size_t)l.V * plain->real_bytes);
    }
    FREE_ALL(d, d2, one, l.z);
}
END_TEST

#define TESTS(X)                                 \
    X(sums_and_types, .to = COUNTS * PRECISIONS) \
    X(adamw, .to = COUNTS * PRECISIONS)          \
    X(squares_are_exact, .to = PRECISIONS)       \
    X(log_probabilities, .to = LOGIT_CASES)      \
    X(gradients_of_logits, .to = LOGIT_CASES)    \
    X(gradients_in_place, .to = LOGIT_CASES)     \
    X(drawing, .to = PRECISIONS)                 \
    X(whole_draws, .to = 2 * PRECISIONS)         \
    X(shares_of_a_vocabulary, .to = LOGIT_CASES)

UNIT_MAIN("elements", .timeout_s = 120)
