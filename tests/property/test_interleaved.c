/* Unpaired passes stepped in turn: what comes of a named plan is right, keeps no more, takes no
 * longer and waits less for exchanges. */
#include <stdio.h>

#include "tests/support/interleaved_plan.h"
#include "tests/support/check_unit.h"
#include "tests/support/plans.h"

enum { MOST_STAGES = 16, PER_STAGE = 6 };
static const double SAME = 1e-9;

static int count(const struct plan *plan, enum plan_op op)
{
    int n = 0;
    for (int r = 0; r < plan->stages; r++)
        for (int i = 0; i < plan->n_rows[r]; i++) n += plan->rows[r][i].op == op;
    return n;
}

/* Share of the step that the mean rank waits for exchanges: what it is busy beyond computing (6 a
 * micro-batch and stage). */
static double exposed(const struct plan *plan, const struct sim_costs *costs)
{
    double busy, makespan = plan_makespan(plan, costs, &busy);
    return (busy / plan->stages - 6.0 * plan->micro_batches) / makespan;
}

/* All up to 4 stages; of longer ones (where it takes a while) a few lengths, the shortest among
 * them. */
static bool is_tried(int P, int M)
{
    if (P <= 4) return true;
    return M == 2 * P || (P <= 6 && (M == 2 * P + 2 || M == PER_STAGE * P));
}

static int tried;

static void see(const struct plan *named)
{
    int P = named->stages, M = named->micro_batches;
    struct plan plan, forward;
    struct plan_facts published;
    struct sim_table costs;
    double waited, waits;
    if (!is_tried(P, M)) return;
    tried++;
    interleaved_costs_make(&costs, named->place, P, 1);
    double before = plan_makespan(named, &costs.sim, &waited);
    double says = interleaved_plan_make(&plan, named->kind, P, M, &costs.sim, &published);
    struct plan_facts facts = plan_facts_of(&plan, NULL);
    ck_assert_int_le(facts.peak_live, published.peak_live);
    ck_assert_int_le(facts.peak_slots, published.peak_slots);
    ck_assert_int_le(facts.peak_weights, published.peak_weights);
    double after = plan_makespan(&plan, &costs.sim, &waits);
    ck_assert_double_eq_tol(says, after, 1e-9);
    ck_assert_double_le(after, before * (1 + SAME));
    ck_assert(count(&plan, PLAN_INTERLEAVED) > 0 ? waits < waited : waits == waited);
    ck_assert_int_eq(count(&plan, PLAN_FB), count(named, PLAN_FB));
    plan_forward_only(&forward, &plan);
    plan_facts_of(&forward, NULL);
    plan_free(&forward);
    plan_free(&plan);
    sim_table_free(&costs);
}

START_TEST(right_and_never_slower)
{
    enum plan_kind k = (enum plan_kind)_i;
    int most = plan_kind_place(k) == PLACE_VEE ? MOST_STAGES / 2 : MOST_STAGES; /* chunks */
    plans_each(k, most, PER_STAGE, see);
    ck_assert_int_gt(tried, 20);
}
END_TEST

/* Issue 3: with exchanges as long as computing, no more than 5 % of the step; published, nearly a
 * fifth. */
START_TEST(exposed_of_dualpipe)
{
    struct sim_table costs;
    struct plan plan;
    struct plan_facts facts;
    interleaved_costs_make(&costs, PLACE_MIRROR, 8, 1);
    plan_make(&plan, PLAN_DUALPIPE, 8, 20);
    ck_assert_double_gt(exposed(&plan, &costs.sim), 0.18);
    plan_free(&plan);
    interleaved_plan_make(&plan, PLAN_DUALPIPE, 8, 20, &costs.sim, &facts);
    ck_assert_double_lt(exposed(&plan, &costs.sim), 0.05);
    plan_free(&plan);
    sim_table_free(&costs);
}
END_TEST

/* Without a word about what two passes bring, a plan stays as it is. */
START_TEST(nothing_known_nothing_changed)
{
    struct sim_table costs;
    struct plan plan;
    struct plan_facts facts;
    interleaved_costs_make(&costs, PLACE_MIRROR, 4, 1);
    struct sim_costs plain = costs.sim;
    plain.interleaved = NULL;
    interleaved_plan_make(&plan, PLAN_DUALPIPE, 4, 10, &plain, &facts);
    ck_assert_int_eq(count(&plan, PLAN_INTERLEAVED), 0);
    plan_free(&plan);
    sim_table_free(&costs);
}
END_TEST

#define TESTS(X)                               \
    X(right_and_never_slower, .to = PLAN_AUTO) \
    X(exposed_of_dualpipe)                     \
    X(nothing_known_nothing_changed)

UNIT_MAIN("unpaired passes", .timeout_s = 120)
