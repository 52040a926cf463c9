/* Which schedules there are, from the table (kinds.h), and which (stages, micro-batches) each can
 * do. */
#include "pipeline/schedules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"

/* Far beyond any cluster; a limit, so that a typo in a number does not fill the memory with rows.
 */
enum { MAX_STAGES = 1024, MAX_MICRO_BATCHES = 65536, MAX_CELLS = 1 << 22 };

#define ROW(id, name, place, make, idle) \
    [PLAN_##id] = {name, PLACE_##place, plan_make_##make, plan_idle_##idle},
static const struct kind_row {
    const char *name;
    enum plan_place place;
    void (*make)(struct plan_part *part); /* NULL: auto, which is searched for */
    double (*idle)(int chunks, int micro_batches, const struct plan_costs *c);
} KINDS[PLAN_KINDS] = {SCHEDULES(ROW)[PLAN_AUTO] = {"auto", PLACE_LINE, NULL, NULL}};

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

/* Adds each reason that holds. */
static void reasons(enum plan_kind k, int stages, int m, struct problems *p)
{
    const char *name = KINDS[k].name;
    if (stages < 1 || stages > MAX_STAGES)
        problems_add(p, NULL, 0, "schedule %s: %d stages, must be 1 to %d", name, stages,
                     MAX_STAGES);
    bool sane = stages >= 1 && stages <= MAX_STAGES;
    int most = sane ? plan_most_micro_batches(stages) : MAX_MICRO_BATCHES;
    if (m < 1 || m > most)
        problems_add(p, NULL, 0, "schedule %s: %d micro-batches, must be 1 to %d", name, m, most);
    if (sane && KINDS[k].place != PLACE_LINE && m < 2 * stages)
        problems_add(p, NULL, 0,
                     "schedule %s: %d micro-batches are too few for %d stages; it needs at least "
                     "two per stage (%d)",
                     name, m, stages, 2 * stages);
    if (KINDS[k].place != PLACE_MIRROR) return;
    if (stages % 2 != 0)
        problems_add(p, NULL, 0,
                     "schedule %s: %d stages; the number must be even, since rank r holds stages "
                     "r and P-1-r",
                     name, stages);
    if (m % 2 != 0)
        problems_add(p, NULL, 0,
                     "schedule %s: %d micro-batches; the number must be even, since half of them "
                     "enter at each end",
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

/* A refusal names the nearest valid sizes below and above. */
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
    problems_add(p, NULL, 0, "schedule %s: nearest valid: %s%s%s", KINDS[k].name, text[0],
                 text[0][0] && text[1][0] ? ", or " : "", text[1]);
    return false;
}

/* ---- making ---- */

void plan_make(struct plan *plan, enum plan_kind k, int stages, int micro_batches)
{
    INVARIANT(KINDS[k].make && can(k, stages, micro_batches),
              "no plan %s of %d stages and %d micro-batches", KINDS[k].name, stages, micro_batches);
    plan_begin(plan, k, KINDS[k].place, stages, micro_batches);
    for (int r = 0; r < stages; r++) {
        struct plan_part part = plan_part_of(plan, r);
        KINDS[k].make(&part);
        plan->n_rows[r] = part.n_rows;
    }
}

void plan_part_make(struct plan_part *part, enum plan_kind k, int micro_batches)
{
    int stages = part->of.stages;
    INVARIANT(KINDS[k].make && can(k, stages, micro_batches) && KINDS[k].place == part->of.place,
              "no generator of plan %s for %d stages and %d micro-batches", KINDS[k].name, stages,
              micro_batches);
    plan_part_again(part, k, micro_batches);
    KINDS[k].make(part);
}

double plan_bubble_formula(enum plan_kind k, int stages, int micro_batches,
                           const struct plan_costs *c)
{
    if (!KINDS[k].idle) return NAN;
    return KINDS[k].idle(plan_chunks(KINDS[k].place, stages), micro_batches, c);
}
