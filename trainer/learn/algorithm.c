#include "trainer/learn/algorithm.h"

#include "trainer/learn/grpo.h"
#include "trainer/learn/learned.h"

int groups_compare(const struct groups *g)
{
    int equal = 0;
    for (int q = 0; q < g->n; q++) {
        const float *reward = g->reward + q * g->samples;
        g->equal[q] = true;
        for (int i = 1; i < g->samples; i++) g->equal[q] = g->equal[q] && reward[i] == reward[0];
        equal += g->equal[q];
    }
    return equal;
}

struct objective objective_of(const struct phase_settings *k)
{
    return (struct objective){.clip_low = (float)k->clip_low,
                              .clip_high = (float)k->clip_high,
                              .dual_clip = (float)k->dual_clip,
                              .kl = (float)k->kl};
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
static const struct algorithm_metric clipped_ratio[] = {
    {"clip_fraction", LEARNED(clip_fraction), NULL},
    {"ratio/max_deviation", LEARNED(first_deviation), NULL},
    {"ratio/max_deviation_later", LEARNED(later_deviation), several_updates},
    {"kl_ref", LEARNED(kl), takes_kl},
    {NULL, 0, NULL},
};

const struct algorithm algorithms[ALGORITHMS] = {
    [ALGORITHM_GRPO] = {.name = "grpo",
                        .advantage = grpo_advantages,
                        .loss = &grpo_loss,
                        .weight = grpo_weight,
                        .metrics = clipped_ratio},
};

const struct algorithm *algorithm_of(const struct phase_settings *k)
{
    return &algorithms[k->algorithm];
}
