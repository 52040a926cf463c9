/* auto: a plan found by search, for given costs, under a memory limit.
 *
 * The search starts from every named plan that fits, so it is never worse than the best of them in
 * the simulator (pipeline/simulate.h); where stages are uneven it is better. The same question has
 * the same answer. */
#ifndef DUET_PIPELINE_AUTO_H
#define DUET_PIPELINE_AUTO_H

#include "pipeline/check.h"
#include "pipeline/schedules.h"

/* What any rank may keep, in micro-batches of a chunk, as plan_check counts it; 0: no limit. */
struct plan_limits {
    int live;    /* peak_live: until the B */
    int slots;   /* peak_slots: until the W */
    int weights; /* peak_weights: waiting weight parts */
};

/* One placement that may be chosen, with its costs. */
struct auto_option {
    const struct sim_costs *costs; /* of its chunks (P, vee: 2P); NULL: not to be had */
    struct plan_limits limits;
    int part; /* the usual effort divided by this; 0: all of it */
};

struct auto_found {
    double makespan;       /* simulated, of the plan found */
    enum plan_kind named;  /* the best named plan that fits; PLAN_AUTO if none does */
    double named_makespan; /* 0 if none */
};

/* Makes the plan, of the best placement. option is indexed by enum plan_place. found may be NULL.
 * false: nothing fits, no plan made. Local; ranks that give the same bits of costs get the same
 * plan (basic arithmetic alone decides). */
bool plan_auto(struct plan *plan, int stages, int micro_batches,
               const struct auto_option option[PLACES], struct auto_found *found);
/* plan_make of any kind; of PLAN_AUTO what the search finds for F = B = W = 1 and 1f1b's memory. */
void plan_make_any(struct plan *plan, enum plan_kind k, int stages, int micro_batches);

#endif
