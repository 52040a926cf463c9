/* The machine's own rate: the matrix library alone, on this model's weights. */
#include "trainer/bench/bench.h"

#include <string.h>

struct weight {
    int N, K, times;
};
enum { WEIGHTS = 5 };

static void weights_of(struct weight *w, const struct dims *d)
{
    const struct weight all[WEIGHTS] = {{dims_qkv(d), d->C, d->L},
                                        {d->C, d->Hq * d->D, d->L},
                                        {2 * d->F, d->C, d->L},
                                        {d->C, d->F, d->L},
                                        {d->V, d->C, 1}};
    memcpy(w, all, sizeof all);
}

double bench_matrix_parameters(const struct dims *d)
{
    struct weight w[WEIGHTS];
    double n = 0;
    weights_of(w, d);
    for (int i = 0; i < WEIGHTS; i++) n += (double)w[i].N * w[i].K * w[i].times;
    return n;
}

double library_rate(const struct dims *d, enum matmul_type type)
{
    static const int rows[] = {256, 1024};
    struct weight w[WEIGHTS];
    double work = 0, seconds = 0;
    weights_of(w, d);
    for (int i = 0; i < WEIGHTS; i++) {
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

enum matmul_type library_choose(const struct ops *ops, const struct dims *d, double *fp32,
                                double *bf16)
{
    *fp32 = library_rate(d, MATMUL_F32);
    *bf16 = 0;
    if (ops->precision != PRECISION_BF16) return MATMUL_F32;
    /* Of bf16 the library has kernels for AVX-512, with or without instructions of that type, and for none below. */
    bool has = matmul_type_of_bf16() == MATMUL_BF16 || strcmp(ops->isa, "avx512") == 0;
    if (has) *bf16 = library_rate(d, MATMUL_BF16);
    return *bf16 > *fp32 ? MATMUL_BF16 : MATMUL_F32;
}

const char *library_type_name(enum matmul_type type)
{
    return type == MATMUL_BF16 ? "bf16" : "fp32";
}
