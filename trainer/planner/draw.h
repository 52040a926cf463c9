/* A schedule drawn, proved and measured, before anything runs: duet plan without a recipe. */
#ifndef DUET_TRAINER_PLANNER_DRAW_H
#define DUET_TRAINER_PLANNER_DRAW_H

#include "pipeline/schedules.h"

enum draw_format { DRAW_TEXT, DRAW_TIMELINE, DRAW_JSON, DRAW_SVG, DRAW_TRACE, DRAW_FORMATS };
extern const char *const DRAW_FORMAT_NAMES[DRAW_FORMATS];

/* Times of a chunk in any unit, as the papers name them: b is the full backward. */
struct draw_costs {
    double f, b, w, pair, message;
};

struct draw {
    enum plan_kind kind;
    int stages, micro_batches; /* possible (plan_possible) */
    enum draw_format format;
    const struct draw_costs
        *costs; /* NULL: the two usual ones, F = I = W = 1 and a pair of 3 or 2 */
};

/* "49,107,32,144" or "49,107,32": F, B, W and the pair (F + B where it is not given), into c; its
 * message is left alone. What is wrong goes to p. */
bool draw_costs_parse(struct draw_costs *c, const char *text, struct problems *p);

void draw_print(FILE *out, const struct draw *d);

/* Where the time of a rank goes. */
struct draw_shares {
    double f, b, w, pair,
        idle; /* F alone; backwards alone, whole or their input part; W alone; pairs */
};
/* The plan with these costs in the simulator: the step's time, and the shares of the ranks (stages
 * of them; may be NULL). */
double draw_simulate(const struct plan *plan, const struct draw_costs *c,
                     struct draw_shares *shares);

#endif
