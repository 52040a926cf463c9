/* What all schedules share: the table of kinds, which (stages, micro-batches) each can do, where a
 * chunk lives, and the lists of rows. How rows follow each other is in one file a kind. */
#include "pipeline/plan.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"

/* Far beyond any cluster; they keep a mistyped number from filling the memory with rows. */
enum { MAX_STAGES = 1024, MAX_MICRO_BATCHES = 65536, MAX_CELLS = 1 << 22 };

static const struct kind_row {
    const char *name;
    void (*make)(struct plan *plan);
    enum plan_place place;
} KINDS[PLAN_KINDS] = {
    [PLAN_SERIAL] = {"serial", plan_make_serial, PLACE_LINE},
    [PLAN_1F1B] = {"1f1b", plan_make_1f1b, PLACE_LINE},
    [PLAN_ZB1P] = {"zb1p", plan_make_zb1p, PLACE_LINE},
    [PLAN_DUALPIPE] = {"dualpipe", plan_make_dual, PLACE_MIRROR},
    [PLAN_DUALPIPEV] = {"dualpipev", plan_make_dual, PLACE_VEE},
    [PLAN_AUTO] = {"auto", plan_make_auto, PLACE_LINE},
};

static const char *const OP_NAMES[PLAN_OPS] = {
    [PLAN_F] = "F",   [PLAN_B] = "B",    [PLAN_W] = "W",
    [PLAN_BW] = "BW", [PLAN_FB] = "F+B", [PLAN_TWO] = "two"};

const char *plan_kind_name(enum plan_kind k)
{
    return KINDS[k].name;
}

bool plan_kind_find(const char *name, enum plan_kind *k)
{
    for (int i = 0; i < PLAN_KINDS; i++)
        if (strcmp(name, KINDS[i].name) == 0) {
            *k = (enum plan_kind)i;
            return true;
        }
    return false;
}

enum plan_place plan_kind_place(enum plan_kind k)
{
    return KINDS[k].place;
}

const char *plan_op_name(enum plan_op op)
{
    return OP_NAMES[op];
}

/* ---- which ones can be ---- */

static bool stages_can(enum plan_kind k, int stages)
{
    if (stages < 1 || stages > MAX_STAGES) return false;
    return KINDS[k].place != PLACE_MIRROR || stages % 2 == 0;
}

/* The largest number of micro-batches that a right number of stages may have. */
int plan_most_micro_batches(int stages)
{
    int most = MAX_CELLS / stages;
    most -= most % 2;
    return most < MAX_MICRO_BATCHES ? most : MAX_MICRO_BATCHES;
}

int plan_micro_batches(enum plan_kind k, int stages, int at_least)
{
    if (!stages_can(k, stages) || at_least > plan_most_micro_batches(stages)) return 0;
    int least = KINDS[k].place == PLACE_LINE ? 1 : 2 * stages;
    int m = at_least > least ? at_least : least;
    return KINDS[k].place == PLACE_MIRROR ? m + m % 2 : m;
}

static bool can(enum plan_kind k, int stages, int micro_batches)
{
    return stages_can(k, stages) && plan_micro_batches(k, stages, micro_batches) == micro_batches;
}

/* Adds each reason that holds; a NULL list drops them. */
static void reasons(enum plan_kind k, int stages, int m, struct problems *p)
{
    const char *name = KINDS[k].name;
    if (stages < 1 || stages > MAX_STAGES)
        problems_add(p, NULL, 0, "schedule %s: %d stages; there must be 1 to %d", name, stages,
                     MAX_STAGES);
    bool sane = stages >= 1 && stages <= MAX_STAGES;
    int most = sane ? plan_most_micro_batches(stages) : MAX_MICRO_BATCHES;
    if (m < 1 || m > most)
        problems_add(p, NULL, 0, "schedule %s: %d micro-batches; there must be 1 to %d", name, m,
                     most);
    if (sane && KINDS[k].place != PLACE_LINE && m < 2 * stages)
        problems_add(p, NULL, 0,
                     "schedule %s: %d micro-batches are too few for %d stages; it takes at least "
                     "two a stage (%d)",
                     name, m, stages, 2 * stages);
    if (KINDS[k].place != PLACE_MIRROR) return;
    if (stages % 2 != 0)
        problems_add(p, NULL, 0,
                     "schedule %s: %d stages; the number must be even, since rank r holds stages "
                     "r and P-1-r",
                     name, stages);
    if (m % 2 != 0)
        problems_add(p, NULL, 0,
                     "schedule %s: %d micro-batches; the number must be even, half of them enter "
                     "at either end",
                     name, m);
}

