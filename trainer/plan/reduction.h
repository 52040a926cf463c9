/* What summing the gradients of replicas, and gathering their weights, sends from host to host: on the flat path (all members of a
 * replica group exchange slices) and on the path that knows nodes (comm/reduce.h): each node's members share out columns,
 * a running sum goes from node to node, finished slices to their owners. */
#ifndef DUET_TRAINER_PLAN_REDUCTION_H
#define DUET_TRAINER_PLAN_REDUCTION_H

#include "trainer/plan/traffic.h"

struct reduction_way {
    const char *name;
    bool nodes;
    double wire; /* bytes of a float from node to node; the flat path sends 4 */
};
enum { REDUCTION_WAYS = 4, REDUCTION_FLAT = 0 };
/* flat; nodes in fp32, bf16, int8 (blocks of 128 with a scale). */
extern const struct reduction_way REDUCTION_WAY[REDUCTION_WAYS];

/* Adds one step's sums and gathers of all replica groups, by the recipe's own settings. */
void reduction_add(struct traffic *t, const struct memory_job *j);
/* The same by one of the ways; groups that do not lie on nodes as the way wants go flat. Returns how many groups do, *all how many
 * there are; *why: of one that does not. */
int reduction_add_as(struct traffic *t, const struct memory_job *j, const struct reduction_way *way,
                     int *all, const char **why);

/* Seconds of sums and of gathers of such a step, were they alone: the busiest host's bytes over its links (one a slot), and the
 * time until the last node has something to do. */
struct reduction_time {
    double reduce, gather;
};
struct reduction_time reduction_time(const struct traffic *t, const struct cluster *c,
                                     const int *slots, const struct reduction_way *way);

#endif
