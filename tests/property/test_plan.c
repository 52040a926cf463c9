/* Every plan that can be, up to 16 stages and six micro-batches a stage, is right, and has the peak
 * memory and the idle time that the literature states. Published figures: DualPipe README and
 * DeepSeek-V3 report, table 2; the row counts follow from the phases in pipeline/dual.c. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/check_unit.h"
#include "tests/support/plans.h"

enum { MOST_STAGES = 16, PER_STAGE = 6 };

static const struct plan_costs NO_SAVING = {1, 1, 1, 3}, SAVING = {1, 1, 1, 2},
                               UNEVEN = {1.25, 1.5, 0.75, 3};

static int count_op(const struct plan *plan, int rank, enum plan_op op)
{
    int n = 0;
    for (int i = 0; i < plan->n_rows[rank]; i++) n += plan->rows[rank][i].op == op;
    return n;
}

static void see_serial(const struct plan *plan)
{
    int P = plan->stages, M = plan->micro_batches;
    struct plan_facts f = plan_facts_of(plan, &NO_SAVING);
    ck_assert_int_eq(f.peak_live, 1);
    ck_assert_int_eq(f.peak_slots, 1);
    ck_assert_int_eq(f.peak_weights, 0);
    ck_assert_double_eq(f.makespan, 3.0 * P * M);
    ck_assert_double_eq_tol(f.worst_idle, plan_bubble_formula(PLAN_SERIAL, P, M, &NO_SAVING), 1e-9);
}

START_TEST(serial_plans)
{
    ck_assert_int_eq(plans_each(PLAN_SERIAL, MOST_STAGES, PER_STAGE, see_serial), 816);
}
END_TEST

static void see_1f1b(const struct plan *plan)
{
    int P = plan->stages, M = plan->micro_batches;
    struct plan_facts f = plan_facts_of(plan, &NO_SAVING);
    ck_assert_int_eq(f.peak_live, P < M ? P : M);
    ck_assert_int_eq(f.peak_slots, P < M ? P : M);
    ck_assert_int_eq(f.peak_weights, 0);
    ck_assert_double_eq(f.makespan, 3.0 * (M + P - 1));
    ck_assert_double_eq(f.worst_idle, plan_bubble_formula(PLAN_1F1B, P, M, &NO_SAVING));
    ck_assert_double_eq_tol(f.mean_idle, f.worst_idle, 1e-9);
    ck_assert_double_eq_tol(f.bubble, (P - 1.0) / (M + P - 1), 1e-12);
}

START_TEST(one_f_one_b_plans)
{
    ck_assert_int_eq(plans_each(PLAN_1F1B, MOST_STAGES, PER_STAGE, see_1f1b), 816);
}
END_TEST

/* The units of plan_costs are those of a chunk; where micro-batches are fewer than stages, the
 * formula, which assumes a steady state, counts weight parts that do not exist. */
static void see_zb1p(const struct plan *plan)
{
    int P = plan->stages, M = plan->micro_batches, least = P < M ? P : M;
    struct plan_facts f = plan_facts_of(plan, &NO_SAVING);
    ck_assert_int_eq(f.peak_live, least);
    ck_assert_int_eq(f.peak_slots, least);
    ck_assert_int_eq(f.peak_weights, P == 1 ? 0 : least);
    if (M < P) return;
    ck_assert_double_eq(f.worst_idle, plan_bubble_formula(PLAN_ZB1P, P, M, &NO_SAVING));
    ck_assert_double_eq_tol(f.mean_idle, f.worst_idle, 1e-9);
    ck_assert_double_eq(f.makespan, 3.0 * M + P - 1);
}

START_TEST(zb1p_plans)
{
    ck_assert_int_eq(plans_each(PLAN_ZB1P, MOST_STAGES, PER_STAGE, see_zb1p), 816);
}
END_TEST

/* The most micro-batches a rank keeps until their B, and the most weight parts that wait on it. */
static void rank_peaks(const struct plan *plan, int rank, int *live, int *waiting)
{
    int f = 0, b = 0, w = 0;
    *live = *waiting = 0;
    for (int i = 0; i < plan->n_rows[rank]; i++) {
        enum plan_op op = plan->rows[rank][i].op;
        f += op == PLAN_F || op == PLAN_FB;
        if (f - b > *live) *live = f - b;
        b += op != PLAN_F && op != PLAN_W;
        w += op != PLAN_F && op != PLAN_B;
        if (b - w > *waiting) *waiting = b - w;
    }
}

