#include "trainer/learn/gdpo.h"

#include <math.h>

static double mean_of(const float *v, int n)
{
    double mean = 0;
    for (int i = 0; i < n; i++) mean += v[i] / (double)n;
    return mean;
}

static double std_of(const float *v, int n, double mean)
{
    double var = 0;
    for (int i = 0; i < n; i++) var += (v[i] - mean) * (v[i] - mean) / n;
    return sqrt(var);
}

static bool all_equal(const float *v, int n)
{
    bool equal = true;
    for (int i = 1; i < n; i++) equal = equal && v[i] == v[0];
    return equal;
}

/* A_k = (r_k - mean(r_k)) / std(r_k) of reward k in its group; their sum: sum_k w_k A_k */
static void add_term(float *sum, const float *reward, int n, double weight)
{
    if (all_equal(reward, n)) return;
    double mean = mean_of(reward, n), std = std_of(reward, n, mean);
    for (int i = 0; i < n; i++) sum[i] += (float)(weight * (reward[i] - mean) / std);
}

/* A = (sum - mean(sum)) / std(sum), over all answers of the step */
void gdpo_advantages(const struct groups *g)
{
    const int n = g->n * g->samples;
    float *sum = g->advantage;
    for (int i = 0; i < n; i++) sum[i] = 0;
    for (int q = 0; q < g->n && g->terms == 0; q++)
        add_term(sum + q * g->samples, g->reward + q * g->samples, g->samples, 1);
    for (int k = 0; k < g->terms; k++)
        for (int q = 0; q < g->n; q++)
            add_term(sum + q * g->samples, g->term[k] + q * g->samples, g->samples,
                     g->term_weight[k]);
    double mean = mean_of(sum, n), std = std_of(sum, n, mean);
    for (int i = 0; i < n; i++)
        sum[i] = std > 0 && !g->equal[i / g->samples] ? (float)((sum[i] - mean) / std) : 0;
}
