/* Policy losses: what takes the place of the clipped objective of GRPO in the variants that papers
 * name, and what all of them share: the KL to the reference, a penalty on the ratio, the mask of
 * answers that have left the policy. Pure functions of an answer's numbers, in floats, so that at
 * ratio 1 without a KL the gradient of every one of them is exactly -weight * A. */
#ifndef DUET_TRAINER_LEARN_POLICY_H
#define DUET_TRAINER_LEARN_POLICY_H

#include "trainer/config/settings.h"
#include "trainer/learn/loss.h"

/* J of a token and its slope. */
struct policy_term {
    float objective, dobjective; /* J; dJ / dlogp */
    bool clipped;                /* a clip or a mask took the gradient away */
};

/* What the tokens of an answer have together: sums over those with a weight, in order, in double
 * precision. Of a loss that does not ask for whole answers it is a block's, and nobody looks. */
struct answer_ratio {
    float mean;    /* exp of the mean of log pi/pi_old: GSPO */
    float clipped; /* the same of logs that were clipped on the advantage's side: GMPO */
    float log_sum; /* of log pi/pi_old, each in [-20, 20]: VESPO */
    bool masked;   /* off-policy sequence mask: objective.mask_above */
};
struct answer_ratio answer_ratio_of(const struct objective *g, const struct answer_rows *a);

struct policy_token {
    float logp, ratio, old_logp, advantage; /* ratio: pi / pi_old of the token */
    const struct answer_ratio *answer;
};
typedef struct policy_term policy_term(const struct objective *g, const struct policy_token *t);

/* An estimate of the KL from pi, pi_ref and, for the unbiased one, pi/pi_old (DeepSeek-V3.2,
 * arXiv 2512.02556 3.1); slope: along logp. k1 and k2: Schulman, "Approximating KL divergence";
 * k3: GRPO's, grpo.h. */
struct kl_term {
    float value, slope;
};
struct kl_term policy_kl(int estimator, float logp, float ref_logp, float ratio);

/* Loss and gradient of a token from its J:
 *   weight * (kl KL + ratio_penalty (log ratio)^2 - J) */
struct policy_loss {
    float loss, dlogp, kl;
};
struct policy_loss policy_loss(const struct objective *g, const struct policy_term *j,
                               const struct policy_token *t, float ref_logp, float weight);

/* Rows of the setting policy_loss: of blocks of an answer's rows where that is enough, and of whole
 * answers, as a mask wants them. */
extern const struct loss_shape policy_shapes[POLICIES][2];
/* The loss of a phase: its settings policy_loss and off_policy_mask. */
const struct loss_shape *policy_shape(const struct phase_settings *k);

#endif