static void see_dual_rows(const struct plan *plan)
{
    int P = plan->stages, H = plan->chunks / 2, c = plan_per_direction(plan);
    bool mirror = plan->place == PLACE_MIRROR;
    for (int r = 0; r < P; r++) {
        int h = mirror && r >= H ? P - 1 - r : r, middle = h == H - 1;
        int deferred = 2 * (H - h - 1) + (h + 1), live, waiting;
        rank_peaks(plan, r, &live, &waiting);
        ck_assert_int_eq(live, 2 * H + 1 < 2 * c ? 2 * H + 1 : 2 * H);
        ck_assert_int_eq(waiting, h + 1);
        int pairs = 2 * (c - 2 * H + h + 1) + (H - h - 1) - middle;
        ck_assert_int_eq(count_op(plan, r, PLAN_FB), pairs);
        ck_assert_int_eq(count_op(plan, r, PLAN_B), deferred);
        ck_assert_int_eq(count_op(plan, r, PLAN_W), deferred);
        ck_assert_int_eq(count_op(plan, r, PLAN_F), 2 * c - pairs);
        ck_assert_int_eq(count_op(plan, r, PLAN_BW), 2 * c - pairs - deferred);
    }
}

static void see_dualpipe(const struct plan *plan)
{
    int P = plan->stages, M = plan->micro_batches;
    struct plan_facts f = plan_facts_of(plan, &NO_SAVING);
    ck_assert_int_eq(f.peak_live, P + 1);
    ck_assert_int_eq(f.peak_slots, P + 1);
    ck_assert_int_eq(f.peak_weights, P / 2);
    ck_assert_double_eq(f.worst_idle, P - 2.0);
    ck_assert_double_eq(f.worst_idle, plan_bubble_formula(PLAN_DUALPIPE, P, M, &NO_SAVING));
    f = plan_facts_of(plan, &SAVING);
    ck_assert_double_eq(f.worst_idle, P / 2 - 1.0);
    ck_assert_double_eq(f.worst_idle, plan_bubble_formula(PLAN_DUALPIPE, P, M, &SAVING));
    see_dual_rows(plan);
}

START_TEST(dualpipe_plans)
{
    ck_assert_int_eq(plans_each(PLAN_DUALPIPE, MOST_STAGES, PER_STAGE, see_dualpipe), 152);
}
END_TEST

/* Half-size chunks: dualpipe's figures with 2P for P. */
static void see_dualpipev(const struct plan *plan)
{
    int P = plan->stages, M = plan->micro_batches;
    struct plan_facts f = plan_facts_of(plan, &NO_SAVING);
    ck_assert_int_eq(f.peak_live, 2 * P + 1 < 2 * M ? 2 * P + 1 : 2 * P);
    ck_assert_int_eq(f.peak_slots, f.peak_live);
    ck_assert_int_eq(f.peak_weights, P);
    ck_assert_double_eq(f.worst_idle, 2.0 * P - 2);
    ck_assert_double_eq(f.worst_idle, plan_bubble_formula(PLAN_DUALPIPEV, P, M, &NO_SAVING));
    f = plan_facts_of(plan, &SAVING);
    ck_assert_double_eq(f.worst_idle, P - 1.0);
    ck_assert_double_eq(f.worst_idle, plan_bubble_formula(PLAN_DUALPIPEV, P, M, &SAVING));
    see_dual_rows(plan);
}

START_TEST(dualpipev_plans)
{
    ck_assert_int_eq(plans_each(PLAN_DUALPIPEV, MOST_STAGES, PER_STAGE, see_dualpipev), 560);
}
END_TEST

static void see_forward(const struct plan *plan)
{
    struct plan forward;
    plan_forward_only(&forward, plan);
    struct plan_facts f = plan_facts_of(&forward, &NO_SAVING);
    ck_assert_int_eq(f.peak_slots, 1);
    int cells = plan->micro_batches * (plan->chunks / plan->stages);
    ck_assert_double_eq_tol(f.makespan, f.worst_idle + cells, 1e-9);
    plan_free(&forward);
}

START_TEST(forward_only_plans)
{
    for (int k = 0; k < PLAN_AUTO; k++)
        plans_each((enum plan_kind)k, MOST_STAGES, PER_STAGE, see_forward);
}
END_TEST

/* Step lengths of a published simulation, F = I = W = 1: P, M, 1F1B, ZB1P, DualPipe with F&B = 3
 * and 2. */
START_TEST(known_step_lengths)
{
    static const double known[][6] = {{4, 16, 57, 51, 50, 38},
                                      {8, 20, 81, 67, 66, 52},
                                      {8, 64, 213, 199, 198, 140},
                                      {16, 64, 237, 207, 206, 152},
                                      {16, 120, 405, 375, 374, 264}};
    static const enum plan_kind kind[] = {PLAN_1F1B, PLAN_ZB1P, PLAN_DUALPIPE, PLAN_DUALPIPE};
    const double *row = known[_i];
    const struct plan_costs *costs[] = {&NO_SAVING, &NO_SAVING, &NO_SAVING, &SAVING};
    for (int c = 0; c < 4; c++) {
        struct plan plan;
        plan_make(&plan, kind[c], (int)row[0], (int)row[1]);
        ck_assert_double_eq(plan_facts_of(&plan, costs[c]).makespan, row[2 + c]);
        plan_free(&plan);
    }
}
END_TEST

