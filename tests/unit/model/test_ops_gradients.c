/* on each instruction set */
/* Gradients of every operation, of the plain and the best fp32 table, against central differences
 * of a loss written here in double precision from the equations: loss = sum of output * r for fixed
 * random r. */
#include "tests/support/ops_data.h"
#include "tests/support/check_unit.h"

static const struct ops *ops;
static void setup(int i)
{
    ops = ops_find(PRECISION_FP32, i ? NULL : "plain");
}

/* Central difference of f with regard to x[i], at a step that leaves ~1e-9 of error either way. */
static double slope(double (*f)(const double *x, void *ctx), double *x, size_t i, void *ctx)
{
    double at = x[i], h = 1e-5;
    x[i] = at + h;
    double up = f(x, ctx);
    x[i] = at - h;
    double down = f(x, ctx);
    x[i] = at;
    return (up - down) / (2 * h);
}

static void check_gradient(const float *gradient, double (*f)(const double *x, void *ctx),
                           const float *x, size_t n, void *ctx)
{
    double *wide = malloc(n * sizeof *wide);
    for (size_t i = 0; i < n; i++) wide[i] = (double)x[i];
    for (size_t i = 0; i < n; i++) {
        double expect = slope(f, wide, i, ctx);
        ck_assert_double_le(fabs((double)gradient[i] - expect), 3e-5 * (1 + fabs(expect)));
    }
    free(wide);
}

/* What a loss needs beside the variable: the other inputs, and r. */
struct ctx {
    const float *other, *gain, *r;
    int T, N, K;
    int vary; /* which input is x */
};

/* --- linear: inputs x (T,K) or w (N,K) --- */

static double linear_loss(const double *v, void *p)
{
    const struct ctx *c = p;
    double loss = 0;
    for (int t = 0; t < c->T; t++)
        for (int n = 0; n < c->N; n++)
            for (int k = 0; k < c->K; k++) {
                double x = c->vary == 0 ? v[t * c->K + k] : (double)c->other[t * c->K + k];
                double w = c->vary == 1 ? v[n * c->K + k] : (double)c->other[n * c->K + k];
                loss += x * w * (double)c->r[t * c->N + n];
            }
    return loss;
}

START_TEST(linear)
{
    setup(_i);
    enum { T = 5, N = 7, K = 9 };
    float *x = floats_random(T * K, 1, 1.0f), *w = floats_random(N * K, 2, 1.0f);
    float *r = floats_random(T * N, 3, 1.0f), dx[T * K], dw[N * K] = {0}, db[N] = {0};
    struct test_linear l;
    test_linear_make(&l, ops, w, N, K);
    ops->linear_backward_input(dx, false, r, &l.l, T);
    ops->linear_backward_weight(dw, db, r, x, N, K, T);
    check_gradient(dx, linear_loss, x, T * K,
                   &(struct ctx){.other = w, .r = r, .T = T, .N = N, .K = K});
    check_gradient(dw, linear_loss, w, N * K,
                   &(struct ctx){.other = x, .r = r, .T = T, .N = N, .K = K, .vary = 1});
    for (int n = 0; n < N; n++) {
        double sum = 0;
        for (int t = 0; t < T; t++) sum += (double)r[t * N + n];
        ck_assert_double_le(fabs(sum - (double)db[n]), 1e-5);
    }
    arena_free(&l.a);
    free(x);
    free(w);
    free(r);
}
END_TEST

/* --- norm: inputs x (T,K) or gain (K) --- */

static double norm_loss(const double *v, void *p)
{
    const struct ctx *c = p;
    double loss = 0;
    for (int t = 0; t < c->T; t++) {
        double squares = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int k = 0; k < c->K; k++) {
                double x = c->vary == 0 ? v[t * c->K + k] : (double)c->other[t * c->K + k];
                double g = c->vary == 1 ? v[k] : (double)c->gain[k];
                if (pass == 0)
                    squares += x * x;
                else
                    loss += x / sqrt(squares / c->K + 1e-5) * g * (double)c->r[t * c->K + k];
            }
    }
    return loss;
}

