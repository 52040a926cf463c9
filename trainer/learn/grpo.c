/* The equations' numbers are those of DeepSeek-R1 (arXiv 2501.12948v1), section 2.2.1. */
#include "trainer/learn/grpo.h"

#include <math.h>
#include "trainer/config/settings.h"

/* A_i = (r_i - mean(r)) / std(r)                                                              (3) */
bool grpo_advantage(float *adv, const float *reward, int G, bool by_std)
{
    double mean = 0, var = 0;
    bool equal = true;
    for (int i = 0; i < G; i++) {
        mean += reward[i] / (double)G;
        equal = equal && reward[i] == reward[0];
    }
    for (int i = 0; i < G; i++) var += (reward[i] - mean) * (reward[i] - mean) / G;
    double scale = equal ? 0 : by_std ? 1 / sqrt(var) : 1;
    for (int i = 0; i < G; i++) adv[i] = (float)((reward[i] - mean) * scale);
    return equal;
}

/* J = min(ratio A, clip(ratio, 1 - eps_low, 1 + eps_high) A) - beta D_KL                      (1)
 * D_KL = pi_ref/pi - log(pi_ref/pi) - 1                                                       (2)
 * of one token, with ratio = pi/pi_old, so d ratio/d logp = ratio; where the clip binds, or the dual clip c A of a negative
 * A, the objective no longer moves with the policy. d D_KL/d logp = 1 - pi_ref/pi. The loss is -J. */
struct grpo_token grpo_token(const struct grpo *g, float logp, float old_logp, float ref_logp,
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

static bool counts(const struct grpo_rule *rule, struct grpo_answer a)
{
    return !a.masked && (a.spread || rule->keep);
}

void grpo_count(struct grpo_count *c, const struct grpo_rule *rule, struct grpo_answer a)
{
    if (!counts(rule, a)) return;
    c->answers++;
    c->tokens += a.length;
}

double grpo_weight(const struct grpo_count *c, const struct grpo_rule *rule, struct grpo_answer a)
{
    bool has_gradient = a.length > 0 && (a.spread || rule->kl);
    if (!counts(rule, a) || !has_gradient) return 0;
    switch (rule->aggregate) {
    case AGGREGATE_TOKEN: return 1 / (double)c->tokens;
    case AGGREGATE_SEQUENCE: return 1 / ((double)c->answers * a.length);
    default: return 1 / ((double)c->answers * rule->longest);
    }
}
