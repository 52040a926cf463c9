/* From the recipe to a schedule: how many micro-batches a pipeline gets at least, which layers a
 * chunk, and what `schedule: auto` means: the placement and, for every number of micro-batches, the
 * order of passes that the simulator likes best.
 *
 * Costs are those of the planner (pass_cost.h), of full micro-batches whose sequences are as long
 * as the longest. With mesh.cluster they are that file's, in seconds. Without, they are in FLOPs:
 * messages and exchanges (tp, ep) count as the FLOPs that mesh.flops_per_byte says could be done
 * meanwhile, without latency, and a fused pair saves what of its exchanges its computing hides.
 * Either way every rank, and a run that is resumed, chooses the same; clocks have no say. */
#ifndef DUET_TRAINER_SCHEDULE_SCHEDULE_H
#define DUET_TRAINER_SCHEDULE_SCHEDULE_H

#include "pipeline/auto.h"
#include "trainer/config/settings.h"
#include "trainer/schedule/shape.h"

enum plan_kind schedule_kind(const struct settings *s);
/* The same, but of auto the named plan of its placement that it starts from. */
enum plan_kind schedule_named(const struct settings *s);
enum plan_place schedule_place(const struct settings *s);
/* Directions that micro-batches are dealt to: gradient sums kept apart. */
int schedule_sums(const struct settings *s);
/* Has each rank of tp the rows of its share of a micro-batch only (model/chunk.h, chunk_setup.cut)?
 */
bool schedule_cut(const struct settings *s);
/* What mesh.sequence_parallel: auto says of micro-batches of `rows` rows. */
bool schedule_cut_shape(int tp, double rows, double C);
/* Fewest micro-batches of a pipeline and step: a multiple of schedule_sums. */
int schedule_least(const struct settings *s);

/* first [chunks+1]: layers first[c] .. first[c+1]-1 go to chunk c: by mesh.split, or so that the
 * costliest chunk costs least. */
void schedule_split(int *first, const struct settings *s, const struct dims *d, int chunks);
/* The same of a shape, by cost: FLOPs of a forward pass, of sequences of this many rows. */
void schedule_split_shape(int *first, const struct shape *s, double context, int chunks);

/* What `auto` takes the passes of a micro-batch to cost on a placement: in FLOPs a row, or, with a
 * cluster file, in seconds. */
struct schedule_costs {
    struct sim_table table;
    double work; /* all chunks together, without exchanges */
};
void schedule_costs_new(struct schedule_costs *c, const struct settings *s, const struct dims *d,
                        enum plan_place place);
void schedule_costs_free(struct schedule_costs *c);

/* Does the placement suit mesh and model? */
bool schedule_can(const struct settings *s, enum plan_place place);
/* Settles `schedule: auto` (else does nothing): the placement with the shortest simulated step of
 * schedule_least micro-batches. A line unless a vee is better by 1 %, then a mirror, which holds
 * the model twice, by another 1 %; placements that a rank's memory does not hold (fits, by place;
 * NULL: all) are left out. Says in the log what was chosen and why. */
void schedule_choose(struct settings *s, const struct dims *d, const bool fits[PLACES]);

/* Does `auto` search for the plan of this many micro-batches? After the first few counts, and
 * without auto, the plan is the named one. */
bool schedule_searches(const struct settings *s, int micro_batches);
/* Makes the plan of a step (plan_free), checked. */
void schedule_plan(struct plan *plan, const struct settings *s, const struct dims *d,
                   int micro_batches);
/* Activation slots that plans of up to this many micro-batches need. */
int schedule_slots(const struct settings *s, int micro_batches);

#endif