START_TEST(norm)
{
    setup(_i);
    enum { T = 4, C = 21 };
    float *x = floats_random(T * C, 1, 1.0f), *gain = floats_random(C, 2, 1.0f);
    float *r = floats_random(T * C, 3, 1.0f), y[T * C], rstd[T], dx[T * C], dgain[C] = {0};
    float zero[T * C] = {0};
    ops->rmsnorm_forward(y, rstd, x, gain, T, C, 1e-5f);
    ops->rmsnorm_backward(dx, dgain, r, x, gain, rstd, zero, T, C);
    struct ctx c = {.other = x, .gain = gain, .r = r, .T = T, .K = C};
    check_gradient(dx, norm_loss, x, T * C, &c);
    c.vary = 1;
    check_gradient(dgain, norm_loss, gain, C, &c);
    free(x);
    free(gain);
    free(r);
}
END_TEST

/* --- SwiGLU: gu (T,2N) --- */

static double swiglu_loss(const double *gu, void *p)
{
    const struct ctx *c = p;
    double loss = 0;
    for (int t = 0; t < c->T; t++)
        for (int f = 0; f < c->N; f++) {
            double g = gu[t * 2 * c->N + f], u = gu[t * 2 * c->N + c->N + f];
            loss += g / (1 + exp(-g)) * u * (double)c->r[t * c->N + f];
        }
    return loss;
}

START_TEST(swiglu)
{
    setup(_i);
    enum { T = 3, F = 19 };
    float *gu = floats_random(T * 2 * F, 1, 4.0f), *r = floats_random(T * F, 2, 1.0f),
          dgu[T * 2 * F];
    ops->swiglu_backward(dgu, r, gu, T, F);
    check_gradient(dgu, swiglu_loss, gu, T * 2 * F, &(struct ctx){.r = r, .T = T, .N = F});
    free(gu);
    free(r);
}
END_TEST

/* --- rope: linear, so its gradient is the transpose, which for a rotation is the inverse --- */

static double rope_loss(const double *x, void *p)
{
    const struct ctx *c = p;
    double loss = 0;
    int half = c->N / 2;
    for (int t = 0; t < c->T; t++)
        for (int i = 0; i < half; i++) {
            const double *v = x + t * c->N;
            const float *r = c->r + t * c->N, *turn = c->other + t * c->N;
            double cosine = (double)turn[i], sine = (double)turn[half + i];
            loss += (v[i] * cosine - v[i + half] * sine) * (double)r[i];
            loss += (v[i + half] * cosine + v[i] * sine) * (double)r[i + half];
        }
    return loss;
}

START_TEST(rope)
{
    setup(_i);
    enum { T = 5, D = 12 };
    int pos[T] = {0, 1, 2, 3, 4};
    float cos_sin[T * D], *x = floats_random(T * D, 1, 1.0f), *r = floats_random(T * D, 2, 1.0f);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < D / 2; i++) {
            cos_sin[t * D + i] = cosf((float)(t * (i + 1)));
            cos_sin[t * D + D / 2 + i] = sinf((float)(t * (i + 1)));
        }
    struct ctx c = {.other = cos_sin, .T = T, .N = D};
    float *dx = malloc(T * D * 4), *same = malloc(T * D * 4);
    memcpy(dx, r, T * D * 4);
    memcpy(same, r, T * D * 4);
    ops->rope(dx, T, D, 1, D, pos, cos_sin, true);
    c.r = same;
    check_gradient(dx, rope_loss, x, T * D, &c);
    free(x);
    free(r);
    free(dx);
    free(same);
}
END_TEST

/* --- router: logits (T,N) of a softmax; K chosen, by `other` (T,K) as numbers; r (T,K) is the
 * gradient of their weights. In the balance of one sequence, `gain` (1) of the loss, how often
 * experts are chosen is a constant. --- */

