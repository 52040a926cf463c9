/* THE table of schedules. A new one is a file with its generator, and a row here. */
#ifndef DUET_PIPELINE_KINDS_H
#define DUET_PIPELINE_KINDS_H

/* clang-format off: a table reads in columns */
/* X(id, name in recipes and on the command line, where chunks live (enum plan_place),
 *   generator plan_make_..., published idle time plan_idle_...) */
#define SCHEDULES(X)                            \
    X(SERIAL, "serial", LINE, serial, serial)   \
    X(1F1B, "1f1b", LINE, 1f1b, 1f1b)           \
    X(ZB1P, "zb1p", LINE, zb1p, zb1p)           \
    X(DUALPIPE, "dualpipe", MIRROR, dual, dual) \
    X(DUALPIPEV, "dualpipev", VEE, dual, dual)
/* clang-format on */

/* The named schedules, PLAN_SERIAL on, and behind them `auto`: a search (pipeline/auto.h), no
 * generator. */
#define SCHEDULE_ID(id, ...) PLAN_##id,
enum plan_kind { SCHEDULES(SCHEDULE_ID) PLAN_AUTO, PLAN_KINDS };
#undef SCHEDULE_ID

struct plan_part;
struct plan_costs;
/* A generator fills one rank's rows, the part's other fields being set (plan_part_again). Pure. The
 * idle time is that of the worst rank by the published formula, for chunks that cost the same: see
 * schedules.h. */
#define SCHEDULE_FUNCTIONS(id, name, place, make, idle) \
    void plan_make_##make(struct plan_part *part);      \
    double plan_idle_##idle(int chunks, int micro_batches, const struct plan_costs *c);
SCHEDULES(SCHEDULE_FUNCTIONS)
#undef SCHEDULE_FUNCTIONS

#endif
