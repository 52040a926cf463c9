/* The equations' numbers are those of DeepSeek-R1 (arXiv 2501.12948v1), section 2.2.1. */
#include "trainer/learn/grpo.h"

#include <math.h>
#include "trainer/config/settings.h"
#include "trainer/learn/gdpo.h"

/* A_i = (r_i - mean(r)) / std(r)                                                             (3) */
void grpo_advantage(float *adv, const float *reward, int G, bool equal, bool by_std)
{
    double mean = 0, var = 0;
    for (int i = 0; i < G; i++) mean += reward[i] / (double)G;
    for (int i = 0; i < G; i++) var += (reward[i] - mean) * (reward[i] - mean) / G;
    double scale = equal ? 0 : by_std ? 1 / sqrt(var) : 1;
    for (int i = 0; i < G; i++) adv[i] = (float)((reward[i] - mean) * scale);
}

/* clip(ratio, 1 - eps_low, 1 + eps_high)                                                      (1)
 */
float grpo_bounded(const struct objective *g, float ratio)
{
    float low = 1 - g->clip_low, high = 1 + g->clip_high;
    return ratio < low ? low : ratio > high ? high : ratio;
}

/* J = min(ratio A, clip(ratio) A)                                                             (1)
 * without its KL; where the clip binds, or the dual clip c A of a negative A, the objective no
 * longer moves with the policy. d ratio / d logp = ratio. */
struct policy_term grpo_clip(const struct objective *g, float ratio, float adv)
{
    struct policy_term j = {ratio * adv, ratio * adv, false};
    float clipped = grpo_bounded(g, ratio) * adv;
    if (clipped < j.objective) j = (struct policy_term){clipped, 0, true};
    if (g->dual_clip > 0 && adv < 0 && j.objective < g->dual_clip * adv)
        j = (struct policy_term){g->dual_clip * adv, 0, true};
    return j;
}

/* D_KL = pi_ref/pi - log(pi_ref/pi) - 1                                                       (2)
 * and d D_KL / d logp = 1 - pi_ref/pi. */
struct kl_term grpo_kl(float logp, float ref_logp)
{
    float d = ref_logp - logp, ratio = expf(d);
    return (struct kl_term){ratio - d - 1, 1 - ratio};
}

/* --- aggregation: the sums that stand before J in (1) ---
 * Of N answers that count, T tokens together; G of the papers is N of an update. */

/* 1/N sum_i 1/|o_i| sum_t, as in (1) */
static double sequence_mean(const struct denominator *d, struct counted_answer a, double longest)
{
    (void)longest;
    return 1 / ((double)d->answers * a.length);
}

/* 1/T sum_i sum_t */
static double token_mean(const struct denominator *d, struct counted_answer a, double longest)
{
    (void)a, (void)longest;
    return 1 / (double)d->tokens;
}

/* 1/(N longest) sum_i sum_t */
static double constant(const struct denominator *d, struct counted_answer a, double longest)
{
    (void)a;
    return 1 / ((double)d->answers * longest);
}

/* 1/N sum_i sum_t: LUSPO (arXiv 2602.05261) */
static double sequence_sum(const struct denominator *d, struct counted_answer a, double longest)
{
    (void)a, (void)longest;
    return 1 / (double)d->answers;
}

/* 1/P sum_q 1/T_q sum_(i of q) sum_t, over the P questions: ScaleRL (arXiv 2510.13786) */
static double prompt_mean(const struct denominator *d, struct counted_answer a, double longest)
{
    (void)longest;
    return 1 / ((double)d->questions * (double)a.group_tokens);
}

static double (*const aggregation[])(const struct denominator *, struct counted_answer, double) = {
    [AGGREGATE_TOKEN] = token_mean,   [AGGREGATE_SEQUENCE] = sequence_mean,
    [AGGREGATE_CONSTANT] = constant,  [AGGREGATE_SUM] = sequence_sum,
    [AGGREGATE_PROMPT] = prompt_mean,
};

double grpo_weight(const struct denominator *d, const struct counting *rule,
                   struct counted_answer a)
{
    bool has_gradient = a.length > 0 && (a.spread || rule->kl);
    if (!counting_has(rule, a) || !has_gradient) return 0;
    return aggregation[rule->aggregate](d, a, rule->longest);
}
