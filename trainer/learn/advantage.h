/* Advantages: from the rewards of a step to how much each answer shall become likelier. */
#ifndef DUET_TRAINER_LEARN_ADVANTAGE_H
#define DUET_TRAINER_LEARN_ADVANTAGE_H

#include "trainer/config/settings.h"

/* The rewards of a step and what becomes of them: the same on every rank. */
struct groups {
    int n, samples;      /* questions, answers to each (G) */
    const float *reward; /* (n, samples) */
    bool *equal;         /* (n) the rewards of the group are all equal: groups_compare */
    float *advantage;    /* (n, samples) */
    /* What reward is the weighed sum of, where each counts by itself (gdpo.h): a group is equal
     * when each of them is. 0 terms: not asked for. */
    int terms;
    const float *const *term; /* (terms) of (n, samples) */
    const double *term_weight;
};
/* Fills equal; returns how many groups are. Local. */
int groups_compare(const struct groups *g);

/* The advantage of every answer as the phase's setting `advantage` has it, of all groups at once. A
 * group of equal rewards gets 0, except where its mean is not what is taken off (batch): then
 * `equal` is made to say whether all rewards of the step are. Local, allocates nothing. */
void advantage_take(const struct groups *g, const struct phase_settings *k);

#endif
