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
/* The parts of it, of one stage: all its passes of a plan. */
struct exchanged {
    double tensor, expert; /* to each of the others that share its layers, its experts */
};
/* sent, got: [stages] messages to and from each other stage. scores: passes without a gradient. */
struct exchanged traffic_stage(const struct traffic_job *j, const struct mesh *m,
                               const struct plan *plan, bool scores, int p, int *sent, int *got);
/* Bytes of a message between stages; of a hop of the sums over all ranks, which go up a tree, from
 * rank r to r & (r - 1), and down again. */
double traffic_message(const struct traffic_job *j);
double traffic_hop(const struct traffic_job *j);

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
