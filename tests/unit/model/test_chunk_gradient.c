/* Every element of every gradient against central differences, with the load-balance loss where
 * there are experts. The differences are taken of a forward pass written here again in double, in
 * the plainest loops and with nothing of the chunk but its table of names, so their own error is
 * near 1e-9; the chunk's fp32 gradient must be within 2e-5 of each tensor's largest element. */
#include <stdio.h>

#include "tests/support/tiny_model.h"
#include "tests/support/check_unit.h"

enum { MAX_WIDTH = 64, MAX_ROWS = TINY_ROWS };
static const double TURN = 6.283185307179586;

struct reference {
    const struct dims *d;
    const struct param_list *list;
    double *w; /* flat as the list */
};

static const double *tensor(const struct reference *r, int layer, const char *name)
{
    char full[48];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "layers.%d.%s", layer, name);
    const struct param *p = param_find(r->list, full);
    return p ? r->w + p->offset : NULL;
}

static void norm(double *y, const double *x, const double *gain, int n, double eps)
{
    double squares = 0;
    for (int i = 0; i < n; i++) squares += x[i] * x[i];
    for (int i = 0; i < n; i++) y[i] = x[i] / sqrt(squares / n + eps) * gain[i];
}

static void matvec(double *y, const double *w, const double *x, int N, int K)
{
    for (int n = 0; n < N; n++) {
        y[n] = 0;
        for (int k = 0; k < K; k++) y[n] += w[n * K + k] * x[k];
    }
}

