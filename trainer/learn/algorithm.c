#include "trainer/learn/algorithm.h"

#include "trainer/learn/learned.h"

struct objective objective_of(const struct phase_settings *k)
{
    return (struct objective){.clip_low = (float)k->clip_low,
                              .clip_high = (float)k->clip_high,
                              .dual_clip = (float)k->dual_clip,
                              .kl = (float)k->kl,
                              .kl_estimator = k->kl_estimator,
                              .ratio_penalty = (float)k->ratio_penalty,
                              .mask_above = (float)k->off_policy_mask,
                              .gate_pos = (float)k->gate_pos,
                              .gate_neg = (float)k->gate_neg,
                              .vespo_pos = {k->vespo_k_pos, k->vespo_lambda_pos},
                              .vespo_neg = {k->vespo_k_neg, k->vespo_lambda_neg}};
}

static bool several_updates(const struct phase_settings *k)
{
    return (long)k->mini_batches * k->epochs > 1;
}

static bool takes_kl(const struct phase_settings *k)
{
    return k->kl > 0;
}

#define LEARNED(member) offsetof(struct learned, member)
const struct algorithm_metric algorithm_metrics[] = {
    {"clip_fraction", LEARNED(clip_fraction), NULL},
    {"ratio/max_deviation", LEARNED(first_deviation), NULL},
    {"ratio/max_deviation_later", LEARNED(later_deviation), several_updates},
    {"kl_ref", LEARNED(kl), takes_kl},
    {NULL, 0, NULL},
};
