/* The head's end and the optimizer in the plainest loops. */
#include <math.h>
#include "model/cpu/real.h"

/* log of the sum of exp(z[v] * inv_temp) */
static double log_sum(const float *z, float inv_temp, int V)
{
    double most = -INFINITY, sum = 0;
    for (int v = 0; v < V; v++)
        if ((double)z[v] * (double)inv_temp > most) most = (double)z[v] * (double)inv_temp;
    for (int v = 0; v < V; v++) sum += exp((double)z[v] * (double)inv_temp - most);
    return most + log(sum);
}

/* exp(lp) may round to 0 where lp is -inf: such terms are left out of the entropy. */
void OP(logprob_forward)(float *logp, float *entropy, float *range, const float *logits,
                         const int *target, float inv_temp, int T, int V)
{
    (void)range; /* which logprob_backward here does not read */
    for (int t = 0; t < T; t++) {
        logp[t] = entropy[t] = 0;
        if (target[t] < 0) continue;
        const float *z = logits + (size_t)t * (size_t)V;
        double lse = log_sum(z, inv_temp, V), H = 0;
        for (int v = 0; v < V; v++) {
            double lp = (double)z[v] * (double)inv_temp - lse;
            if (exp(lp) > 0) H -= exp(lp) * lp;
        }
        logp[t] = (float)((double)z[target[t]] * (double)inv_temp - lse);
        entropy[t] = (float)H;
    }
}

/* The gradient of log softmax: (1 at the target) - p. */
void OP(logprob_backward)(void *dlogits, const float *dlogp, const float *range,
                          const float *logits, const int *target, float inv_temp, int T, int V)
{
    (void)range;
    for (int t = 0; t < T; t++) {
        const float *z = logits + (size_t)t * (size_t)V;
        real *dz = (real *)dlogits + (size_t)t * (size_t)V;
        double lse = target[t] < 0 ? 0 : log_sum(z, inv_temp, V);
        double scale = target[t] < 0 ? 0 : (double)dlogp[t] * (double)inv_temp;
        for (int v = 0; v < V; v++) {
            double p = exp((double)z[v] * (double)inv_temp - lse);
            dz[v] = real_put(target[t] < 0 ? 0.0f : (float)(scale * ((v == target[t]) - p)));
        }
    }
}

void OP(logprob_most)(float *most, const float *logits, float inv_temp, int T, int V)
{
    for (int t = 0; t < T; t++) {
        most[t] = -INFINITY;
        for (int v = 0; v < V; v++)
            most[t] = fmaxf(most[t], logits[(size_t)t * (size_t)V + (size_t)v] * inv_temp);
    }
}

/* Three sums a row: of exp, of exp times logit (for the entropy), and the target's logit, which
 * only one rank has. */
void OP(logprob_sums)(float *sums, const float *most, const float *logits, const int *target,
                      int first, float inv_temp, int T, int V)
{
    for (int t = 0; t < T; t++) {
        double sum = 0, weighted = 0, own = 0;
        for (int v = 0; v < V; v++) {
            double z = (double)logits[(size_t)t * (size_t)V + (size_t)v];
            double x = z * (double)inv_temp - (double)most[t];
            sum += exp(x);
            weighted += exp(x) > 0 ? exp(x) * x : 0;
            if (v == target[t] - first) own = x;
        }
        sums[t] = (float)sum;
        sums[T + t] = (float)weighted;
        sums[2 * T + t] = (float)own;
    }
}

/* As logprob_backward with the sums of all ranks. */
void OP(logprob_share_backward)(void *dlogits, const float *dlogp, const float *sum_exp,
                                const float *most, const float *logits, const int *target,
                                int first, float inv_temp, int T, int V)
{
    for (int t = 0; t < T; t++)
        for (int v = 0; v < V; v++) {
            size_t at = (size_t)t * (size_t)V + (size_t)v;
            double scale = target[t] < 0 ? 0 : (double)dlogp[t] * (double)inv_temp;
            double x = (double)logits[at] * (double)inv_temp - (double)most[t];
            double p = target[t] < 0 ? 0 : exp(x) / (double)sum_exp[t];
            ((real *)dlogits)[at] = real_put((float)(scale * ((v == target[t] - first) - p)));
        }
}

void OP(logprob_join)(float *logp, float *entropy, const float *sums, const int *target, int T)
{
    for (int t = 0; t < T; t++) {
        float log_sum = logf(sums[t]), mean = sums[T + t] / sums[t];
        logp[t] = target[t] < 0 ? 0 : sums[2 * T + t] - log_sum;
        entropy[t] = target[t] < 0 ? 0 : log_sum - mean;
    }
}

/* AdamW in double; the fast one is held against it with a tolerance. */
void OP(adamw_step)(void *param, float *master, float *m, float *v, const float *grad, size_t n,
                    const struct adamw *h)
{
    double b1 = (double)h->beta1, b2 = (double)h->beta2, lr = (double)h->lr;
    for (size_t i = 0; i < n; i++) {
        double g = (double)grad[i] * (double)h->grad_scale;
        m[i] = (float)(b1 * (double)m[i] + (1 - b1) * g);
        v[i] = (float)(b2 * (double)v[i] + (1 - b2) * g * g);
        double mean = (double)m[i] / (double)h->correction1;
        double root = sqrt((double)v[i] / (double)h->correction2);
        double w = (double)master[i] * (1 - lr * (double)h->weight_decay);
        master[i] = (float)(w - lr * mean / (root + (double)h->eps));
        ((real *)param)[i] = real_put(master[i]);
    }
}

/* The square of a float is exact in double: the sum is rounded once a term, to the same bits in any
 * order. */
void OP(square_sum)(struct exact_sum *sum, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        exact_add(sum, (double)x[i] * (double)x[i] * (double)(1 << SQUARE_BITS));
}
