/* on each instruction set */
/* The operations on logits of every table that this machine can run, in both precisions, against
 * the plain loops: log-probabilities, whole and in shares, and what sampling sums. */
#include "tests/support/ops_tables.h"

START_TEST(logprob)
{
    if (!setup(_i)) return;
    enum { T = 6, V = 75 };
    float *logits = floats_random(T * V, 1, 8.0f), *dlogp = floats_random(T, 2, 1.0f);
    int target[T] = {0, 74, -1, 13, 16, 64};
    logits[4 * V + 16] = 200.0f; /* a sure one */
    float lp[T], lp2[T], H[T], H2[T], range[2 * T], dz[T * V], dz2[T * V];
    for (int i = 0; i < 2; i++) {
        float inv_temp = i ? 1.0f / 0.7f : 1.0f;
        ops->logprob_forward(lp, H, range, logits, target, inv_temp, T, V);
        plain->logprob_forward(lp2, H2, NULL, logits, target, inv_temp, T, V);
        ck_assert_double_le(worst_error(lp, lp2, T), 1e-5);
        ck_assert_double_le(worst_error(H, H2, T), 1e-5);
        ops->logprob_backward(dz, dlogp, range, logits, target, inv_temp, T, V);
        plain->logprob_backward(dz2, dlogp, NULL, logits, target, inv_temp, T, V);
        NEAR_REALS(dz, dz2, T * V);
        ops->logprob_backward(dz2, dlogp, NULL, logits, target, inv_temp, T, V);
        ck_assert_mem_eq(dz, dz2, T * V * ops->real_bytes);
    }
    ck_assert(lp[2] == 0 && H[2] == 0);
    for (int i = 0; i < 2; i++) { /* in place: the same */
        const struct ops *o = i ? plain : ops;
        o->logprob_backward(dz, dlogp, NULL, logits, target, 1.25f, T, V);
        memcpy(dz2, logits, sizeof dz2);
        o->logprob_backward(dz2, dlogp, NULL, dz2, target, 1.25f, T, V);
        ck_assert_mem_eq(dz, dz2, T * V * o->real_bytes);
    }
    free(logits);
    free(dlogp);
}
END_TEST

/* Sums good to 1e-11 is what sampling counts on. */
START_TEST(sample)
{
    if (!setup(_i)) return;
    enum { V = 1003, GROUP = 32, PIECE = 512, GROUPS = (V + GROUP - 1) / GROUP };
    float *z = floats_random(V, 1, 30.0f), most[GROUPS], most2[GROUPS];
    double w[V], w2[V], sum[2], sum2[2];
    z[7] = NAN, z[40] = -INFINITY, z[V - 1] = 30;
    ops->sample_largest(most, z, V, GROUP);
    plain->sample_largest(most2, z, V, GROUP);
    ck_assert_mem_eq(most, most2, sizeof most);
    ops->sample_weights(sum, w, z, 30, 1 / 0.07, V, PIECE);
    plain->sample_weights(sum2, w2, z, 30, 1 / 0.07, V, PIECE);
    for (int v = 0; v < V; v++) ck_assert_double_le(fabs(w[v] - w2[v]), 3e-12 * w2[v]);
    ck_assert(w[7] == 0 && w[40] == 0 && w[V - 1] == 1);
    for (int i = 0; i < 2; i++) ck_assert_double_le(fabs(sum[i] - sum2[i]), 1e-11 * sum2[i]);
    ops->sample_weights(sum2, NULL, z, 30, 1 / 0.07, V, PIECE);
    ck_assert_mem_eq(sum, sum2, sizeof sum);
    double a = ops->sample_sum(w, z, 29.5f, V - 1), b = plain->sample_sum(w, z, 29.5f, V - 1);
    ck_assert(b > 0 && fabs(a - b) <= 1e-13 * b);
    ops->fill_columns(z, (struct share){3, 2}, -7, 10, 100);
    for (int i = 0; i < V; i++)
        ck_assert((z[i] == -7) == (i < 1000 && (i % 100 == 3 || i % 100 == 4)));
    free(z);
}
END_TEST

/* A vocabulary in two shares, as two ranks have it: joined it is the whole one. */
START_TEST(logprob_in_shares)
{
    if (!setup(_i)) return;
    enum { T = 6, V = 75, CUT = 40 };
    float *logits = floats_random(T * V, 1, 8.0f), *part = malloc(T * V * sizeof *part);
    int target[T] = {0, 74, -1, 39, 40, 64};
    float most[2][T], sums[2][3 * T], lp[T], lp2[T], H[T], H2[T];
    static const struct share share[] = {{0, CUT}, {CUT, V - CUT}};
    for (int round = 0; round < 2; round++) /* sums are taken with the largest of both */
        for (int s = 0; s < 2; s++) {
            int n = share[s].n;
            for (int t = 0; t < T; t++)
                memcpy(part + t * n, logits + t * V + share[s].first, (size_t)n * sizeof *part);
            if (round == 0)
                ops->logprob_most(most[s], part, 1.25f, T, n);
            else
                ops->logprob_sums(sums[s], most[0], part, target, share[s].first, 1.25f, T, n);
            for (int t = 0; t < T && round == 0 && s == 1; t++)
                most[0][t] = fmaxf(most[0][t], most[1][t]);
        }
    for (int i = 0; i < 3 * T; i++) sums[0][i] += sums[1][i];
    ops->logprob_join(lp, H, sums[0], target, T);
    plain->logprob_forward(lp2, H2, NULL, logits, target, 1.25f, T, V);
    ck_assert_double_le(worst_error(lp, lp2, T), 1e-5);
    ck_assert_double_le(worst_error(H, H2, T), 1e-5);
    plain->logprob_join(lp2, H2, sums[0], target, T);
    ck_assert_mem_eq(lp, lp2, sizeof lp);
    ck_assert_mem_eq(H, H2, sizeof H);
    ck_assert(lp[2] == 0 && H[2] == 0);
    free(logits);
    free(part);
}
END_TEST

#define TESTS(X)             \
    X(logprob, .to = TABLES) \
    X(sample, .to = TABLES)  \
    X(logprob_in_shares, .to = TABLES)

UNIT_MAIN("ops_logits", .timeout_s = 60)
