/* The checker is only worth something if it refuses plans that are wrong: here right plans are
 * spoilt in every place in one way at a time, and each must be refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/problems.h"
#include "tests/support/interleaved_plan.h"
#include "tests/support/check_unit.h"

static const struct shape {
    enum plan_kind kind;
    int stages, micro_batches;
    bool unpaired; /* with unpaired passes in turn */
} SHAPES[] = {
    {PLAN_SERIAL, 1, 3, false},    {PLAN_SERIAL, 3, 4, false},   {PLAN_1F1B, 1, 4, false},
    {PLAN_1F1B, 4, 9, false},      {PLAN_DUALPIPE, 2, 4, false}, {PLAN_DUALPIPE, 4, 8, false},
    {PLAN_DUALPIPE, 6, 14, false}, {PLAN_ZB1P, 4, 9, false},     {PLAN_DUALPIPEV, 1, 3, false},
    {PLAN_DUALPIPEV, 3, 8, false}, {PLAN_DUALPIPE, 6, 14, true}, {PLAN_ZB1P, 4, 9, true},
    {PLAN_DUALPIPEV, 3, 8, true}};
enum { N_SHAPES = sizeof SHAPES / sizeof SHAPES[0] };

static void make_shape(struct plan *out, const struct shape *s)
{
    struct sim_table costs;
    struct plan_facts facts;
    if (!s->unpaired) {
        plan_make(out, s->kind, s->stages, s->micro_batches);
        return;
    }
    interleaved_costs_make(&costs, plan_kind_place(s->kind), s->stages, 1);
    interleaved_plan_make(out, s->kind, s->stages, s->micro_batches, &costs.sim, &facts);
    sim_table_free(&costs);
}

static bool refused(const struct plan *plan)
{
    struct problems p = {0};
    bool right = plan_check(plan, NULL, NULL, &p);
    ck_assert(right == (p.n == 0));
    problems_free(&p);
    return !right;
}

/* A mutation spoils row i of rank r and says whether the plan is now certainly wrong. */
typedef bool mutation(struct plan *plan, int r, int i);

static bool drop(struct plan *plan, int r, int i)
{
    struct plan_row *rows = plan->rows[r];
    int n = --plan->n_rows[r];
    memmove(rows + i, rows + i + 1, (size_t)(n - i) * sizeof *rows);
    return true;
}

/* Twice in a row, in place of the row that follows (or went before, at the end). */
static bool replace_neighbour(struct plan *plan, int r, int i)
{
    int n = plan->n_rows[r];
    if (n < 2) return false;
    plan->rows[r][i + 1 < n ? i + 1 : i - 1] = plan->rows[r][i];
    return true;
}

static bool add_again(struct plan *plan, int r, int i)
{
    int n = plan->n_rows[r]++;
    plan->rows[r] = realloc(plan->rows[r], (size_t)(n + 1) * sizeof **plan->rows);
    plan->rows[r][n] = plan->rows[r][i];
    return true;
}

static struct plan_cell *a_cell(struct plan_row *row)
{
    return row->op == PLAN_F || row->op == PLAN_FB ? &row->f : &row->b;
}

static bool wrong_chunk(struct plan *plan, int r, int i)
{
    a_cell(&plan->rows[r][i])->chunk += 1;
    return true;
}

static bool negative_chunk(struct plan *plan, int r, int i)
{
    a_cell(&plan->rows[r][i])->chunk = -1;
    return true;
}

static bool wrong_direction(struct plan *plan, int r, int i)
{
    a_cell(&plan->rows[r][i])->dir ^= 1;
    return true;
}

static bool wrong_mb(struct plan *plan, int r, int i)
{
    a_cell(&plan->rows[r][i])->mb += 1;
    return true;
}

static bool wrong_b_of_pair(struct plan *plan, int r, int i)
{
    if (plan->rows[r][i].op != PLAN_FB) return false;
    plan->rows[r][i].b.mb += 1;
    return true;
}

/* A full backward that leaves its weight part, or does one that another row does again. */
static bool wrong_op(struct plan *plan, int r, int i)
{
    enum plan_op *op = &plan->rows[r][i].op;
    if (*op == PLAN_B)
        *op = PLAN_BW;
    else if (*op == PLAN_BW)
        *op = PLAN_B;
    else if (*op == PLAN_W)
        *op = PLAN_BW;
    else
        return false;
    return true;
}

