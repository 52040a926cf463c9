/* Novelty within a group: of a right answer, 1 - the mean likeness of its text to the other answers
 * to the question; 0 of a wrong one, so that nonsense, which is like nothing, earns nothing (as
 * DARLING multiplies diversity and quality, arXiv 2509.02534). */
#include "trainer/reward/rewards.h"

static void group(const struct reward_group *g, float *value)
{
    const struct rewards *r = g->all;
    for (int i = 0; i < g->n; i++) {
        double like = 0;
        value[i] = 0;
        if (r->value[GRADER_ACCURACY][g->from + i] <= 0) continue;
        for (int j = 0; j < g->n; j++)
            if (j != i)
                like += signature_likeness(r->signature[g->from + i], r->signature[g->from + j]);
        value[i] = (float)(1 - like / (g->n - 1));
    }
}

static double weight(const struct phase_settings *k)
{
    return k->reward_novelty;
}

const struct grader grader_novelty = {
    .name = "novelty",
    .help = "of a right answer, 1 - its mean likeness to the others of its group; else 0",
    .needs = NEEDS_VERDICT | NEEDS_SIGNATURE,
    .weight = weight,
    .group = group};
