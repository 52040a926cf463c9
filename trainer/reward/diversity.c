/* Diversity of a group: the number of different final answers in it, each answer's share: 1 over
 * how many of the group answer the same, 0 without an answer. A number that all of the group got
 * would have no advantage. Wrong answers earn it, too: it pays for trying, not for being right. */
#include "trainer/reward/rewards.h"

static void group(const struct reward_group *g, float *value)
{
    const uint64_t *vote = g->all->vote + g->from;
    for (int i = 0; i < g->n; i++) {
        int same = 0;
        for (int j = 0; j < g->n; j++) same += vote[j] == vote[i];
        value[i] = vote[i] ? 1 / (float)same : 0;
    }
}

static double weight(const struct phase_settings *k)
{
    return k->reward_diversity;
}

const struct grader grader_diversity = {
    .name = "diversity",
    .help = "1 / answers of the group with the same final answer; 0 without one",
    .needs = NEEDS_VERDICT,
    .weight = weight,
    .group = group};