static double router_loss(const double *z, void *p)
{
    const struct ctx *c = p;
    double loss = 0;
    for (int t = 0; t < c->T; t++) {
        const double *row = z + t * c->N;
        const float *chosen = c->other + t * c->K;
        double sum = 0, picked = 0;
        for (int e = 0; e < c->N; e++) sum += exp(row[e]);
        for (int j = 0; j < c->K; j++) picked += exp(row[(int)chosen[j]]) / sum;
        for (int j = 0; j < c->K; j++)
            loss += (double)c->r[t * c->K + j] * exp(row[(int)chosen[j]]) / sum /
                    (c->vary ? picked : 1);
        for (int e = 0; e < c->N; e++) {
            double f = 0;
            for (int i = 0; i < c->T * c->K; i++) f += (int)c->other[i] == e;
            loss += (double)c->gain[0] * c->N * f / (c->T * c->K) * exp(row[e]) / sum;
        }
    }
    return loss;
}

START_TEST(router)
{
    setup(_i / 2);
    enum { T = 5, E = 6, K = 2 };
    bool normed = _i % 2;
    float *z = floats_random(T * E, 1, 1.0f), *r = floats_random(T * K, 2, 1.0f), prob[T * E];
    float weight[T * K], number[T * K], balance = 0.7f;
    int expert[T * K], count[E];
    static const int begins[] = {0, T};
    for (int t = 0; t < T; t++) {
        double sum = 0;
        for (int e = 0; e < E; e++) sum += exp((double)z[t * E + e]);
        for (int e = 0; e < E; e++) prob[t * E + e] = (float)(exp((double)z[t * E + e]) / sum);
    }
    ops->router_select(weight, expert, prob, T, E, K, normed);
    for (int i = 0; i < T * K; i++) number[i] = (float)expert[i];
    ops->router_backward(prob, &(struct chosen){expert, weight, r}, balance, count,
                         (struct segments){1, begins}, E, K, normed);
    check_gradient(
        prob, router_loss, z, T * E,
        &(struct ctx){
            .other = number, .gain = &balance, .r = r, .T = T, .N = E, .K = K, .vary = normed});
    free(z);
    free(r);
}
END_TEST

/* --- attention: qkv, two sequences --- */

static const struct dims attention_dims = {.Hq = 4, .Hkv = 2, .D = 6, .max_context = 32};
enum { ROWS = 21 };
static const int starts[] = {0, 3, ROWS};

static double query_loss(const double *qkv, int first, int t, int h, const float *r)
{
    const struct dims *d = &attention_dims;
    int width = dims_qkv(d), kv = h / (d->Hq / d->Hkv), D = d->D;
    double p[ROWS], sum = 0, loss = 0;
    for (int j = first; j <= t; j++) {
        double s = 0;
        for (int i = 0; i < D; i++)
            s += qkv[t * width + h * D + i] * qkv[j * width + (d->Hq + kv) * D + i];
        p[j] = exp(s / sqrt(D));
        sum += p[j];
    }
    for (int j = first; j <= t; j++)
        for (int i = 0; i < D; i++)
            loss += p[j] / sum * qkv[j * width + (d->Hq + d->Hkv + kv) * D + i] *
                    (double)r[(t * d->Hq + h) * D + i];
    return loss;
}

static double attention_loss(const double *qkv, void *ctx)
{
    const struct ctx *c = ctx;
    double loss = 0;
    for (int s = 0; s < 2; s++)
        for (int t = starts[s]; t < starts[s + 1]; t++)
            for (int h = 0; h < attention_dims.Hq; h++)
                loss += query_loss(qkv, starts[s], t, h, c->r);
    return loss;
}

