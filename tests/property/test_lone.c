/* Lone passes stepped in turn: what comes of a named plan is right, keeps no more, takes no longer and waits less for exchanges. */
#include <stdio.h>

#include "comm/base/problems.h"
#include "tests/support/lone_plan.h"
#include "tests/support/check_unit.h"

enum { MOST_STAGES = 16, PER_STAGE = 6 };
static const double SAME = 1e-9;

static int count(const struct plan *plan, enum plan_op op)
{
    int n = 0;
    for (int r = 0; r < plan->stages; r++)
        for (int i = 0; i < plan->n_rows[r]; i++) n += plan->rows[r][i].op == op;
    return n;
}

/* Seconds inside rows, of all ranks. */
static double busy_of(const struct plan *plan, const struct sim_costs *costs, double *makespan)
{
    struct sim s;
    double sum = 0;
    sim_new(&s, plan);
    ck_assert(sim_run(&s, plan, costs));
    for (int r = 0; r < plan->stages; r++) sum += s.busy[r];
    *makespan = s.makespan;
    sim_free(&s);
    return sum;
}

/* Share of the step that the mean rank waits for exchanges: what it is busy beyond computing (6 a micro-batch and stage). */
static double exposed(const struct plan *plan, const struct sim_costs *costs)
{
    double makespan, busy = busy_of(plan, costs, &makespan);
    return (busy / plan->stages - 6.0 * plan->micro_batches) / makespan;
}

static void see(enum plan_kind k, int P, int M, const struct sim_costs *costs)
{
    struct plan plan, named, forward;
    struct plan_facts published, facts;
    struct problems p = {0};
    double before, after;
    plan_make(&named, k, P, M);
    double waited = busy_of(&named, costs, &before);
    double says = lone_plan_make(&plan, k, P, M, costs, &published);
    bool right = plan_check(&plan, NULL, &facts, &p);
    ck_assert_msg(right, "%s %d,%d: %s", plan_kind_name(k), P, M, p.n ? p.text[0] : "");
    ck_assert_int_le(facts.peak_live, published.peak_live);
    ck_assert_int_le(facts.peak_slots, published.peak_slots);
    ck_assert_int_le(facts.peak_weights, published.peak_weights);
    double waits = busy_of(&plan, costs, &after);
    ck_assert_double_eq_tol(says, after, 1e-9);
    ck_assert_double_le(after, before * (1 + SAME));
    ck_assert(count(&plan, PLAN_TWO) > 0 ? waits < waited : waits == waited);
    ck_assert_int_eq(count(&plan, PLAN_FB), count(&named, PLAN_FB));
    plan_forward_only(&forward, &plan);
    right = plan_check(&forward, NULL, NULL, &p);
    ck_assert_msg(right, "%s %d,%d, forwards: %s", plan_kind_name(k), P, M, p.n ? p.text[0] : "");
    plan_free(&forward);
    plan_free(&named);
    plan_free(&plan);
}

/* Every plan up to 4 stages; of longer ones (where it takes a while) a few lengths, the shortest among them. */
static bool is_tried(int P, int M)
{
    if (P <= 4) return true;
    return M == 2 * P || (P <= 6 && (M == 2 * P + 2 || M == PER_STAGE * P));
}

START_TEST(right_and_never_slower)
{
    enum plan_kind k = (enum plan_kind)_i;
    int n = 0;
    int most = plan_kind_place(k) == PLACE_VEE ? MOST_STAGES / 2 : MOST_STAGES; /* chunks */
    for (int P = 1; P <= most; P++) {
        struct sim_table costs;
        lone_costs_make(&costs, plan_kind_place(k), P, 1);
        for (int M = 1; M <= PER_STAGE * P; M++) {
            if (!plan_possible(k, P, M, NULL) || !is_tried(P, M)) continue;
            see(k, P, M, &costs.sim);
            n++;
        }
        sim_table_free(&costs);
    }
    ck_assert_int_gt(n, 20);
}
END_TEST

/* Issue 3: with exchanges as long as computing, no more than 5 % of the step; published, nearly a fifth. */
START_TEST(exposed_of_dualpipe)
{
    struct sim_table costs;
    struct plan plan;
    struct plan_facts facts;
    lone_costs_make(&costs, PLACE_MIRROR, 8, 1);
    plan_make(&plan, PLAN_DUALPIPE, 8, 20);
    ck_assert_double_gt(exposed(&plan, &costs.sim), 0.18);
    plan_free(&plan);
    lone_plan_make(&plan, PLAN_DUALPIPE, 8, 20, &costs.sim, &facts);
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
    lone_costs_make(&costs, PLACE_MIRROR, 4, 1);
    struct sim_costs plain = costs.sim;
    plain.two = NULL;
    lone_plan_make(&plan, PLAN_DUALPIPE, 4, 10, &plain, &facts);
    ck_assert_int_eq(count(&plan, PLAN_TWO), 0);
    plan_free(&plan);
    sim_table_free(&costs);
}
END_TEST

#define TESTS(X)                               \
    X(right_and_never_slower, .to = PLAN_AUTO) \
    X(exposed_of_dualpipe)                     \
    X(nothing_known_nothing_changed)

UNIT_MAIN("lone passes", .timeout_s = 120)
