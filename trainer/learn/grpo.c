/* The equations' numbers are those of DeepSeek-R1 (arXiv 2501.12948v1), section 2.2.1. */
#include "trainer/learn/grpo.h"

#include <math.h>
#include "trainer/config/settings.h"

/* A_i = (r_i - mean(r)) / std(r)                                                             (3) */
void grpo_advantage(float *adv, const float *reward, int G, bool equal, bool by_std)
{
    double mean = 0, var = 0;
    for (int i = 0; i < G; i++) mean += reward[i] / (double)G;
    for (int i = 0; i < G; i++) var += (reward[i] - mean) * (reward[i] - mean) / G;
    double scale = equal ? 0 : by_std ? 1 / sqrt(var) : 1;
    for (int i = 0; i < G; i++) adv[i] = (float)((reward[i] - mean) * scale);
}

void grpo_advantages(const struct groups *g, const struct phase_settings *k)
{
    for (int q = 0; q < g->n; q++)
        grpo_advantage(g->advantage + q * g->samples, g->reward + q * g->samples, g->samples,
                       g->equal[q], k->advantage == ADVANTAGE_STD);
}

/* J = min(ratio A, clip(ratio, 1 - eps_low, 1 + eps_high) A) - beta D_KL                      (1)
 * D_KL = pi_ref/pi - log(pi_ref/pi) - 1                                                       (2)
 * of one token, with ratio = pi/pi_old, so d ratio/d logp = ratio; where the clip binds, or the
 * dual clip c A of a negative A, the objective no longer moves with the policy. d D_KL/d logp = 1 -
 * pi_ref/pi. The loss is -J. */
struct grpo_token grpo_token(const struct objective *g, float logp, float old_logp, float ref_logp,
                             float adv, float weight)
{
    struct grpo_token t = {.ratio = expf(logp - old_logp)};
    float low = 1 - g->clip_low, high = 1 + g->clip_high;
    float clipped = t.ratio < low ? low : t.ratio > high ? high : t.ratio;
    float objective = t.ratio * adv, dobjective = t.ratio * adv;
    if (clipped * adv < objective) {
        objective = clipped * adv;
        dobjective = 0;
        t.clipped = true;
    }
    if (g->dual_clip > 0 && adv < 0 && objective < g->dual_clip * adv) {
        objective = g->dual_clip * adv;
        dobjective = 0;
        t.clipped = true;
    }
    float kl = 0, dkl = 0;
    if (g->kl > 0) {
        float d = ref_logp - logp;
        t.k3 = expf(d) - d - 1;
        kl = g->kl * t.k3;
        dkl = g->kl * (1 - expf(d));
    }
    t.loss = weight * (kl - objective);
    t.dlogp = weight * (dkl - dobjective);
    return t;
}

/* Sums are exact, so that metrics are the same on every mesh. */
static void grpo_answer(struct loss *l, const struct answer_rows *a)
{
    for (int t = 0; t < a->n; t++) {
        struct grpo_token g = grpo_token(&l->objective, a->logp[t], a->old_logp[t], a->ref_logp[t],
                                         a->advantage[t], a->weight[t]);
        a->dlogp[t] = g.dlogp;
        exact_add(&l->sum[SUM_LOSS], (double)g.loss);
        exact_add(&l->sum[SUM_CLIPPED], g.clipped ? 1 : 0);
        exact_add(&l->sum[SUM_K3], (double)g.k3);
        float deviation = fabsf(g.ratio - 1);
        /* a NaN shows, as infinity: that stays the largest, here and in MPI_MAX */
        if (!(deviation <= l->max_deviation))
            l->max_deviation = isnan(deviation) ? INFINITY : deviation;
    }
}

const struct loss_shape grpo_loss = {.name = "grpo loss", .answer = grpo_answer, .learns = true};

/* --- aggregation: the sums that stand before J in (1) ---
 * Of N answers that count, T tokens together; G of the papers is N of an update. */

/* 1/N sum_i 1/|o_i| sum_t, as in (1) */
static double sequence_mean(const struct denominator *d, double length, double longest)
{
    (void)longest;
    return 1 / ((double)d->answers * length);
}

/* 1/T sum_i sum_t */
static double token_mean(const struct denominator *d, double length, double longest)
{
    (void)length, (void)longest;
    return 1 / (double)d->tokens;
}

/* 1/(N longest) sum_i sum_t */
static double constant(const struct denominator *d, double length, double longest)
{
    (void)length;
    return 1 / ((double)d->answers * longest);
}

static double (*const aggregation[])(const struct denominator *, double, double) = {
    [AGGREGATE_TOKEN] = token_mean,
    [AGGREGATE_SEQUENCE] = sequence_mean,
    [AGGREGATE_CONSTANT] = constant,
};

double grpo_weight(const struct denominator *d, const struct counting *rule,
                   struct counted_answer a)
{
    bool has_gradient = a.length > 0 && (a.spread || rule->kl);
    if (!counting_has(rule, a) || !has_gradient) return 0;
    return aggregation[rule->aggregate](d, a.length, rule->longest);
}
