/* A mesh, a schedule and micro-batches: a way to run a model, of which a step's time can be
 * predicted. */
#ifndef DUET_TRAINER_PLANNER_LAYOUT_H
#define DUET_TRAINER_PLANNER_LAYOUT_H

#include "model/recompute.h"
#include "pipeline/plan.h"

/* One way to run a model. Rank (d * pp + p) * tp + t, as in comm/mesh.h. */
struct layout {
    int dp, pp, tp, ep; /* ep divides dp */
    bool cut;           /* sequences over tp (schedule_cut) */
    enum plan_kind kind;
    const struct plan *plan; /* what was searched for; NULL: the kind's own is made */
    int micro_batches;       /* of a pipeline */
    enum recompute recompute;
    double rows;      /* of a micro-batch, on average */
    double room;      /* rows it has room for: what `costs` and messages are for */
    double context;   /* rows of a sequence, on average */
    const int *first; /* [chunks+1] layers of each chunk; NULL: as training splits them
                         (schedule_split_shape) */
    bool sharded; /* the optimizer's state is cut over the replicas (ZeRO-1): always so in Duet */
    double sums,
        gathers; /* seconds of the reduction, by its paths and hosts; both 0: cost_of_reduce */
    int buckets; /* overlapped with the end of the backward pass in this many parts; 0: it is not */
    int threads; /* of a rank's matrix products, for ranks that share cores; 0: one */
    int forwards; /* further forward runs of all micro-batches in a step (a reference model's) */
};

enum plan_place layout_place(const struct layout *l);
/* As the setting mesh.recompute has it. */
const char *layout_recompute_name(enum recompute recompute);

#endif
