/* The simulator against a plain walk in unit times, against times worked out by hand, and against
 * published ones. */

#include <math.h>

#include "pipeline/blocked.h"
#include "tests/support/check_unit.h"
#include "tests/support/plans.h"

static const double ONES[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

static double makespan_of(enum plan_kind k, int stages, int micro_batches, struct sim_costs costs)
{
    struct plan plan;
    plan_make(&plan, k, stages, micro_batches);
    double makespan = plan_makespan(&plan, &costs, NULL);
    plan_free(&plan);
    return makespan;
}

/* ---- the plain walk: starts raised, sweep after sweep, until each row waits for what it needs
 * ---- */

enum { MOST_RANKS = 8, MOST_ROWS = 3 * 24 * 2 };
struct starts {
    double of[MOST_RANKS][MOST_ROWS];
};

static double unit_row(const struct plan_row *row, double fb)
{
    return row->op == PLAN_FB ? fb : row->op == PLAN_BW ? 2 : 1;
}

/* When what the row needs is there, by the starts so far. */
static double needed(const struct plan_index *x, const struct starts *s, int r, int i, double fb)
{
    const struct plan *p = x->plan;
    struct plan_pass pass[2];
    int n = plan_passes(&p->rows[r][i], pass);
    double t = i > 0 ? s->of[r][i - 1] + unit_row(&p->rows[r][i - 1], fb) : 0;
    for (int k = 0; k < n; k++) {
        int from = plan_sender(p, &pass[k]);
        if (from < 0) continue;
        bool forward = pass[k].op == PLAN_F;
        struct plan_cell c = pass[k].cell;
        c.chunk += forward ? -1 : 1;
        int j = *plan_index_at(x, forward ? PLAN_F : PLAN_B, c);
        double made = s->of[from][j] + unit_row(&p->rows[from][j], fb);
        if (made > t) t = made;
    }
    return t;
}

static void plain_starts(const struct plan *p, struct starts *s, double fb)
{
    struct plan_index x;
    plan_index_new(&x, p);
    plan_index_fill(&x);
    *s = (struct starts){0};
    for (bool raised = true; raised;) {
        raised = false;
        for (int r = 0; r < p->stages; r++)
            for (int i = 0; i < p->n_rows[r]; i++) {
                double t = needed(&x, s, r, i, fb);
                if (t > s->of[r][i]) s->of[r][i] = t, raised = true;
            }
    }
    plan_index_free(&x);
}

/* Every row of every plan up to 8 stages starts when the plain walk says, and so do plan_check's
 * facts. */
static void compare(const struct plan *plan, double pair, double fb)
{
    const struct plan_costs costs = {1, 1, 1, fb};
    static struct starts plain;
    struct plan_facts facts;
    struct sim s;
    double end[MOST_RANKS] = {0}, work[MOST_RANKS] = {0}, makespan = 0, worst = 0, mean = 0;
    plain_starts(plan, &plain, fb);
    sim_new(&s, plan);
    ck_assert(sim_run(&s, plan, &(struct sim_costs){ONES, ONES, ONES, .pair = pair}));
    ck_assert(plan_check(plan, &costs, &facts, NULL));
    for (int r = 0; r < plan->stages; r++) {
        for (int i = 0; i < plan->n_rows[r]; i++) {
            ck_assert_double_eq_tol(s.start[r][i], plain.of[r][i], 1e-9);
            end[r] = plain.of[r][i] + unit_row(&plan->rows[r][i], fb);
            work[r] += unit_row(&plan->rows[r][i], fb);
        }
        makespan = fmax(makespan, end[r]);
    }
    for (int r = 0; r < plan->stages; r++) {
        worst = fmax(worst, makespan - work[r]);
        mean += (makespan - work[r]) / plan->stages;
        ck_assert_double_eq(s.exposed[r], 0);
    }
    ck_assert_double_eq_tol(facts.makespan, makespan, 1e-9);
    ck_assert_double_eq_tol(facts.worst_idle, worst, 1e-9);
    ck_assert_double_eq_tol(facts.mean_idle, mean, 1e-9);
    ck_assert_double_eq_tol(facts.bubble, mean / makespan, 1e-9);
    sim_free(&s);
}

static void see(const struct plan *plan)
{
    struct plan forward;
    plan_forward_only(&forward, plan);
    compare(plan, 1, 3);
    compare(plan, 0, 3);
    compare(plan, 2.0 / 3, 2);
    compare(&forward, 1, 3);
    plan_free(&forward);
}

START_TEST(equals_unit_times)
{
    ck_assert_int_gt(plans_each((enum plan_kind)_i, MOST_RANKS, 3, see), 10);
}
END_TEST

/* rank 0  |F  |                         |B    |      F 1, B 3, W 5
 * rank 1      - |F  |B            |-                 F 2, B 4, W 6; - a message, 0.5 */
START_TEST(two_ranks_by_hand)
{
    static const double f[] = {1, 2}, b[] = {3, 4}, w[] = {5, 6};
    const struct sim_costs costs = {f, b, w, .pair = 1, .message = 0.5};
    struct plan plan;
    struct sim s;
    plan_make(&plan, PLAN_1F1B, 2, 1);
    sim_new(&s, &plan);
    ck_assert(sim_run(&s, &plan, &costs));
    ck_assert_double_eq(s.end[0][0], 1);
    ck_assert_double_eq(s.start[1][0], 1.5);
    ck_assert_double_eq(s.start[1][1], 3.5);
    ck_assert_double_eq(s.end[1][1], 13.5);
    ck_assert_double_eq(s.start[0][1], 14);
    ck_assert_double_eq(s.makespan, 22);
    ck_assert_double_eq(s.idle[0], 13);
    ck_assert_double_eq(s.idle[1], 10);
    ck_assert_double_eq(s.exposed[0], 0.5);
    ck_assert_double_eq(s.exposed[1], 0.5);
    sim_free(&s);
    plan_free(&plan);
}
END_TEST

/* zb1p splits the backward, so that rank 0 need not wait for rank 1's W. */
START_TEST(split_backward_by_hand)
{
    static const double f[] = {1, 2}, b[] = {3, 4}, w[] = {5, 6};
    const struct sim_costs costs = {f, b, w, .message = 0.5};
    ck_assert_double_eq(makespan_of(PLAN_ZB1P, 2, 1, costs), 3.5 + 4 + 0.5 + 3 + 5);
}
END_TEST

START_TEST(pairs)
{
    static const double f[] = {1, 2}, b[] = {3, 4}, w[] = {5, 6};
    struct plan_row row = {.op = PLAN_FB, .f = {0, 0, 3}, .b = {1, 1, 2}};
    struct sim_costs costs = {f, b, w, .pair = 1};
    ck_assert_double_eq(sim_row(&row, &costs), 11);
    costs.pair = 0; /* not given */
    ck_assert_double_eq(sim_row(&row, &costs), 11);
    costs.pair = 0.95;
    ck_assert_double_eq_tol(sim_row(&row, &costs), 0.95 * 11, 1e-12);
    costs.pair = 0.5; /* never less than the longer half */
    ck_assert_double_eq(sim_row(&row, &costs), 10);
    costs.pair = 1.5; /* a pair may also lose */
    ck_assert_double_eq(sim_row(&row, &costs), 16.5);
}
END_TEST

/* rank 0: F0 F1 [F2|B0] B1 B2. Rank 1 is quick and waits for F2, which a pair from 2 to 5 makes: at
 * its end, or when its F is done. */
START_TEST(message_leaves_inside_the_pair)
{
    static const double f[] = {1, 0.5}, b[] = {1, 0.25}, w[] = {1, 0.25};
    struct plan plan;
    struct sim s;
    plan_make(&plan, PLAN_1F1B, 2, 3);
    struct plan_row *rows = plan.rows[0];
    ck_assert_int_eq(rows[3].op, PLAN_F);
    rows[2] = (struct plan_row){.op = PLAN_FB, .f = rows[3].f, .b = rows[2].b};
    rows[3] = rows[4], rows[4] = rows[5];
    plan.n_rows[0] = 5;
    ck_assert(plan_check(&plan, NULL, NULL, NULL));
    sim_new(&s, &plan);
    struct sim_costs costs = {f, b, w, .pair = 1, .message = 0.125};
    ck_assert(sim_run(&s, &plan, &costs));
    ck_assert_double_eq(s.start[0][2], 2.25);
    ck_assert_double_eq(s.start[1][4], 5.375);
    costs.pair_f = 0.5;
    ck_assert(sim_run(&s, &plan, &costs));
    ck_assert_double_eq(s.start[1][4], 2.25 + 1.5 + 0.125);
    costs.pair_f = 0.01; /* not before an F can be done */
    ck_assert(sim_run(&s, &plan, &costs));
    ck_assert_double_eq(s.start[1][4], 2.25 + 1 + 0.125);
    sim_free(&s);
    plan_free(&plan);
}
END_TEST

/* Where a vee turns round there is no message. */
START_TEST(turn_round_is_free)
{
    struct sim_costs costs = {ONES, ONES, ONES, .pair = 1, .message = 100};
    ck_assert_double_eq(makespan_of(PLAN_DUALPIPEV, 1, 5, costs), 30);
    costs.message = 1; /* but between two ranks there is */
    double two = makespan_of(PLAN_DUALPIPEV, 2, 4, costs);
    costs.message = 0;
    ck_assert_double_gt(two, makespan_of(PLAN_DUALPIPEV, 2, 4, costs));
}
END_TEST

START_TEST(says_who_hangs)
{
    struct plan plan;
    struct sim s;
    plan_make(&plan, PLAN_1F1B, 2, 2);
    sim_new(&s, &plan);
    struct plan_row row =
        plan.rows[0][1]; /* F1 and B0 in the wrong order: rank 1 wants no F1 yet */
    plan.rows[0][0] = plan.rows[0][2], plan.rows[0][2] = row;
    ck_assert(!sim_run(&s, &plan, &(struct sim_costs){ONES, ONES, ONES, .pair = 1}));
    ck_assert_int_eq(s.at[0], 0);
    ck_assert_int_eq(s.at[1], 0);
    sim_free(&s);
    plan_free(&plan);
}
END_TEST

/* F = I = W = 1: P, M, then 1F1B, ZB1P, DualPipe with F&B = 3 and 2, of an independent event
 * simulator. */
START_TEST(known_step_lengths)
{
    static const double known[][6] = {{4, 16, 57, 51, 50, 38},
                                      {8, 20, 81, 67, 66, 52},
                                      {8, 64, 213, 199, 198, 140},
                                      {16, 64, 237, 207, 206, 152},
                                      {16, 120, 405, 375, 374, 264}};
    static const enum plan_kind kind[] = {PLAN_1F1B, PLAN_ZB1P, PLAN_DUALPIPE, PLAN_DUALPIPE};
    const double *row = known[_i];
    for (int c = 0; c < 4; c++) {
        struct sim_costs costs = {ONES, ONES, ONES, .pair = c < 3 ? 1 : 2.0 / 3};
        double got = makespan_of(kind[c], (int)row[0], (int)row[1], costs);
        ck_assert_double_eq_tol(got, row[2 + c], 1e-6);
    }
}
END_TEST

/* The same simulator for hops that cost something and are sent lazily, with the next group, as the
 * reference implementation does: 140 becomes 143.9, 147.7, 155.4. Sent at once they cost less, by
 * under 2 %. */
START_TEST(known_hop_costs)
{
    static const double known[][2] = {{0, 140}, {0.05, 143.9}, {0.1, 147.7}, {0.2, 155.4}};
    struct sim_costs costs = {ONES, ONES, ONES, .pair = 2.0 / 3, .message = known[_i][0]};
    double got = makespan_of(PLAN_DUALPIPE, 8, 64, costs);
    ck_assert_double_le(got, known[_i][1] + 1e-6);
    ck_assert_double_gt(got, 0.98 * known[_i][1]);
    /* 65 hops stand one behind the other: neighbours answer each other row by row, without slack */
    ck_assert_double_eq_tol(got, 140 + 65 * costs.message, 1e-6);
}
END_TEST

#define TESTS(X)                          \
    X(equals_unit_times, .to = PLAN_AUTO) \
    X(two_ranks_by_hand)                  \
    X(split_backward_by_hand)             \
    X(pairs)                              \
    X(message_leaves_inside_the_pair)     \
    X(turn_round_is_free)                 \
    X(says_who_hangs)                     \
    X(known_step_lengths, .to = 5)        \
    X(known_hop_costs, .to = 4)

UNIT_MAIN("simulate", .timeout_s = 60)
