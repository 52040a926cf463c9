/* The demonstrations of a step of sft. Each rank makes tokens of its share of them, and all are
 * told the lengths, which is all that dealing asks for; what a pipeline learns from, its ranks make
 * tokens of once more, one demonstration at a time. */
#ifndef DUET_TRAINER_PHASES_DEMONSTRATIONS_H
#define DUET_TRAINER_PHASES_DEMONSTRATIONS_H

#include "trainer/run/run.h"

/* Those learned from, and why the others are not. */
struct demonstrations {
    struct run *run;
    uint32_t from; /* number of the first in the data */
    int n, too_long, missing;
    long tokens;        /* learned from */
    struct sequence at; /* fetched last */
    long encoded;       /* texts of which this rank has made tokens */
};
/* The next `count` from number `from` on: scratch->sequence and ->weight are filled, with lengths
 * alone. Collective over the world. */
struct demonstrations demonstrations_look(struct run *r, uint32_t from, int count);
/* Sequence i with its tokens, until the next call; for struct step_job. Local. */
const struct sequence *demonstrations_fetch(void *demonstrations, int i);

#endif
