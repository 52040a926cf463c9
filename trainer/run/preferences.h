/* The preferences of a step of a reward model: pairs of completions of one prompt, or completions
 * with what they are worth. As with demonstrations (trainer/phases/demonstrations.h) each rank
 * makes tokens of its share of them, all are told the lengths, and what a pipeline reads is made
 * once more. */
#ifndef DUET_TRAINER_RUN_PREFERENCES_H
#define DUET_TRAINER_RUN_PREFERENCES_H

#include "trainer/run/run.h"

/* data.preferences, where the recipe names files; a problem where nothing is preferred in what
 * there is. Collective over together->world. */
void preferences_open(struct run *r, const struct together *together, struct problems *p);
/* Where they are. */
struct source *preferences_source(const struct run *r);

/* Those used, and why the others are not. The sides of a pair are sequences 2i and 2i + 1, the
 * better first; behind all pairs come those with labels. */
struct preferences {
    struct run *run;
    enum split split;
    uint32_t from; /* number of the first in the data */
    int n, pairs, labels, too_long, missing;
    struct sequence at; /* fetched last */
};
/* The next `count` from number `from` on: scratch->sequence is filled, with lengths alone; the
 * labels are in scratch->preferred. Collective over the world. */
struct preferences preferences_look(struct run *r, enum split split, uint32_t from, int count);
/* Sequence i with its tokens, until the next call; for struct step_job. Local. */
const struct sequence *preferences_fetch(void *preferences, int i);
/* What sequence i, one with a label, is worth. Local. */
float preferences_label(const struct preferences *b, int i);

#endif