/* With 8 stages, 20 micro-batches and F&B = 2 the ranks idle 1, 2, 3, 3, 3, 3, 2, 1. */
START_TEST(known_mean_idle)
{
    struct plan plan;
    plan_make(&plan, PLAN_DUALPIPE, 8, 20);
    ck_assert_double_eq(plan_facts_of(&plan, &SAVING).mean_idle, 18.0 / 8);
    plan_free(&plan);
}
END_TEST

/* The largest, and numbers beyond any. */
START_TEST(huge_numbers)
{
    static const int huge[] = {1024, 1025, 4096, 4097, 65536, 65537, INT_MAX - 1, INT_MAX, INT_MIN};
    enum { N = sizeof huge / sizeof huge[0] };
    for (int k = 0; k < PLAN_KINDS; k++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                struct problems p = {0};
                bool can = plan_possible((enum plan_kind)k, huge[i], huge[j], &p);
                ck_assert(can ==
                          (huge[i] == 1024 && huge[j] > 0 && huge[j] <= 4096 &&
                           (plan_kind_place((enum plan_kind)k) == PLACE_LINE || huge[j] == 4096)));
                ck_assert(can == (p.n == 0));
                problems_free(&p);
            }
    struct plan plan;
    plan_make(&plan, PLAN_DUALPIPE, 128, 256);
    ck_assert_int_eq(plan_facts_of(&plan, &NO_SAVING).peak_live, 129);
    plan_free(&plan);
}
END_TEST

/* Costs that are no small integers: 1F1B's formula is exact for any. */
START_TEST(uneven_costs)
{
    struct plan plan;
    plan_make(&plan, PLAN_1F1B, 6, 17);
    struct plan_facts f = plan_facts_of(&plan, &UNEVEN);
    ck_assert_double_eq_tol(f.worst_idle, 5 * 3.5, 1e-9);
    plan_free(&plan);
}
END_TEST

/* Beyond two micro-batches a stage no named plan keeps more: what is measured of a short one holds
 * for all (schedule_slots). */
START_TEST(peaks_do_not_grow)
{
    for (int k = 0; k < PLAN_AUTO; k++)
        for (int P = 1; P <= 16; P++) {
            enum plan_kind kind = (enum plan_kind)k;
            int enough = plan_micro_batches(kind, P, 2 * P), want = 0;
            for (int M = 1; M <= 6 * P + 2 && plan_possible(kind, P, enough, NULL); M++) {
                struct plan plan;
                int m = plan_micro_batches(kind, P, M);
                plan_make(&plan, kind, P, m);
                int peak = plan_facts_of(&plan, &NO_SAVING).peak_slots;
                if (m == enough) want = peak;
                ck_assert_msg(m < enough || peak == want, "%s, %d stages, %d micro-batches: %d, %d",
                              plan_kind_name(kind), P, m, peak, want);
                plan_free(&plan);
            }
        }
}
END_TEST

/* Are n rows of b those of a, `later` micro-batches later? */
static bool same_later(const struct plan_row *a, const struct plan_row *b, int n, int later)
{
    for (int i = 0; i < n; i++) {
        struct plan_pass x[2], y[2];
        int passes = plan_passes(&a[i], x);
        if (a[i].op != b[i].op || plan_passes(&b[i], y) != passes) return false;
        for (int k = 0; k < passes; k++) {
            x[k].cell.mb += later;
            if (x[k].op != y[k].op || memcmp(&x[k].cell, &y[k].cell, sizeof x[k].cell) != 0)
                return false;
        }
    }
    return true;
}

/* With one more micro-batch a direction a rank's rows are the same up to a place, there the last
 * rows before it once more, one micro-batch later, and then the rest, one later. */
static bool repeats_its_middle(const struct plan_part *a, const struct plan_part *b)
{
    int at = 0, more = b->n_rows - a->n_rows;
    while (at < a->n_rows && same_later(a->rows + at, b->rows + at, 1, 0)) at++;
    return more > 0 && at >= more && same_later(b->rows + at - more, b->rows + at, more, 1) &&
           same_later(a->rows + at, b->rows + at + more, a->n_rows - at, 1);
}

/* A run proves no named plan when it makes one: what is right up to six micro-batches a stage goes
 * on in the same way with any number of them. */