static bool unknown_op(struct plan *plan, int r, int i)
{
    plan->rows[r][i].op = PLAN_OPS;
    return true;
}

static bool same_stream(struct plan_cell a, struct plan_cell b)
{
    return a.dir == b.dir && a.chunk == b.chunk;
}

/* Swaps row i with the next row that does the same in the same direction. */
static bool swap_alike(struct plan *plan, int r, int i)
{
    struct plan_row *rows = plan->rows[r], row = rows[i];
    for (int j = i + 1; j < plan->n_rows[r]; j++)
        if (rows[j].op == row.op &&
            memcmp(rows[j].interleaved, row.interleaved, sizeof row.interleaved) == 0 &&
            same_stream(*a_cell(&rows[j]), *a_cell(&row))) {
            rows[i] = rows[j], rows[j] = row;
            return true;
        }
    return false;
}

/* Puts the first row that goes on with row i's micro-batch in row i's place, and row i in its. */
static bool swap_cause(struct plan *plan, int r, int i)
{
    struct plan_row *rows = plan->rows[r], row = rows[i];
    struct plan_cell c = *a_cell(&row);
    for (int j = i + 1; j < plan->n_rows[r]; j++) {
        bool same = rows[j].op != PLAN_F && same_stream(rows[j].b, c) && rows[j].b.mb == c.mb;
        if (!same) continue;
        rows[i] = rows[j], rows[j] = row;
        return true;
    }
    return false;
}

/* Two in turn the other way round: out of order, unless they are of two streams. */
static bool swap_halves(struct plan *plan, int r, int i)
{
    struct plan_row *row = &plan->rows[r][i], was = *row;
    if (row->op != PLAN_INTERLEAVED ||
        (row->interleaved[0] == row->interleaved[1] && !same_stream(row->f, row->b)))
        return false;
    *row =
        (struct plan_row){PLAN_INTERLEAVED, was.b, was.f, {was.interleaved[1], was.interleaved[0]}};
    return true;
}

/* A backward's weight part in turn with its input part, which it needs. */
static bool turn_on_itself(struct plan *plan, int r, int i)
{
    struct plan_row *row = &plan->rows[r][i], was = *row;
    if (row->op != PLAN_BW) return false;
    *row = (struct plan_row){PLAN_INTERLEAVED, was.b, was.b, {PLAN_B, PLAN_W}};
    return true;
}

static mutation *const MUTATIONS[] = {
    swap_halves,    turn_on_itself,  drop,     replace_neighbour, add_again, wrong_chunk,
    negative_chunk, wrong_direction, wrong_mb, wrong_b_of_pair,   wrong_op,  unknown_op,
    swap_alike,     swap_cause};
enum { N_MUTATIONS = sizeof MUTATIONS / sizeof MUTATIONS[0] };

START_TEST(every_mutant_is_refused)
{
    mutation *spoil = MUTATIONS[_i];
    int spoilt = 0;
    for (int s = 0; s < N_SHAPES; s++) {
        struct plan right;
        make_shape(&right, &SHAPES[s]);
        for (int r = 0; r < right.stages; r++)
            for (int i = 0; i < right.n_rows[r]; i++) {
                struct plan mutant;
                plan_copy(&mutant, &right);
                if (spoil(&mutant, r, i)) {
                    ck_assert_msg(refused(&mutant), "mutation %d, shape %d, rank %d, row %d", _i, s,
                                  r, i);
                    spoilt++;
                }
                plan_free(&mutant);
            }
        plan_free(&right);
    }
    ck_assert_int_gt(spoilt, 0);
}
END_TEST

/* Any two rows of any rank swapped: still accepted only if nothing that is asked for is broken. The
 * swap of two forwards of different directions is harmless, so accepted ones must be in order
 * themselves. */
