#include "trainer/bench/library.h"

#include <string.h>
#include "comm/base/die.h"
#include "model/params.h"
#include "trainer/bench/readings.h"

struct library_weight {
    int N, K, times;
};
enum { WEIGHTS = 8 };

static void weight_add(struct library_weight *w, int *n, struct library_weight one)
{
    int i = 0;
    while (i < *n && (w[i].N != one.N || w[i].K != one.K)) i++;
    INVARIANT(i < WEIGHTS, "more than %d kinds of matrices", WEIGHTS);
    if (i == *n) w[(*n)++] = (struct library_weight){one.N, one.K, 0};
    w[i].times += one.times;
}

/* The matrices that a row meets, and how often; returns how many kinds. */
static int weights_of(struct library_weight *w, const struct dims *d)
{
    struct dims whole = *d;
    struct param_list l;
    int n = 0;
    whole.tp = whole.t = whole.ep = whole.e = 0;
    param_list_make(&l, &whole, chunk_span_of(&whole, 1, 0));
    for (int i = 0; i < l.n; i++) {
        const struct param *p = &l.p[i];
        if (!role_is_packed(p->role) && p->role != ROLE_ROUTER) continue;
        int times = p->role == ROLE_EXPERT ? d->K : 1;
        weight_add(w, &n, (struct library_weight){p->rows / p->stacked, p->cols, times});
    }
    param_list_free(&l);
    return n;
}

double library_parameters(const struct dims *d)
{
    struct library_weight w[WEIGHTS];
    double n = 0;
    int kinds = weights_of(w, d);
    for (int i = 0; i < kinds; i++) n += (double)w[i].N * w[i].K * w[i].times;
    return n;
}

/* The harmonic mean over the model's shapes, weighted by their work, each with its better number of
 * rows. */
double library_rate(const struct dims *d, enum matmul_type type)
{
    static const int rows[] = {256, 1024};
    struct library_weight w[WEIGHTS];
    double work = 0, seconds = 0;
    int kinds = weights_of(w, d);
    for (int i = 0; i < kinds; i++) {
        double best = 0, mine = (double)w[i].N * w[i].K * w[i].times;
        for (int k = 0; k < 2; k++) {
            double rate = matmul_rate(rows[k], w[i].N, w[i].K, type);
            if (rate > best) best = rate;
        }
        work += mine;
        seconds += mine / best;
    }
    return work / seconds;
}

/* Processor seconds of one call for a weight, by blocks as the kernels make them, and how many
 * multiply-adds it makes. */
static double call_processor(const struct library_weight *w, enum matmul_type type, double *work)
{
    enum { CALLS = 8 };
    const struct matmul_shape *s = matmul_shape_get(w->N, w->K, type, false);
    int R = matmul_block(s, MATMUL_FORWARD, 256);
    struct arena a = {0};
    unsigned char *x = NULL, *packed = NULL;
    float *y = NULL;
    for (int placing = 0; placing < 2; placing++) {
        x = arena_take_n(&a, (size_t)R * (size_t)w->K, sizeof(float));
        y = arena_take_n(&a, (size_t)R * (size_t)w->N, sizeof(float));
        packed = arena_take(&a, matmul_packed_bytes(s, MATMUL_FORWARD));
        if (!placing) arena_back(&a, &device_host, a.used);
    }
    matmul_run(y, s, MATMUL_FORWARD, x, packed, R);
    struct spent start = spent_now();
    for (int i = 0; i < CALLS; i++) matmul_run(y, s, MATMUL_FORWARD, x, packed, R);
    double seconds = spent_since(start).processor / CALLS;
    arena_free(&a);
    *work = (double)R * w->N * w->K;
    return seconds;
}

/* As library_rate, by processor time: for machines that other work shares. */
double library_rate_by_processor(const struct dims *d, enum matmul_type type)
{
    struct library_weight w[WEIGHTS];
    double work = 0, seconds = 0;
    int kinds = weights_of(w, d);
    for (int i = 0; i < kinds; i++) {
        double call, each = call_processor(&w[i], type, &call);
        double mine = (double)w[i].N * w[i].K * w[i].times;
        work += mine;
        seconds += mine / call * each;
    }
    return 2e-9 * work / seconds;
}

/* The faster of both types is the upper bound, whatever the model uses. */
enum matmul_type library_choose(const struct ops *ops, const struct dims *d, double *fp32,
                                double *bf16)
{
    *fp32 = library_rate(d, MATMUL_F32);
    *bf16 = 0;
    if (ops->precision != PRECISION_BF16) return MATMUL_F32;
    /* For bf16 the library has kernels for AVX-512, with or without instructions of that type, and
     * for none below. */
    bool has = matmul_type_of_bf16() == MATMUL_BF16 || strcmp(ops->isa, "avx512") == 0 ||
               strcmp(ops->isa, "amx") == 0;
    if (has) *bf16 = library_rate(d, MATMUL_BF16);
    return *bf16 > *fp32 ? MATMUL_BF16 : MATMUL_F32;
}

const char *library_type_name(enum matmul_type type)
{
    return type == MATMUL_BF16 ? "bf16" : "fp32";
}
