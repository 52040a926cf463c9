/* What operations take on this machine, now: the passes of a chunk of one layer and of the head,
 * the optimizer's update, memory. Fills what a cluster file would say (`costs`, `compute`,
 * `memory_gbs`), so that the prediction needs no other path. */
#ifndef DUET_TRAINER_PLANNER_MEASURE_H
#define DUET_TRAINER_PLANNER_MEASURE_H

#include <stdio.h>

#include "model/ops.h"
#include "trainer/config/cluster.h"

struct measure_job {
    struct dims dims; /* the whole model's */
    const struct ops *ops;
    int room;    /* rows of a micro-batch that costs are for (T_max) */
    int rows;    /* rows in use, in sequences of `context` */
    int context; /* rows of a sequence */
};

/* Local. Takes a few seconds; allocates what one layer and the head need. A layer or head that is
 * too large for that is a problem. */
bool measure_costs(struct cluster *c, const struct measure_job *job, struct problems *p);
/* As lines of a cluster file. */
void measure_print(FILE *out, const struct cluster *c, const struct measure_job *job);

#endif
