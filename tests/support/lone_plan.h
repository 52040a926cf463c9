/* Named plans whose lone passes are stepped in turn (plan_pair_lone), for passes whose exchanges take as long as they compute. Header
 * only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_LONE_PLAN_H
#define DUET_TESTS_SUPPORT_LONE_PLAN_H

#include <stdlib.h>
#include "pipeline/check.h"
#include "pipeline/improve.h"
#include "pipeline/paced.h"

enum { LONE_MOST = 32 };

/* What equal chunks of a placement cost; a vee's are half as long. */
struct lone_costs {
    double f[LONE_MOST], b[LONE_MOST], w[LONE_MOST], bw[LONE_MOST], pair[LONE_MOST];
    const double *pairs[LONE_MOST];
    struct sim_two *two;
    struct sim_costs sim;
};

static inline void lone_costs_make(struct lone_costs *c, enum plan_place place, int stages,
                                   double exchange)
{
    int n = plan_chunks(place, stages), vee = place == PLACE_VEE;
    double each = vee ? 1 : 2;
    struct paced_costs one = {vee ? 2 : 4, each, each, each, exchange * each, exchange * each};
    struct paced_times t = paced_predict(&one);
    c->two = calloc((size_t)(9 * n * n), sizeof *c->two);
    for (int i = 0; i < n; i++) {
        c->f[i] = t.f, c->b[i] = t.b, c->w[i] = t.w, c->bw[i] = t.bw;
        c->pair[i] = t.pair, c->pairs[i] = c->pair;
    }
    for (int i = 0; i < 3 * n; i++)
        for (int j = 0; j < 3 * n; j++)
            c->two[i * 3 * n + j] =
                paced_two(&one, (enum plan_op)(i / n), &one, (enum plan_op)(j / n));
    c->sim = (struct sim_costs){.f = c->f,
                                .b = c->b,
                                .w = c->w,
                                .bw = c->bw,
                                .pairs = c->pairs,
                                .pair = t.pair / (t.f + t.bw),
                                .pair_f = t.pair_f / t.pair,
                                .two = c->two,
                                .chunks = n};
}

static inline void lone_costs_free(struct lone_costs *c)
{
    free(c->two);
}

/* The limits are what the plan keeps as it is published, in *published. */
static inline double lone_plan_make(struct plan *plan, enum plan_kind kind, int stages,
                                    int micro_batches, const struct sim_costs *costs,
                                    struct plan_facts *published)
{
    plan_make(plan, kind, stages, micro_batches);
    plan_check(plan, NULL, published, NULL);
    struct plan_limits limits = {published->peak_live, published->peak_slots,
                                 published->peak_weights};
    return plan_pair_lone(plan, costs, &limits);
}

#endif
