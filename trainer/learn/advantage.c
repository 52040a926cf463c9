#include "trainer/learn/advantage.h"

#include <math.h>
#include "trainer/learn/gdpo.h"
#include "trainer/learn/grpo.h"

static void compare(const struct groups *g, int q, const float *reward)
{
    const float *of = reward + q * g->samples;
    for (int i = 1; i < g->samples; i++) g->equal[q] = g->equal[q] && of[i] == of[0];
}

int groups_compare(const struct groups *g)
{
    int equal = 0;
    for (int q = 0; q < g->n; q++) {
        g->equal[q] = true;
        if (g->terms == 0) compare(g, q, g->reward);
        for (int k = 0; k < g->terms; k++) compare(g, q, g->term[k]);
        equal += g->equal[q];
    }
    return equal;
}

static double mean_of(const float *x, int n)
{
    double mean = 0;
    for (int i = 0; i < n; i++) mean += (double)x[i] / n;
    return mean;
}

/* The population's. */
static double std_of(const float *x, int n)
{
    double mean = mean_of(x, n), var = 0;
    for (int i = 0; i < n; i++) var += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
    return sqrt(var);
}

/* A group's rewards less its mean, times a scale. */
static void centred(const struct groups *g, int q, double scale)
{
    const float *r = g->reward + q * g->samples;
    double mean = mean_of(r, g->samples);
    for (int i = 0; i < g->samples; i++)
        g->advantage[q * g->samples + i] = g->equal[q] ? 0 : (float)(((double)r[i] - mean) * scale);
}

/* DeepSeek-R1 eq. 3; without std Dr. GRPO and DeepSeek-V3.2. */
static void group_std(const struct groups *g)
{
    for (int q = 0; q < g->n; q++)
        grpo_advantage(g->advantage + q * g->samples, g->reward + q * g->samples, g->samples,
                       g->equal[q], true);
}
static void group_mean(const struct groups *g)
{
    for (int q = 0; q < g->n; q++)
        grpo_advantage(g->advantage + q * g->samples, g->reward + q * g->samples, g->samples,
                       g->equal[q], false);
}

/* LitePPO (arXiv 2508.08221), ScaleRL (2510.13786): the mean is the group's, the std that of all
 * rewards of the step. */
static void batch_std(const struct groups *g)
{
    double std = std_of(g->reward, g->n * g->samples);
    for (int q = 0; q < g->n; q++) centred(g, q, std > 0 ? 1 / std : 0);
}

/* RLOO (arXiv 2402.14740): each answer's baseline is the mean of the others, so that A = G/(G - 1)
 * (r - mean). */
static void leave_one_out(const struct groups *g)
{
    double n = g->samples;
    for (int q = 0; q < g->n; q++) centred(g, q, n / (n - 1));
}

/* MaxRL (arXiv 2602.02710): (r - mean)/mean, 0 where the mean is; rewards below 0 have no such
 * likelihood, and a mean below 0 counts as 0. */
static void max_rl(const struct groups *g)
{
    for (int q = 0; q < g->n; q++) {
        double mean = mean_of(g->reward + q * g->samples, g->samples);
        centred(g, q, mean > 0 ? 1 / mean : 0);
    }
}

/* REINFORCE++ (arXiv 2501.03262): mean and std of the whole step, no groups. */
static void batch(const struct groups *g)
{
    int n = g->n * g->samples;
    double mean = mean_of(g->reward, n), std = std_of(g->reward, n);
    bool equal = true;
    for (int i = 1; i < n; i++) equal = equal && g->reward[i] == g->reward[0];
    for (int i = 0; i < n; i++)
        g->advantage[i] = equal ? 0 : (float)(((double)g->reward[i] - mean) / std);
    for (int q = 0; q < g->n; q++) g->equal[q] = equal;
}

static void (*const estimator[])(const struct groups *g) = {
    [ADVANTAGE_STD] = group_std,           [ADVANTAGE_MEAN] = group_mean,
    [ADVANTAGE_BATCH_STD] = batch_std,     [ADVANTAGE_BATCH] = batch,
    [ADVANTAGE_LEAVE_ONE] = leave_one_out, [ADVANTAGE_MAX_RL] = max_rl,
    [ADVANTAGE_GDPO] = gdpo_advantages,
};

void advantage_take(const struct groups *g, const struct phase_settings *k)
{
    estimator[k->advantage](g);
}
