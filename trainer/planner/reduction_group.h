/* A replica group and a bucket of it, as both need them who count the bytes of all of its sums
 * (reduction.h) and who ask what one member sends (reduction_rank.h). */
#ifndef DUET_TRAINER_PLANNER_REDUCTION_GROUP_H
#define DUET_TRAINER_PLANNER_REDUCTION_GROUP_H

#include "trainer/learn/bucket.h"
#include "trainer/planner/reduction.h"

/* Members in the order of sums (comm/mesh.h), where they are, and a bucket's slices. */
struct reduction_group {
    struct reduce_form form;
    int *rank, *host;
    size_t *count, *offset;
};
/* Room for `most` members. */
void reduction_group_new(struct reduction_group *g, int most);
void reduction_group_free(struct reduction_group *g);

/* Whose sums, and how they travel. */
struct reduction_sums {
    const struct memory_job *memory;
    struct reduction_way way;
    struct mesh mesh; /* with the place of a rank of the group */
    const int *host;  /* of every rank */
};
/* The members that hold share e of `ep` of the experts (of all weights with ep 1), and the bucket's
 * slices, which are kept in the group. */
void reduction_group_fill(struct reduction_group *g, const struct reduction_sums *s,
                          struct bucket *b, int e, int ep);
size_t reduction_group_floats(const struct reduction_group *g);

/* Columns of n floats, one a member of a node: where they begin and end (comm/reduce_nodes.c). */
struct reduction_column {
    size_t lo, hi;
};
struct reduction_column reduction_column(size_t n, int each, int j);

#endif