START_TEST(attention)
{
    setup(_i);
    const struct dims *d = &attention_dims;
    size_t in = ROWS * (size_t)dims_qkv(d), out = ROWS * (size_t)(d->Hq * d->D);
    struct segments seg = {2, starts};
    float *qkv = floats_random(in, 1, 1.5f), *r = floats_random(out, 2, 1.0f);
    float *y = malloc(out * 4), *dqkv = malloc(in * 4), lse[ROWS * 4];
    void *scratch = malloc(ops->attention_scratch(d, ROWS));
    ops->attention_forward(y, lse, qkv, seg, d, scratch);
    ops->attention_backward(dqkv, r, qkv, y, lse, seg, d, scratch);
    check_gradient(dqkv, attention_loss, qkv, in, &(struct ctx){.r = r});
    void *all[] = {qkv, r, y, dqkv, scratch};
    for (int i = 0; i < 5; i++) free(all[i]);
}
END_TEST

/* --- log-probability: logits (T,N); entropy against its definition --- */

static const int target[] = {0, 12, -1, 22};

static double logprob_loss(const double *z, void *ctx)
{
    const struct ctx *c = ctx;
    double loss = 0;
    for (int t = 0; t < c->T; t++) {
        double sum = 0;
        if (target[t] < 0) continue;
        for (int v = 0; v < c->N; v++) sum += exp(z[t * c->N + v] * 1.5);
        loss += (z[t * c->N + target[t]] * 1.5 - log(sum)) * (double)c->r[t];
    }
    return loss;
}

START_TEST(logprob)
{
    setup(_i);
    enum { T = 4, V = 23 };
    float *z = floats_random(T * V, 1, 3.0f), *r = floats_random(T, 2, 1.0f), dz[T * V], lp[T],
          H[T];
    ops->logprob_backward(dz, r, NULL, z, target, 1.5f, T, V);
    check_gradient(dz, logprob_loss, z, T * V, &(struct ctx){.r = r, .T = T, .N = V});
    ops->logprob_forward(lp, H, NULL, z, target, 1.5f, T, V);
    for (int t = 0; t < T; t++) {
        double sum = 0, entropy = 0;
        for (int v = 0; v < V; v++) sum += exp((double)z[t * V + v] * 1.5);
        for (int v = 0; v < V; v++) {
            double p = exp((double)z[t * V + v] * 1.5) / sum;
            entropy -= p * log(p);
        }
        ck_assert_double_le(fabs((double)H[t] - (target[t] < 0 ? 0 : entropy)), 1e-5);
    }
    free(z);
    free(r);
}
END_TEST

/* --- AdamW: one step from zero moves by lr * sign(gradient), less decay (arXiv 1711.05101,
 * algorithm 2) --- */

START_TEST(adamw_first_step)
{
    setup(_i);
    struct adamw h = {.lr = 0.1f,
                      .beta1 = 0.9f,
                      .beta2 = 0.999f,
                      .weight_decay = 0.5f,
                      .grad_scale = 2.0f,
                      .correction1 = 0.1f,
                      .correction2 = 0.001f};
    float w[3] = {1, -2, 3}, m[3] = {0}, v[3] = {0}, g[3] = {0.3f, -5, 0.001f}, p[3];
    static const float expect[3] = {0.85f, -1.8f, 2.75f};
    ops->adamw_step(p, w, m, v, g, 3, &h);
    for (int i = 0; i < 3; i++) ck_assert_double_le(fabs((double)(p[i] - expect[i])), 1e-5);
    ck_assert_double_le(fabs((double)m[1] + 1.0), 1e-5);
    ck_assert_double_le(fabs((double)v[1] - 0.1), 1e-5);
}
END_TEST

#define TESTS(X)          \
    X(linear, .to = 2)    \
    X(norm, .to = 2)      \
    X(swiglu, .to = 2)    \
    X(rope, .to = 2)      \
    X(router, .to = 4)    \
    X(attention, .to = 2) \
    X(logprob, .to = 2)   \
    X(adamw_first_step, .to = 2)

UNIT_MAIN("ops_gradients")
