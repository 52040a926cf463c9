/* A replica group and a bucket of it, as both need them who count the bytes of all of its sums
 * (reduction.h) and who ask what one member sends (reduction_rank.h). */
#ifndef DUET_TRAINER_PLANNER_REDUCTION_GROUP_H
#define DUET_TRAINER_PLANNER_REDUCTION_GROUP_H

#include "trainer/learn/bucket.h"
#include "comm/reduce_few.h"
#include "trainer/planner/reduction.h"

/* Members in the order of sums (comm/mesh.h), where they are, and a bucket's slices. */
struct reduction_group {
    struct reduce_form form;
    int *rank, *host;
    size_t *count, *offset;
    size_t *before; /* of a gather by doubling: elements of the owners in the rows before */
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

/* Elements that a member sends to the one `distance` behind it, in a gather by doubling over rows
 * of `each` members. */
size_t reduction_doubled(const struct reduction_group *g, int each, int from, int distance);

#endif
