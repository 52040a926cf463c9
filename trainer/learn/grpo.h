/* Group Relative Policy Optimization, equation by equation.
 * DeepSeekMath (arXiv 2402.03300) eq. 3-4 and 4.1.2; DeepSeek-R1 (arXiv 2501.12948v1) eq. 1-3;
 * Dr. GRPO (arXiv 2503.20783) for the variants without std and with a constant denominator;
 * dual clip: Ye et al., arXiv 1912.09729. */
#ifndef DUET_TRAINER_LEARN_GRPO_H
#define DUET_TRAINER_LEARN_GRPO_H

#include "trainer/learn/algorithm.h"

/* Group-relative advantage: adv[i] = (r[i] - mean) / std over the G answers to one question
 * (by_std), or r[i] - mean. std is that of the population, plus nothing: a group of equal rewards
 * (`equal`) gets 0 and teaches nothing.
 *   adv out (G), reward in (G), any finite scale. Local. R1 eq. 3; Dr. GRPO 3.1. */
void grpo_advantage(float *adv, const float *reward, int G, bool equal, bool by_std);

/* One token. Everything is a float and in this order, so that at ratio 1 the gradient is exactly
 * -weight * A. */
struct grpo_token {
    float loss;   /* weight * (-objective + kl * k3) */
    float dlogp;  /* dloss / dlogp */
    float ratio;  /* pi / pi_old */
    float k3;     /* unbiased KL estimate: exp(ref - logp) - (ref - logp) - 1 */
    bool clipped; /* the clip took the gradient away */
};
struct grpo_token grpo_token(const struct objective *g, float logp, float old_logp, float ref_logp,
                             float adv, float weight);

/* What the table of algorithms has of it. */
void grpo_advantages(const struct groups *g, const struct phase_settings *k);
extern const struct loss_shape grpo_loss;
/* Weight of each token of the answer in the update's loss:
 *   token_mean     1 / tokens                DAPO (arXiv 2503.14476) 3.3
 *   sequence_mean  1 / (answers * length)    DeepSeekMath eq. 3, R1 eq. 1
 *   constant       1 / (answers * longest)   Dr. GRPO
 * 0: it need not be run, since it does not count or has no gradient. */
double grpo_weight(const struct denominator *d, const struct counting *rule,
                   struct counted_answer a);

#endif
