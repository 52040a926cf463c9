/* Named plans whose unpaired passes are stepped in turn (plan_interleave), for passes whose
 * exchanges take as long as they compute. Header only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_INTERLEAVED_PLAN_H
#define DUET_TESTS_SUPPORT_INTERLEAVED_PLAN_H

#include "pipeline/check.h"
#include "pipeline/improve.h"
#include "pipeline/paced.h"
#include "pipeline/schedules.h"

/* What equal chunks of a placement cost (sim_table_free); a vee's are half as long. */
static inline void interleaved_costs_make(struct sim_table *to, enum plan_place place, int stages,
                                          double exchange)
{
    int n = plan_chunks(place, stages), vee = place == PLACE_VEE;
    double each = vee ? 1 : 2;
    struct paced_costs one = {vee ? 2 : 4, each, each, each, exchange * each, exchange * each};
    struct paced_times t = paced_predict(&one);
    sim_table_new(to, n, SIM_OVERLAP | SIM_TURNS);
    for (int i = 0; i < n; i++) to->f[i] = t.f, to->b[i] = t.b, to->w[i] = t.w, to->bw[i] = t.bw;
    for (int i = 0; i < n * n; i++) to->pairs[i] = t.pair;
    for (int i = 0; i < 3 * n; i++)
        for (int j = 0; j < 3 * n; j++)
            to->interleaved[i * 3 * n + j] =
                paced_interleaved(&one, (enum plan_op)(i / n), &one, (enum plan_op)(j / n));
    to->sim.pair = t.pair / (t.f + t.bw);
    to->sim.pair_f = t.pair_f / t.pair;
}

/* The limits are what the plan keeps as it is published, in *published. */
static inline double interleaved_plan_make(struct plan *plan, enum plan_kind kind, int stages,
                                           int micro_batches, const struct sim_costs *costs,
                                           struct plan_facts *published)
{
    plan_make(plan, kind, stages, micro_batches);
    plan_check(plan, NULL, published, NULL);
    struct plan_limits limits = {published->peak_live, published->peak_slots,
                                 published->peak_weights};
    return plan_interleave(plan, costs, &limits);
}

#endif
