/* Plans in tests: all of a kind up to a size, what the checker and the simulator say of one. Header
 * only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_PLANS_H
#define DUET_TESTS_SUPPORT_PLANS_H

#include <check.h>

#include "comm/base/problems.h"
#include "pipeline/check.h"
#include "pipeline/schedules.h"
#include "pipeline/simulate.h"

/* Calls see(plan) on every plan of the kind that is possible on 1 to `stages` stages with 1 to
 * `per_stage` times as many micro-batches as stages. Returns how many there were. */
static inline int plans_each(enum plan_kind k, int stages, int per_stage,
                             void (*see)(const struct plan *plan))
{
    int n = 0;
    for (int P = 1; P <= stages; P++)
        for (int M = 1; M <= per_stage * P; M++) {
            if (!plan_possible(k, P, M, NULL)) continue;
            struct plan plan;
            plan_make(&plan, k, P, M);
            see(&plan);
            plan_free(&plan);
            n++;
        }
    return n;
}

/* What plan_check says of a plan that must be right. Costs NULL: of one. */
static inline struct plan_facts plan_facts_of(const struct plan *plan,
                                              const struct plan_costs *costs)
{
    struct problems p = {0};
    struct plan_facts facts;
    bool right = plan_check(plan, costs, &facts, &p);
    ck_assert_msg(right, "%s, %d stages, %d micro-batches: %s", plan_kind_name(plan->kind),
                  plan->stages, plan->micro_batches, p.n ? p.text[0] : "");
    ck_assert_int_eq(p.n, 0);
    problems_free(&p);
    return facts;
}

/* How long it takes in the simulator, where it must not hang; *busy, if asked for: seconds inside
 * rows, of all ranks. */
static inline double plan_makespan(const struct plan *plan, const struct sim_costs *costs,
                                   double *busy)
{
    struct sim s;
    sim_new(&s, plan);
    ck_assert(sim_run(&s, plan, costs));
    double makespan = s.makespan;
    if (busy) *busy = 0;
    for (int r = 0; busy && r < plan->stages; r++) *busy += s.busy[r];
    sim_free(&s);
    return makespan;
}

#endif
