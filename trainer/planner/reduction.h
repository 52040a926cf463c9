/* What summing the gradients of replicas, and gathering their weights, sends from host to host, by
 * path and wire (comm/reduce.h): the paths are chosen, slices cut and numbers rounded by the code
 * that trains (reduce_choose, bucket_cut, codec_bytes). */
#ifndef DUET_TRAINER_PLANNER_REDUCTION_H
#define DUET_TRAINER_PLANNER_REDUCTION_H

#include "comm/reduce.h"
#include "trainer/config/cluster.h"
#include "trainer/planner/memory.h"
#include "trainer/planner/traffic.h"

struct reduction_way {
    enum reduce_path path;
    enum codec wire;
};
enum { REDUCTION_WAYS = 6 };
/* Flat, then over nodes, each in fp32, bf16 and int8. */
extern const struct reduction_way REDUCTION_WAY[REDUCTION_WAYS];
/* As the recipe has it. */
struct reduction_way reduction_way(const struct settings *s);

/* How many of a step's sums take the path over nodes; why one of the others does not. */
struct reduction_paths {
    int all, nodes;
    const char *why;
};
/* Adds one step's sums and gathers of all replica groups. */
struct reduction_paths reduction_add(struct traffic *t, const struct memory_job *j,
                                     struct reduction_way way);

/* Buckets of a rank, the fewest of all stages. */
int reduction_buckets(const struct memory_job *j);

/* Seconds of sums and of gathers of such a step, were they alone: the busiest host's bytes over its
 * links (one a rank), and the time until the last node of a chain has something to do. */
struct reduction_time {
    double reduce, gather;
};
struct reduction_time reduction_time(const struct traffic *t, const struct cluster *c,
                                     struct reduction_way way);

#endif
