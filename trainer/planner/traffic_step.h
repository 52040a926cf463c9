/* What a job sends in one optimizer step and in a rollout. It follows from what sends it: messages
 * from the plan's rows, exchanges from the layers of each pass, reductions from the optimizer's own
 * buckets and slices (reduction.h). */
#ifndef DUET_TRAINER_PLANNER_TRAFFIC_STEP_H
#define DUET_TRAINER_PLANNER_TRAFFIC_STEP_H

#include "pipeline/plan.h"
#include "trainer/planner/memory.h"
#include "trainer/planner/traffic.h"

struct traffic_job {
    struct memory_job memory; /* settings, kernels, vocabulary */
    const struct plan *plan;
    const int *first; /* [chunks+1] layers of the chunks */
    double rows;      /* of a micro-batch, on average */
    int forwards;     /* further forward runs of all micro-batches */
};
/* Adds a step: every pass of the plan in every pipeline, one reduction, one gather of weights.
 * Experts are taken to get equal parts of the rows. */
void traffic_step(struct traffic *t, const struct traffic_job *j);
/* How much is sampled; tokens are means. */
struct rollout_size {
    double questions, samples; /* answers of each */
    double prompt, answer;     /* tokens */
};
/* Adds a rollout, whose questions all pipelines and directions share equally. Its decode batches
 * are taken to be full. */
void traffic_rollout(struct traffic *t, const struct traffic_job *j, struct rollout_size size);
/* Adds what the sites of a job exchange, a step: t's ranks are those of all sites, one after the
 * other. */
void traffic_sites(struct traffic *t, const struct memory_job *j);

#endif
