/* Group Relative Policy Optimization, equation by equation.
 * DeepSeekMath (arXiv 2402.03300) eq. 3-4 and 4.1.2; DeepSeek-R1 (arXiv 2501.12948v1) eq. 1-3;
 * Dr. GRPO (arXiv 2503.20783) for the variants without std and with a constant denominator;
 * dual clip: Ye et al., arXiv 1912.09729. */
#ifndef DUET_TRAINER_LEARN_GRPO_H
#define DUET_TRAINER_LEARN_GRPO_H

#include <stdbool.h>

struct grpo {
    float clip_low, clip_high; /* the ratio is clipped to [1 - clip_low, 1 + clip_high] */
    float dual_clip;           /* for A < 0 the objective is at least dual_clip * A; 0: off */
    float kl;                  /* beta of the k3 KL to the reference; 0: off */
};

/* Group-relative advantage: adv[i] = (r[i] - mean) / std over the G answers to one question (by_std), or
 * r[i] - mean. std is that of the population, plus nothing: groups with equal rewards are told by
 * the return value true, get 0 and teach nothing.
 *   adv out (G), reward in (G), any finite scale. Local. R1 eq. 3; Dr. GRPO 3.1. */
bool grpo_advantage(float *adv, const float *reward, int G, bool by_std);

/* One token. Everything is a float and in this order, so that at ratio 1 the gradient is exactly -weight * A. */
struct grpo_token {
    float loss;   /* weight * (-objective + kl * k3) */
    float dlogp;  /* dloss / dlogp */
    float ratio;  /* pi / pi_old */
    float k3;     /* unbiased KL estimate: exp(ref - logp) - (ref - logp) - 1 */
    bool clipped; /* the clip took the gradient away */
};
struct grpo_token grpo_token(const struct grpo *g, float logp, float old_logp, float ref_logp,
                             float adv, float weight);

/* --- denominators: what an update's loss is divided by --- */

/* What a recipe says of them: phases.aggregate, zero_spread, max_new, kl. */
struct grpo_rule {
    int aggregate;  /* AGGREGATE_... */
    bool keep;      /* answers of groups without spread count too */
    bool kl;        /* a KL is taken: what counts has a gradient even without an advantage */
    double longest; /* max_new */
};
struct grpo_answer {
    int length;  /* tokens */
    bool spread; /* the rewards of its group differ: some of its answers have an advantage */
    bool masked; /* out of everything but its group's mean and std (mask_truncated) */
};
struct grpo_count {
    long answers, tokens;
};
/* Adds an answer of the update to what the denominator counts. All of the update's answers, over all ranks, are added before
 * the first is weighed (P6). Local, as grpo_weight. */
void grpo_count(struct grpo_count *c, const struct grpo_rule *rule, struct grpo_answer a);
/* Weight of each token of the answer in the update's loss:
 *   token_mean     1 / tokens                DAPO (arXiv 2503.14476) 3.3
 *   sequence_mean  1 / (answers * length)    DeepSeekMath eq. 3, R1 eq. 1
 *   constant       1 / (answers * longest)   Dr. GRPO
 * 0: it need not be run, since it does not count or has no gradient. */
double grpo_weight(const struct grpo_count *c, const struct grpo_rule *rule, struct grpo_answer a);

#endif
