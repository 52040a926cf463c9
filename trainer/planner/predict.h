/* One optimizer step of a model on a cluster: what every pass, message, exchange and reduction takes, and, through the simulator, the
 * whole. Times of operations are computed from FLOPs and bytes, or taken as measured (cluster file, `costs`).
 *
 * What is assumed is written where it is used (costs.c) and in docs/PLANNER.md. */
#ifndef DUET_TRAINER_PLAN_PREDICT_H
#define DUET_TRAINER_PLAN_PREDICT_H

#include "pipeline/timeline.h"
#include "trainer/planner/cluster.h"
#include "trainer/planner/shape.h"

/* One way to run a model. Rank (d * pp + p) * tp + t, as in comm/mesh.h. */
struct layout {
    int dp, pp, tp, ep; /* ep divides dp */
    enum plan_kind kind;
    const struct plan *plan; /* what was searched for; NULL: the kind's own is made */
    int micro_batches;       /* of a pipeline */
    double rows;             /* of a micro-batch, on average */
    double room;             /* rows it has room for: what `costs` and messages are for */
    double context;          /* rows of a sequence, on average */
    const int *first;        /* [chunks+1] layers of each chunk; NULL: split by cost */
    bool sharded; /* the optimizer's state is cut over the replicas (ZeRO-1): always so in Duet */
    double sums,
        gathers;  /* seconds of the reduction, by its paths and hosts; both 0: cost_of_reduce */
    int buckets;  /* overlapped with the end of the backward pass in so many parts; 0: it is not */
    int threads;  /* of a rank's matrix products, for ranks that share cores; 0: one */
    int forwards; /* further forward runs of all micro-batches in a step (a reference model's) */
};

enum plan_place layout_place(const struct layout *l);

/* Seconds of one micro-batch in one chunk; exchanges apart from what is computed. */
struct pass_cost {
    double f, b, w;                /* computing */
    double exchange_f, exchange_b; /* of tensor and expert parallelism */
};
/* Chunk of layers [first, last) with or without the ends of the model. */
struct pass_cost cost_of_chunk(const struct shape *s, const struct cluster *c,
                               const struct layout *l, int first, int last, bool embed, bool head);
/* Between two neighbouring stages. */
double cost_of_message(const struct shape *s, const struct cluster *c, const struct layout *l);
/* After the pipeline: gradients summed and weights gathered over the replicas; the update itself. Of the rank with most weights. */
double cost_of_reduce(const struct shape *s, const struct cluster *c, const struct layout *l,
                      double dense_weights, double expert_weights);
double cost_of_update(const struct shape *s, const struct cluster *c, const struct layout *l,
                      double dense_weights, double expert_weights);

struct prediction {
    double f, b, w,
        pair;        /* of the mean chunk; b: input part; pair: as long as the simulator takes it */
    double message;  /* of a hop */
    double pipeline; /* first pass to last */
    double reduce, update; /* after it: what of the reduction is not hidden */
    double hidden;         /* of the reduction, behind the last backward pass */
    double step;           /* all of it */
    double bubble;         /* idle part of the pipeline's time, mean over ranks */
    double
        exposed; /* part of the step in which the mean rank waits for messages, exchanges or the reduction */
    double rows_per_second;
    double
        mfu; /* shape_model_flops over the devices' dense peak; above 1: costs and peak contradict each other */
    double
        crowding; /* ranks that share cores take turns: passes are so much longer than on cores of their own */
    double weights; /* that the rank with most holds */
};

/* The layers of the chunks by cost, as training splits them: first [chunks+1]. */
void predict_split(int *first, int chunks, const struct shape *s, const struct cluster *c,
                   const struct layout *l);
/* timeline: NULL, or what the pipeline's ranks do (made here, timeline_free). The layout must be possible (plan_possible). */
void predict(struct prediction *out, const struct shape *s, const struct cluster *c,
             const struct layout *l, struct timeline *timeline);

#endif
