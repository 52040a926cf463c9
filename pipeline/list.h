/* List scheduling: a plan made in the order of time, every rank doing the best of what is ready. */
#ifndef DUET_PIPELINE_LIST_H
#define DUET_PIPELINE_LIST_H

#include "pipeline/auto.h"
#include "pipeline/simulate.h"

/* How a rank chooses. */
struct list_policy {
    double fill; /* a weight part goes into a hole before an input known to come if the hole is this
                    share of it */
    double
        wait; /* with one half of a pair ready, wait for the other at most this share of the half */
    bool pairs;        /* make pairs */
    bool whole;        /* backwards in one pass, not B and W apart */
    bool f_first;      /* of a forward and a backward that are ready, the forward */
    bool low_f, low_b; /* of two chunks' forwards (backwards) that are ready, the lower chunk's */
};
struct list_rule {
    int *cap;                   /* [chunks] micro-batches that may have gone forward and not back */
    struct list_policy *policy; /* [stages] */
};

/* Writes the rows of a plan whose other fields are set. s is room for it. false: stuck, no plan. */
bool list_make(struct plan *plan, struct sim *s, const struct sim_costs *costs,
               const struct plan_limits *limits, const struct list_rule *rule);

#endif