static int clamp(int x, int lo, int hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* The nearest that can be, by |change of stages| + |change of micro-batches|: with fewer stages, or
 * with as many or one or two more. */
static bool nearest(enum plan_kind k, int stages, int m, bool fewer, int *best_s, int *best_m)
{
    long best = -1;
    int middle = clamp(stages, 1, MAX_STAGES);
    int from = fewer ? 1 : middle, to = fewer ? middle - 1 : clamp(middle + 2, 1, MAX_STAGES);
    for (int s = to; s >= from; s--) {
        int found = plan_micro_batches(k, s, clamp(m, 1, plan_most_micro_batches(s)));
        long far = labs((long)found - m) + labs((long)s - stages);
        if (!found || (best >= 0 && far > best)) continue;
        best = far, *best_s = s, *best_m = found;
    }
    return best >= 0;
}

bool plan_possible(enum plan_kind k, int stages, int micro_batches, struct problems *p)
{
    if (can(k, stages, micro_batches)) return true;
    if (!p) return false;
    reasons(k, stages, micro_batches, p);
    char text[2][80] = {"", ""};
    for (int fewer = 0; fewer < 2; fewer++) {
        int s, m;
        if (nearest(k, stages, micro_batches, fewer, &s, &m))
            snprintf(text[fewer], sizeof text[fewer], "%d stages with %d micro-batches", s, m);
    }
    problems_add(p, NULL, 0, "schedule %s: the nearest that can be: %s%s%s", KINDS[k].name, text[0],
                 text[0][0] && text[1][0] ? ", or " : "", text[1]);
    return false;
}

/* ---- where things live ---- */

int plan_chunks(enum plan_place place, int stages)
{
    return place == PLACE_VEE ? 2 * stages : stages;
}

int plan_held(enum plan_place place, int stages, int rank, int chunk[2])
{
    chunk[0] = rank;
    if (place == PLACE_LINE) return 1;
    chunk[1] = plan_chunks(place, stages) - 1 - rank;
    return 2;
}

int plan_held_dir(enum plan_place place, int k)
{
    return place == PLACE_MIRROR ? k : 0;
}

int plan_rank(enum plan_place place, int stages, int chunk, int dir)
{
    bool back = place == PLACE_MIRROR ? dir == 1 : place == PLACE_VEE && chunk >= stages;
    return back ? plan_chunks(place, stages) - 1 - chunk : chunk;
}

int plan_per_direction(const struct plan *plan)
{
    return plan->micro_batches / plan->directions;
}

/* Rank of the chunk `step` after this pass's, or -1 past an end of the model. */
static int neighbour(const struct plan *plan, const struct plan_pass *pass, int step)
{
    int chunk = pass->cell.chunk + step;
    if (pass->op == PLAN_W || chunk < 0 || chunk >= plan->chunks) return -1;
    return plan_rank(plan->place, plan->stages, chunk, pass->cell.dir);
}

int plan_sender(const struct plan *plan, const struct plan_pass *pass)
{
    return neighbour(plan, pass, pass->op == PLAN_F ? -1 : 1);
}

int plan_receiver(const struct plan *plan, const struct plan_pass *pass)
{
    return neighbour(plan, pass, pass->op == PLAN_F ? 1 : -1);
}

/* ---- lists of rows ---- */

int plan_passes(const struct plan_row *row, struct plan_pass out[2])
{
    if (row->op == PLAN_FB || row->op == PLAN_TWO) {
        bool two = row->op == PLAN_TWO;
        out[0] = (struct plan_pass){two ? row->two[0] : PLAN_F, row->f};
        out[1] = (struct plan_pass){two ? row->two[1] : PLAN_BW, row->b};
        return 2;
    }
    out[0] = (struct plan_pass){row->op, row->op == PLAN_F ? row->f : row->b};
    return 1;
}

bool plan_row_two(struct plan_row *out, struct plan_pass a, struct plan_pass b)
{
    if (a.op > b.op || a.op > PLAN_B || b.op > PLAN_W) return false;
    *out = (struct plan_row){PLAN_TWO, a.cell, b.cell, {a.op, b.op}};
    return true;
}

static void plan_reserve(struct plan *plan, int rank, int rows)
{
    plan->rows[rank] = memory_take((size_t)rows, sizeof *plan->rows[rank], "a plan");
    plan->n_rows[rank] = 0;
}

void plan_add(struct plan *plan, int rank, enum plan_op op, struct plan_cell f, struct plan_cell b)
{
    plan->rows[rank][plan->n_rows[rank]++] = (struct plan_row){.op = op, .f = f, .b = b};
}

int plan_room(const struct plan *plan)
{
    return 3 * plan->micro_batches * (plan->chunks / plan->stages);
}

static struct plan plan_shape(enum plan_kind k, enum plan_place place, int stages,
                              int micro_batches)
{
    return (struct plan){.kind = k,
                         .place = place,
                         .stages = stages,
                         .micro_batches = micro_batches,
                         .chunks = plan_chunks(place, stages),
                         .directions = place == PLACE_MIRROR ? 2 : 1};
}

void plan_begin(struct plan *plan, enum plan_kind k, enum plan_place place, int stages,
                int micro_batches)
{
    *plan = plan_shape(k, place, stages, micro_batches);
    plan->n_rows = memory_take((size_t)stages, sizeof *plan->n_rows, "a plan");
    plan->rows = memory_take((size_t)stages, sizeof *plan->rows, "a plan");
    for (int r = 0; r < stages; r++) plan_reserve(plan, r, plan_room(plan));
}

void plan_make(struct plan *plan, enum plan_kind k, int stages, int micro_batches)
{
    INVARIANT(can(k, stages, micro_batches), "no plan %s of %d stages and %d micro-batches",
              KINDS[k].name, stages, micro_batches);
    plan_begin(plan, k, KINDS[k].place, stages, micro_batches);
    KINDS[k].make(plan);
}

static void fill_forwards(struct plan *out, const struct plan *plan)
{
    out->forward_only = true;
    for (int r = 0; r < plan->stages; r++) {
        for (int i = 0; i < plan->n_rows[r]; i++) {
            const struct plan_row *row = &plan->rows[r][i];
            struct plan_pass pass[2];
            plan_passes(row, pass);
            if (row->op == PLAN_TWO && row->two[1] == PLAN_F)
                out->rows[r][out->n_rows[r]++] = *row;
            else if (pass[0].op == PLAN_F)
                plan_add(out, r, PLAN_F, pass[0].cell, (struct plan_cell){0});
        }
    }
}

void plan_forward_only(struct plan *out, const struct plan *plan)
{
    plan_begin(out, plan->kind, plan->place, plan->stages, plan->micro_batches);
    fill_forwards(out, plan);
}

static void fill_copy(struct plan *out, const struct plan *plan)
{
    out->forward_only = plan->forward_only;
    for (int r = 0; r < plan->stages; r++) {
        out->n_rows[r] = plan->n_rows[r];
        memcpy(out->rows[r], plan->rows[r], (size_t)plan->n_rows[r] * sizeof *plan->rows[r]);
    }
}

void plan_copy(struct plan *out, const struct plan *plan)
{
    plan_begin(out, plan->kind, plan->place, plan->stages, plan->micro_batches);
    fill_copy(out, plan);
}

/* ---- in place ---- */

void plan_room_take(struct plan *plan, enum plan_place place, int stages, int most, struct arena *a)
{
    *plan = plan_shape(PLAN_SERIAL, place, stages, most);
    size_t n = (size_t)stages, room = (size_t)plan_room(plan);
    plan->n_rows = arena_take_n(a, n, sizeof *plan->n_rows);
    plan->rows = arena_take_n(a, n, sizeof *plan->rows);
    struct plan_row *all = arena_take_n(a, n * room, sizeof *all);
    for (size_t r = 0; all && r < n; r++) plan->rows[r] = all + r * room;
    plan->micro_batches = 0; /* none yet */
}

/* The plan with no rows, and other numbers. */
static void plan_again(struct plan *plan, enum plan_kind k, int micro_batches)
{
    struct plan shape = plan_shape(k, plan->place, plan->stages, micro_batches);
    shape.n_rows = plan->n_rows;
    shape.rows = plan->rows;
    *plan = shape;
    memset(plan->n_rows, 0, (size_t)plan->stages * sizeof *plan->n_rows);
}

void plan_remake(struct plan *plan, enum plan_kind k, int micro_batches)
{
    INVARIANT(can(k, plan->stages, micro_batches) && KINDS[k].place == plan->place &&
                  k != PLAN_AUTO,
              "no plan %s of %d stages and %d micro-batches here", KINDS[k].name, plan->stages,
              micro_batches);
    plan_again(plan, k, micro_batches);
    KINDS[k].make(plan);
}

void plan_recopy(struct plan *plan, const struct plan *from)
{
    plan_again(plan, from->kind, from->micro_batches);
    fill_copy(plan, from);
}

void plan_remake_forward(struct plan *plan, const struct plan *whole)
{
    plan_again(plan, whole->kind, whole->micro_batches);
    fill_forwards(plan, whole);
}

void plan_free(struct plan *plan)
{
    for (int r = 0; plan->rows && r < plan->stages; r++) free(plan->rows[r]);
    free(plan->rows);
    free(plan->n_rows);
    *plan = (struct plan){0};
}
