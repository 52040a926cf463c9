/* The schedules: names, what each can do, their plans. The table itself is in kinds.h. */
#ifndef DUET_PIPELINE_SCHEDULES_H
#define DUET_PIPELINE_SCHEDULES_H

#include "pipeline/simulate.h"

struct problems;

const char *plan_kind_name(enum plan_kind k);
bool plan_kind_find(const char *name, enum plan_kind *k); /* false: unknown */
/* For auto: unless its costs say otherwise (plan_auto). */
enum plan_place plan_kind_place(enum plan_kind k);

/* Can it be? If not, says every reason and the nearest (stages, micro-batches) that can. Pure; p
 * may be NULL. */
bool plan_possible(enum plan_kind k, int stages, int micro_batches, struct problems *p);
/* The largest number of micro-batches that a plan of this many stages may have. */
int plan_most_micro_batches(int stages);
/* Smallest micro-batch count >= at_least that the kind allows for `stages` (0: none, stages is
 * wrong). */
int plan_micro_batches(enum plan_kind k, int stages, int at_least);

/* Makes a plan that is possible (INVARIANT otherwise), not auto (plan_make_any, auto.h). Owned by
 * the caller, freed by plan_free. */
void plan_make(struct plan *plan, enum plan_kind k, int stages, int micro_batches);
/* One rank's rows of it, into a part of plan_part_place, of its placement. Allocates nothing. */
void plan_part_make(struct plan_part *part, enum plan_kind k, int micro_batches);

/* The published formula for the worst rank's idle time in a step of equal chunks that cost c, B =
 * full backward: 1F1B (P-1)(F+B); ZB1P (P-1)(F+B-2W); DualPipe (P/2-1)(F&B+B-3W), DualPipeV the
 * same with its 2P chunks for P; serial M(P-1)(F+B). DualPipe README; Narayanan et al., SC'21. auto
 * has none: NAN. */
double plan_bubble_formula(enum plan_kind k, int stages, int micro_batches,
                           const struct plan_costs *c);

#endif