static double limit(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* The part of pair i's frequency that stays when the others are divided by rope.factor; llama3 by
 * wavelength, yarn by turns in the original context. */
static double staying(const struct dims *d, int i)
{
    const struct rope *r = &d->rope;
    double theta = (double)d->rope_theta,
           turns = r->original * pow(theta, -2.0 * i / d->D) / (TURN);
    if (r->scaling == ROPE_NONE) return 1;
    if (r->scaling == ROPE_LLAMA3) return limit((turns - r->low) / (r->high - r->low));
    double from = d->D * log(r->original / (TURN * r->fast)) / (2 * log(theta));
    double to = d->D * log(r->original / (TURN * r->slow)) / (2 * log(theta));
    return 1 - limit((i - fmax(from, 0)) / (to - fmax(from, 0)));
}

static void rotate(double *x, const struct dims *d, int pos)
{
    int D = d->D;
    for (int i = 0; i < D / 2; i++) {
        double stays = staying(d, i), by = d->rope.scaling == ROPE_YARN ? d->rope.attention : 1;
        double f = pow((double)d->rope_theta, -2.0 * i / D);
        if (d->rope.scaling != ROPE_NONE) f *= stays + (1 - stays) / d->rope.factor;
        double a = x[i], b = x[i + D / 2], c = by * cos(pos * f), s = by * sin(pos * f);
        x[i] = a * c - b * s;
        x[i + D / 2] = b * c + a * s;
    }
}

/* One row of queries, keys and values. */
static void project(const struct reference *r, int layer, double *qkv, const double *x, int pos)
{
    const struct dims *d = r->d;
    const double *bias = tensor(r, layer, "bqkv");
    double n1[MAX_WIDTH] = {0};
    norm(n1, x, tensor(r, layer, "norm1"), d->C, d->norm_eps);
    matvec(qkv, tensor(r, layer, "wqkv"), n1, dims_qkv(d), d->C);
    for (int i = 0; bias && i < dims_qkv(d); i++) qkv[i] += bias[i];
    for (int h = 0; h < d->Hq + d->Hkv; h++) {
        double *head = qkv + h * d->D;
        const double *gain = tensor(r, layer, h < d->Hq ? "q_norm" : "k_norm");
        if (gain) norm(head, head, gain, d->D, d->norm_eps);
        rotate(head, d, pos);
    }
}

/* out (D) of query head h at row t, keys from row `first` on */
static void attend(const struct dims *d, double *out, double qkv[][MAX_WIDTH], int h, int first,
                   int t)
{
    int k = (d->Hq + h / (d->Hq / d->Hkv)) * d->D, v = k + d->Hkv * d->D;
    double p[MAX_ROWS] = {0}, sum = 0;
    for (int j = first; j <= t; j++) {
        double score = 0;
        for (int i = 0; i < d->D; i++) score += qkv[t][h * d->D + i] * qkv[j][k + i];
        sum += p[j] = exp(score / sqrt(d->D));
    }
    for (int i = 0; i < d->D; i++) {
        out[i] = 0;
        for (int j = first; j <= t; j++) out[i] += p[j] / sum * qkv[j][v + i];
    }
}

/* The weights of an FFN or of an expert; biases NULL: none. */
struct mlp {
    const double *wgu, *bgu, *wdown, *bdown;
    int C, F;
};

/* x += weight * (down . swiglu(gu . n2 + bgu) + bdown) */
static void swiglu(double *x, const double *n2, const struct mlp *m, double weight)
{
    double gu[2 * MAX_WIDTH] = {0}, h[MAX_WIDTH] = {0}, y[MAX_WIDTH] = {0};
    int C = m->C, F = m->F;
    matvec(gu, m->wgu, n2, 2 * F, C);
    for (int i = 0; m->bgu && i < 2 * F; i++) gu[i] += m->bgu[i];
    for (int i = 0; i < F; i++) h[i] = gu[i] / (1 + exp(-gu[i])) * gu[F + i];
    matvec(y, m->wdown, h, C, F);
    for (int i = 0; i < C; i++) x[i] += weight * (y[i] + (m->bdown ? m->bdown[i] : 0));
}

static void ffn(const struct reference *r, int layer, double *x)
{
    const struct dims *d = r->d;
    double n2[MAX_WIDTH] = {0};
    norm(n2, x, tensor(r, layer, "norm2"), d->C, d->norm_eps);
    const struct mlp m = {tensor(r, layer, "wgu"),
                          tensor(r, layer, "bgu"),
                          tensor(r, layer, "wdown"),
                          tensor(r, layer, "bdown"),
                          d->C,
                          d->F};
    swiglu(x, n2, &m, 1);
}

enum { MAX_EXPERTS = 8 };

/* The experts of one row; counts what it chose, and leaves the probabilities. */
static void experts(const struct reference *r, int layer, double *x, double *prob, double *count)
{
    const struct dims *d = r->d;
    double n2[MAX_WIDTH] = {0}, sum = 0, kept = 0;
    const double *gu = tensor(r, layer, "experts_wgu"), *down = tensor(r, layer, "experts_wdown");
    bool taken[MAX_EXPERTS] = {false};
    norm(n2, x, tensor(r, layer, "norm2"), d->C, d->norm_eps);
    matvec(prob, tensor(r, layer, "router"), n2, d->E, d->C);
    for (int e = 0; e < d->E; e++) sum += prob[e] = exp(prob[e]);
    for (int e = 0; e < d->E; e++) prob[e] /= sum;
    for (int e = 0; e < d->E; e++) { /* taken: fewer than K are more probable */
        int better = 0;
        for (int o = 0; o < d->E; o++) better += prob[o] > prob[e] || (prob[o] == prob[e] && o < e);
        taken[e] = better < d->K;
        if (taken[e]) kept += prob[e];
    }
    for (int e = 0; e < d->E; e++)
        if (taken[e]) {
            count[e]++;
            const struct mlp m = {
                gu + e * 2 * d->Fe * d->C, NULL, down + e * d->C * d->Fe, NULL, d->C, d->Fe};
            swiglu(x, n2, &m, prob[e] / (d->route_norm ? kept : 1));
        }
}

/* Returns rows * E * (sum of f * P), f and P of the sequence that owns rows [from, to). */
static double experts_of_sequence(const struct reference *r, int layer, double x[][MAX_WIDTH],
                                  int from, int to)
{
    double count[MAX_EXPERTS] = {0}, total[MAX_EXPERTS] = {0}, prob[MAX_EXPERTS] = {0}, sum = 0;
    for (int t = from; t < to; t++) {
        experts(r, layer, x[t], prob, count);
        for (int e = 0; e < r->d->E; e++) total[e] += prob[e];
    }
    double n = to - from;
    for (int e = 0; e < r->d->E; e++) sum += count[e] / (n * r->d->K) * (total[e] / n);
    return n * r->d->E * sum;
}

/* The FFN half of all rows; returns what it adds to the load's balance. */
static double halves(const struct reference *r, int layer, double x[][MAX_WIDTH],
                     const struct rows *rows)
{
    double balance = 0;
    if (!dims_moe(r->d, layer))
        for (int t = 0; t < rows->T; t++) ffn(r, layer, x[t]);
    else
        for (int s = 0; s < rows->seg.n; s++)
            balance += experts_of_sequence(r, layer, x, rows->seg.start[s], rows->seg.start[s + 1]);
    return balance;
}

static double block(const struct reference *r, int layer, double x[][MAX_WIDTH],
                    const struct rows *rows)
{
    const struct dims *d = r->d;
    const double *bias = tensor(r, layer, "bo");
    double qkv[MAX_ROWS][MAX_WIDTH] = {{0}}, att[MAX_WIDTH] = {0}, y[MAX_WIDTH] = {0};
    for (int t = 0; t < rows->T; t++) project(r, layer, qkv[t], x[t], rows->pos[t]);
    for (int t = 0; t < rows->T; t++) {
        for (int h = 0; h < d->Hq; h++) attend(d, att + h * d->D, qkv, h, t - rows->pos[t], t);
        matvec(y, tensor(r, layer, "wo"), att, d->C, d->Hq * d->D);
        for (int i = 0; i < d->C; i++) x[t][i] += y[i] + (bias ? bias[i] : 0);
    }
    return halves(r, layer, x, rows);
}

static double loss_of(const struct reference *r, const struct tiny_batch *b)
{
    const struct dims *d = r->d;
    double x[MAX_ROWS][MAX_WIDTH] = {{0}}, nf[MAX_WIDTH] = {0}, logits[MAX_WIDTH] = {0}, loss = 0;
    int T = b->rows.T;
    for (int t = 0; t < T; t++)
        for (int i = 0; i < d->C; i++) x[t][i] = tensor(r, -1, "embed")[b->token[t] * d->C + i];
    for (int layer = 0; layer < d->L; layer++)
        loss += (double)b->balance * block(r, layer, x, &b->rows);
    for (int t = 0; t < T; t++) {
        double sum = 0, inv = (double)b->head.inv_temperature;
        if (b->target[t] < 0) continue;
        norm(nf, x[t], tensor(r, -1, "norm_f"), d->C, d->norm_eps);
        if (b->head.scalar) {
            double score = 0;
            matvec(&score, tensor(r, -1, "score"), nf, 1, d->C);
            loss -= tiny_loss_weight(t) / T * score;
            continue;
        }
        matvec(logits, tensor(r, -1, "head"), nf, d->V, d->C);
        for (int v = 0; v < d->V; v++) sum += exp(logits[v] * inv);
        loss -= tiny_loss_weight(t) / T * (logits[b->target[t]] * inv - log(sum));
    }
    return loss;
}

static double difference(struct reference *r, const struct tiny_batch *b, size_t i)
{
    double w = r->w[i], h = 1e-5;
    r->w[i] = w + h;
    double up = loss_of(r, b);
    r->w[i] = w - h;
    double down = loss_of(r, b);
    r->w[i] = w;
    return (up - down) / (2 * h);
}

static void check_tensor(struct reference *r, const struct tiny_batch *b, const struct param *p,
                         const float *grad)
{
    double largest = 0, worst = 0;
    for (size_t i = 0; i < p->n; i++) {
        double d = difference(r, b, p->offset + i);
        largest = fmax(largest, fabs(d));
        worst = fmax(worst, fabs(d - (double)grad[p->offset + i]));
    }
    if (b->head.scalar && p->role == ROLE_HEAD) { /* the other head has no part in it */
        ck_assert_double_eq(largest, 0);
        for (size_t i = 0; i < p->n; i++) ck_assert_float_eq(grad[p->offset + i], 0);
        return;
    }
    ck_assert_msg(largest > 1e-4, "%s: a gradient of %g tests nothing", p->name, largest);
    ck_assert_msg(worst <= 2e-5 * largest, "%s: off by %g of %g", p->name, worst, largest);
}

/* Small enough for some thousand forward passes. The tied head has its own copy and its own
 * gradient, so it is checked like any other tensor. */
static const struct dims SMALL[] = {
    DIMS(11, 2, 8, 10, 4, 2, 4, .max_context = 8, .rope_theta = 50, .norm_eps = 1e-5f),
    DIMS(11, 2, 8, 10, 3, 1, 4, .max_context = 8, .rope_theta = 50, .norm_eps = 1e-5f,
         .qkv_bias = true),
    DIMS(11, 2, 8, 10, 2, 2, 6, .max_context = 8, .rope_theta = 50, .norm_eps = 1e-5f,
         .qk_norm = true, .tied = true),
    DIMS(11, 1, 8, 10, 4, 2, 2, .max_context = 8, .rope_theta = 50, .norm_eps = 1e-5f,
         .qkv_bias = true, .qk_norm = true),
    DIMS(11, 2, 8, 10, 2, 1, 4, .E = 5, .K = 2, .Fe = 6, .first_dense = 1, .route_norm = true,
         .max_context = 8, .rope_theta = 50, .norm_eps = 1e-5f),
    DIMS(11, 2, 8, 0, 2, 1, 4, .E = 4, .K = 3, .Fe = 6, .max_context = 8, .rope_theta = 50,
         .norm_eps = 1e-5f),
    DIMS(11, 1, 8, 10, 2, 1, 8, .max_context = 8, .rope_theta = 50, .norm_eps = 1e-5f,
         .qkv_bias = true, .o_bias = true,
         .rope = {ROPE_LLAMA3, .factor = 4, .original = 16, .low = 1, .high = 3}),
    DIMS(
        11, 2, 8, 10, 2, 1, 8, .max_context = 8, .rope_theta = 50, .norm_eps = 1e-5f,
        .mlp_bias = true,
        .rope = {ROPE_YARN, .factor = 4, .original = 16, .fast = 2, .slow = 0.5, .attention = 1.2}),
    DIMS(11, 3, 8, 10, 2, 1, 4, .E = 4, .K = 2, .Fe = 6, .expert_layers = {2, {0}},
         .mlp_bias = true, .max_context = 8, .rope_theta = 50, .norm_eps = 1e-5f),
    DIMS(11, 2, 8, 10, 3, 1, 4, .max_context = 8, .rope_theta = 50, .norm_eps = 1e-5f,
         .score = true),
    DIMS(11, 2, 8, 10, 2, 1, 4, .E = 5, .K = 2, .Fe = 6, .first_dense = 1, .tied = true,
         .max_context = 8, .rope_theta = 50, .norm_eps = 1e-5f, .score = true),
};
enum { MODELS = sizeof SMALL / sizeof *SMALL };

START_TEST(gradients_equal_differences)
{
    static const int start[] = {0, 5, 6, 10};
    struct tiny_model m;
    struct tiny_batch b;
    tiny_model_make(&m, &SMALL[_i], ops_find(PRECISION_FP32, "plain"), 1, TINY_ROWS, true);
    tiny_batch_make(&b, &m.d, 0);
    b.balance = 0.02f;
    b.head.scalar = m.d.score;
    b.rows.T = 10;
    b.rows.seg = (struct segments){3, start};
    for (int s = 0; s < 3; s++)
        for (int t = start[s]; t < start[s + 1]; t++) b.pos[t] = t - start[s];
    tiny_run(&m, PASS_F, 0, &b);
    tiny_run(&m, PASS_BW, 0, &b);

    struct reference r = {.d = &m.d, .list = chunk_params(m.chunk[0])};
    r.w = calloc(r.list->total, sizeof *r.w);
    for (int i = 0; i < r.list->n; i++)
        for (size_t e = 0; e < r.list->p[i].n; e++)
            r.w[r.list->p[i].offset + e] = (double)tiny_weight(&r.list->p[i], e);
    uint64_t chosen[TINY_CHOSEN];
    struct exact_sum balance;
    chunk_load(m.chunk[0], chosen, &balance);
    ck_assert_double_eq_tol(loss_of(&r, &b), b.loss + (double)b.balance * exact_value(&balance),
                            1e-5);
    for (int i = 0; i < r.list->n; i++) check_tensor(&r, &b, &r.list->p[i], m.grad[0]);
    free(r.w);
    tiny_model_free(&m);
}
END_TEST

#define TESTS(X) X(gradients_equal_differences, .to = MODELS)

UNIT_MAIN("chunk_gradient", .timeout_s = 60)
