/* Rank in the group: the share of the others that earn less by all rewards before this one, equal
 * ones counting half: 0 to 1. It has the same spread in every group that has any, however far apart
 * the rewards are. */
#include "trainer/reward/rewards.h"

static void group(const struct reward_group *g, float *value)
{
    const float *total = g->all->total + g->from;
    for (int i = 0; i < g->n; i++) {
        int twice = 0;
        for (int j = 0; j < g->n; j++)
            if (j != i) twice += total[j] < total[i] ? 2 : total[j] == total[i];
        value[i] = (float)twice / (float)(2 * (g->n - 1));
    }
}

static double weight(const struct phase_settings *k)
{
    return k->reward_rank;
}

const struct grader grader_rank = {.name = "rank",
                                   .help =
                                       "share of the group that earns less by what stands above",
                                   .weight = weight,
                                   .group = group};
