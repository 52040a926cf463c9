/* What a search over meshes would work out many times: a pipeline's times follow from the schedule,
 * its stages, tp, ep and its micro-batches, not from how many pipelines there are, and so do a
 * plan's slots. Each is worked out once and found again by these numbers. */
#ifndef DUET_TRAINER_PLANNER_REMEMBER_H
#define DUET_TRAINER_PLANNER_REMEMBER_H

#include "trainer/planner/predict.h"

struct remembered; /* one of them */
enum { REMEMBER_LISTS = 1024 };

/* For one model on one cluster; layouts differ in nothing but dp, pp, tp, ep, kind,
 * micro_batches and recompute. Zero at first. */
struct remember {
    const struct shape *shape;
    const struct cluster *cluster;
    struct remembered *list[REMEMBER_LISTS];
    long asked, made; /* pipelines; those that were simulated */
};
void remember_free(struct remember *r);

/* As predict does, without a plan of the layout's own. */
void remember_predict(struct remember *r, struct prediction *out, const struct layout *l);
/* Activation slots of a rank, as plan_check counts them; a plan longer than two micro-batches a
 * stage needs no more. */
int remember_slots(struct remember *r, const struct layout *l);

#endif