static bool orders_hold(const struct plan *plan, int r)
{
    int next[3][2] = {{0}};
    for (int i = 0; i < plan->n_rows[r]; i++) {
        struct plan_pass pass[2];
        int n = plan_passes(&plan->rows[r][i], pass);
        for (int k = 0; k < n; k++) {
            int d = pass[k].cell.dir, mb = pass[k].cell.mb;
            int part = pass[k].op == PLAN_F ? 0 : pass[k].op == PLAN_W ? 2 : 1;
            if (next[part][d]++ != mb) return false;
            if (pass[k].op == PLAN_BW && next[2][d]++ != mb) return false;
            if (next[0][d] < next[1][d] || next[1][d] < next[2][d]) return false;
        }
    }
    return true;
}

START_TEST(any_swap)
{
    struct plan plan;
    int accepted = 0, tried = 0;
    plan_make(&plan, PLAN_DUALPIPE, 4, 8);
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < plan.n_rows[r]; i++)
            for (int j = i + 1; j < plan.n_rows[r]; j++) {
                struct plan_row *rows = plan.rows[r], a = rows[i], b = rows[j];
                rows[i] = b, rows[j] = a;
                bool right = !refused(&plan);
                if (right) ck_assert(orders_hold(&plan, r));
                rows[i] = a, rows[j] = b;
                accepted += right, tried++;
            }
    ck_assert_int_gt(accepted, 0);
    ck_assert_int_lt(accepted * 10, tried);
    plan_free(&plan);
}
END_TEST

/* Rows of one rank as "F00 F10 ...": op, direction, micro-batch. */
static void write_rows(struct plan *plan, int rank, const char *text)
{
    plan->n_rows[rank] = 0;
    for (; *text; text += text[3] ? 4 : 3) {
        int dir = text[1] - '0', mb = text[2] - '0';
        struct plan_cell c = {dir, dir ? plan->stages - 1 - rank : rank, mb};
        plan_add(plan, rank, text[0] == 'F' ? PLAN_F : PLAN_BW, c, c);
    }
}

static void expect_hang(const char *rank0, const char *rank1, const char *because)
{
    struct plan plan;
    struct problems p = {0};
    plan_make(&plan, PLAN_DUALPIPE, 2, 4);
    write_rows(&plan, 0, rank0);
    write_rows(&plan, 1, rank1);
    ck_assert(plan_check(&plan, NULL, NULL, &p) == (because == NULL));
    ck_assert_int_eq(p.n > 0, because != NULL);
    if (because) ck_assert_msg(strstr(p.text[0], because) != NULL, "%s", p.text[0]);
    problems_free(&p);
    plan_free(&plan);
}

START_TEST(hangs)
{
    expect_hang("F00 F10 F01 F11 B10 B00 B11 B01", "F10 F00 F11 F01 B00 B10 B01 B11", NULL);
    /* each waits for what the other does next */
    expect_hang("F10 F00 F11 F01 B10 B00 B11 B01", "F00 F10 F01 F11 B00 B10 B01 B11",
                "dependency cycle");
    /* each sends twice before it receives at all: fine with buffers, a hang without */
    expect_hang("F00 F01 F10 F11 B10 B00 B11 B01", "F10 F11 F00 F01 B00 B10 B01 B11",
                "every send blocks");
}
END_TEST

/* What is said names rank, row and reason, and stops in time. */
START_TEST(messages)
{
    struct plan plan;
    struct problems p = {0};
    plan_make(&plan, PLAN_1F1B, 2, 3);
    plan.rows[1][2].f.mb = 0;
    ck_assert(!plan_check(&plan, NULL, NULL, &p));
    ck_assert_str_eq(p.text[0],
                     "plan 1f1b, rank 1, row 2: F of direction 0, micro-batch 0 repeats row 0");
    problems_free(&p);
    plan_free(&plan);
    plan_make(&plan, PLAN_1F1B, 2, 300);
    for (int r = 0; r < 2; r++) plan.n_rows[r] = 0;
    ck_assert(!plan_check(&plan, NULL, NULL, &p));
    ck_assert_int_eq(p.n, 21);
    ck_assert_str_eq(p.text[20], "plan 1f1b: and 1780 more");
    problems_free(&p);
    plan_free(&plan);
}
END_TEST

#define TESTS(X)                                  \
    X(every_mutant_is_refused, .to = N_MUTATIONS) \
    X(any_swap)                                   \
    X(hangs)                                      \
    X(messages)

UNIT_MAIN("plan mutants", .timeout_s = 60)
