/* One optimizer step of a model on a cluster: what every pass, message, exchange and reduction
 * takes, and, through the simulator, the whole. Times of operations are computed from FLOPs and
 * bytes, or taken as measured (cluster file, `costs`).
 *
 * What is assumed is written where it is used (trainer/schedule/pass_cost.h, costs.c) and in
 * docs/PLANNER.md. */
#ifndef DUET_TRAINER_PLANNER_PREDICT_H
#define DUET_TRAINER_PLANNER_PREDICT_H

#include "pipeline/timeline.h"
#include "trainer/config/cluster.h"
#include "trainer/planner/layout.h"
#include "trainer/schedule/shape.h"

struct prediction {
    double f, b, w,
        pair;        /* of the mean chunk; b: input part; pair: as long as the simulator takes it */
    double message;  /* of a hop */
    double pipeline; /* first pass to last */
    double reduce, update; /* after it: what of the reduction is not hidden */
    double hidden;         /* of the reduction, behind the last backward pass */
    double step;           /* all of it */
    double bubble;         /* idle part of the pipeline's time, mean over ranks */
    double exposed; /* part of the step in which the mean rank waits for messages, exchanges or the
                       reduction */
    double rows_per_second;
    double mfu;      /* shape_model_flops over the devices' dense peak; above 1: costs and peak
                        contradict each other */
    double crowding; /* ranks that share cores take turns: factor by which passes take longer than
                        on cores of their own */
    double weights;  /* that the rank with most holds */
};

/* timeline: NULL, or what the pipeline's ranks do (made here, timeline_free). The layout must be
 * possible (plan_possible). */
void predict(struct prediction *out, const struct shape *s, const struct cluster *c,
             const struct layout *l, struct timeline *timeline);

/* The same in two parts. The first asks everything of the layout but dp (and it, too, where ranks
 * share cores): who predicts many meshes may keep it. */
struct predicted_pipeline {
    struct prediction known; /* up to `pipeline`, bubble, crowding, weights */
    double exposed;          /* seconds of the mean rank, of the pipeline */
    double dense, expert;    /* weights of the rank with most */
};
void predict_pipeline(struct predicted_pipeline *out, const struct shape *s,
                      const struct cluster *c, const struct layout *l, struct timeline *timeline);
void predict_step(struct prediction *out, const struct shape *s, const struct cluster *c,
                  const struct layout *l, const struct predicted_pipeline *p);

#endif
