/* Group Relative Policy Optimization, equation by equation.
 * DeepSeekMath (arXiv 2402.03300) eq. 3-4 and 4.1.2; DeepSeek-R1 (arXiv 2501.12948v1) eq. 1-3;
 * Dr. GRPO (arXiv 2503.20783) for the variants without std and with a constant denominator;
 * dual clip: Ye et al., arXiv 1912.09729. */
#ifndef DUET_TRAINER_LEARN_GRPO_H
#define DUET_TRAINER_LEARN_GRPO_H

#include "trainer/learn/denominator.h"
#include "trainer/learn/policy.h"

/* Group-relative advantage: adv[i] = (r[i] - mean) / std over the G answers to one question
 * (by_std), or r[i] - mean. std is that of the population, plus nothing: a group of equal rewards
 * (`equal`) gets 0 and teaches nothing.
 *   adv out (G), reward in (G), any finite scale. Local. R1 eq. 3; Dr. GRPO 3.1. */
void grpo_advantage(float *adv, const float *reward, int G, bool equal, bool by_std);

/* The clipped objective of a token or, of another ratio, of a whole answer (policy.h); and the
 * ratio between its bounds. dual_clip: for A < 0 at least dual_clip A (arXiv 1912.09729; the
 * two-sided clip of INTELLECT-2, 2505.07291). */
struct policy_term grpo_clip(const struct objective *g, float ratio, float adv);
float grpo_bounded(const struct objective *g, float ratio);
/* The unbiased, never negative estimate of the KL: k3. */
struct kl_term grpo_kl(float logp, float ref_logp);

/* Weight of each token of the answer in the update's loss:
 *   token_mean     1 / tokens                DAPO (arXiv 2503.14476) 3.3
 *   sequence_mean  1 / (answers * length)    DeepSeekMath eq. 3, R1 eq. 1
 *   constant       1 / (answers * longest)   Dr. GRPO
 *   sequence_sum   1 / answers               LUSPO (arXiv 2602.05261)
 *   prompt_mean    1 / (questions * tokens of the question's answers)   ScaleRL (2510.13786)
 * 0: it need not be run, since it does not count or has no gradient. */
double grpo_weight(const struct denominator *d, const struct counting *rule,
                   struct counted_answer a);

#endif
