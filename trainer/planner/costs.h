/* What the parts of a step take on a cluster: passes and messages by the one model of them
 * (trainer/schedule/pass_cost.h), and what comes after the pipeline. Seconds. */
#ifndef DUET_TRAINER_PLANNER_COSTS_H
#define DUET_TRAINER_PLANNER_COSTS_H

#include "trainer/config/cluster.h"
#include "trainer/planner/layout.h"
#include "trainer/schedule/pass_cost.h"

/* One micro-batch in a chunk of layers. */
struct pass_cost cost_of_part(const struct shape *s, const struct cluster *c,
                              const struct layout *l, struct pass_part part);
/* Between two neighbouring stages. */
double cost_of_message(const struct shape *s, const struct cluster *c, const struct layout *l);
/* After the pipeline: gradients summed and weights gathered over the replicas; the update itself.
 * Of the rank with most weights. */
double cost_of_reduce(const struct shape *s, const struct cluster *c, const struct layout *l,
                      double dense_weights, double expert_weights);
double cost_of_update(const struct shape *s, const struct cluster *c, const struct layout *l,
                      double dense_weights, double expert_weights);

#endif