START_TEST(longer_plans_repeat_their_middle)
{
    for (int k = 0; k < PLAN_AUTO; k++)
        for (int P = 1; P <= MOST_STAGES; P++) {
            enum plan_kind kind = (enum plan_kind)k;
            int step = plan_kind_place(kind) == PLACE_MIRROR ? 2 : 1;
            int from = plan_micro_batches(kind, P, 2 * P) + 2 * step;
            for (int M = from; M <= 12 * P && plan_possible(kind, P, M, NULL); M += step) {
                struct plan a, b;
                plan_make(&a, kind, P, M);
                plan_make(&b, kind, P, M + step);
                for (int r = 0; r < P; r++) {
                    const struct plan_part x = plan_part_of(&a, r), y = plan_part_of(&b, r);
                    ck_assert_msg(repeats_its_middle(&x, &y), "%s, rank %d of %d, %d micro-batches",
                                  plan_kind_name(kind), r, P, M);
                }
                plan_free(&a);
                plan_free(&b);
            }
        }
}
END_TEST

/* Whoever has a message of some plan with a rank is its neighbour, and nobody else is. */
START_TEST(neighbours_have_the_messages)
{
    for (int place = 0; place < PLACES; place++)
        for (int P = 1; P <= MOST_STAGES; P++) {
            struct plan plan = {.place = (enum plan_place)place,
                                .stages = P,
                                .chunks = plan_chunks((enum plan_place)place, P)};
            bool has[MOST_STAGES][MOST_STAGES] = {{false}},
                 is[MOST_STAGES][MOST_STAGES] = {{false}};
            for (int r = 0; r < P; r++) {
                int chunk[2], near[PLAN_NEIGHBOURS];
                for (int k = plan_held(plan.place, P, r, chunk) - 1; k >= 0; k--) {
                    struct plan_cell c = {plan_held_dir(plan.place, k), chunk[k], 0};
                    for (enum plan_op op = PLAN_F; op <= PLAN_BW; op++) {
                        int from = plan_sender(&plan, &(struct plan_pass){op, c});
                        int to = plan_receiver(&plan, &(struct plan_pass){op, c});
                        if (from >= 0 && from != r) has[r][from] = true;
                        if (to >= 0 && to != r) has[r][to] = true;
                    }
                }
                for (int i = plan_neighbours(plan.place, P, r, near) - 1; i >= 0; i--) {
                    ck_assert(!is[r][near[i]]); /* each once */
                    is[r][near[i]] = true;
                }
            }
            for (int a = 0; a < P; a++)
                for (int b = 0; b < P; b++)
                    ck_assert_msg(has[a][b] == is[a][b] && is[a][b] == is[b][a],
                                  "place %d, %d stages: %d and %d", place, P, a, b);
        }
}
END_TEST

/* plan_possible, plan_micro_batches and the advice in its message agree, everywhere. */
START_TEST(possible_and_nearest)
{
    for (int k = 0; k < PLAN_KINDS; k++)
        for (int P = -2; P <= 20; P++)
            for (int M = -2; M <= 50; M++) {
                struct problems p = {0};
                bool can = plan_possible((enum plan_kind)k, P, M, &p);
                int next = plan_micro_batches((enum plan_kind)k, P, M);
                ck_assert(can == (next == M && M > 0));
                ck_assert(can == (p.n == 0));
                bool even = P % 2 == 0 && M % 2 == 0, enough = M >= 2 * P;
                ck_assert(can == (P >= 1 && M >= 1 && (k != PLAN_DUALPIPE || (even && enough)) &&
                                  (k != PLAN_DUALPIPEV || enough)));
                int s = 0, m = 0;
                for (int i = 0; i < p.n; i++) {
                    const char *at = strstr(p.text[i], "nearest valid: ");
                    if (at) sscanf(at, "nearest valid: %d stages with %d", &s, &m);
                }
                ck_assert_msg(can || plan_possible((enum plan_kind)k, s, m, NULL),
                              "%d %d,%d: advised %d,%d", k, P, M, s, m);
                problems_free(&p);
            }
}
END_TEST

#define TESTS(X)                        \
    X(serial_plans)                     \
    X(one_f_one_b_plans)                \
    X(zb1p_plans)                       \
    X(dualpipe_plans)                   \
    X(dualpipev_plans)                  \
    X(forward_only_plans)               \
    X(known_step_lengths, .to = 5)      \
    X(known_mean_idle)                  \
    X(huge_numbers)                     \
    X(uneven_costs)                     \
    X(peaks_do_not_grow)                \
    X(longer_plans_repeat_their_middle) \
    X(neighbours_have_the_messages)     \
    X(possible_and_nearest)

UNIT_MAIN("plan", .timeout_s = 60)
