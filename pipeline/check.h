/* Proves a plan before anything runs: every F, B and W exactly once and in micro-batch order per
 * direction, every pass after what it needs, every send matched by a receive, no deadlock even if
 * every send blocks until it is received; and measures it in unit times. */
#ifndef DUET_PIPELINE_CHECK_H
#define DUET_PIPELINE_CHECK_H

#include "pipeline/simulate.h"

struct plan_facts {
    int peak_live;    /* largest number of micro-batches whose activations one rank keeps (F done, B
                         not), both    directions together */
    int peak_slots;   /* the same, but kept until W: what must be allocated */
    int peak_weights; /* largest number of weight parts waiting */
    double makespan;  /* with the unit costs given, messages free */
    double worst_idle, mean_idle; /* over ranks, time units */
    double bubble;                /* mean_idle / makespan */
};

/* true if the plan is right; otherwise what is wrong is added to p. facts and p may be NULL; costs
 * (the same for every chunk) NULL: f=b=w=1, fb=3. In a plan of forwards only, the peaks say what
 * the engine keeps: a slot for each open pass. */
bool plan_check(const struct plan *plan, const struct plan_costs *costs, struct plan_facts *facts,
                struct problems *p);

#endif
