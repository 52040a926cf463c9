/* The mesh dp x pp x tp: rank <-> coordinates, a communicator for each group of ranks that holds
 * something together.
 *
 * rank = (d * pp + p) * tp + t: neighbours in t sit on one host, where links are fastest. ep
 * divides dp: the ep consecutive pipelines d / ep share the experts of their layers, everything
 * else they hold in full.
 *
 * With `mirrored` (DualPipe) rank p of a pipeline holds chunk p (direction 0) and chunk pp-1-p
 * (direction 1), so the replicas of both its chunks are the same 2*dp ranks. */
#ifndef DUET_COMM_MESH_H
#define DUET_COMM_MESH_H

#include "comm/world.h"

/* What is wished for. */
struct mesh_shape {
    int dp, pp, tp, ep;
    bool mirrored;
};
/* What the model allows; 0: not known yet, allows all. */
struct mesh_limits {
    int layers;               /* of which every stage needs one */
    int heads, kv_heads, ffn; /* which tp divides */
    int vocabulary;           /* of which every rank of tp needs a token */
    int experts;              /* which ep divides; NO_EXPERTS: there are none to share */
};
enum { NO_EXPERTS = -1 };

struct mesh {
    int dp, pp, ep, tp;
    int d, p, t; /* this rank's coordinates */
    bool mirrored;
    MPI_Comm pipe;    /* my pipeline: size pp, rank p */
    MPI_Comm tensor;  /* ranks that share my layers: size tp, rank t */
    MPI_Comm expert;  /* ranks that share my experts: size ep, rank d % ep */
    MPI_Comm replica; /* ranks that hold my part of my chunks: dp, or 2*dp when mirrored (p !=
                         pp-1-p), ordered by (d, p): (0,lo) (0,hi) (1,lo) (1,hi) ... */
    MPI_Comm expert_replica; /* those of them that hold my experts: every ep-th d */
    int replica_inner;       /* members of one pipeline in `replica` and `expert_replica`: 1 or 2 */
    MPI_Comm made[5];        /* those that are no other's, and not the world's */
    int n_made;
};

struct mesh_at {
    int d, p, t;
};
/* Rank of stage p of pipeline d, with my t. */
int mesh_rank(const struct mesh *m, int d, int p);
int mesh_rank_at(const struct mesh *m, struct mesh_at at);
struct mesh_at mesh_coords(const struct mesh *m, int rank);

/* The groups that a rank is in, in the order of the communicators of struct mesh; that of
 * MESH_DATA, its p and t over all d, has none. */
enum mesh_axis {
    MESH_PIPE,
    MESH_DATA,
    MESH_TENSOR,
    MESH_EXPERT,
    MESH_REPLICA,
    MESH_EXPERT_REPLICA
};
enum { MESH_AXES = MESH_EXPERT_REPLICA + 1 };
/* Members of such a group; the number that the rank at `at` has in its own; the rank of member i
 * there. Of m only the sizes and replica_inner are read. Local, pure. */
int mesh_axis_size(const struct mesh *m, enum mesh_axis axis);
int mesh_axis_number(const struct mesh *m, enum mesh_axis axis, struct mesh_at at);
int mesh_axis_rank(const struct mesh *m, enum mesh_axis axis, struct mesh_at at, int i);

/* All reasons why the mesh cannot be, with the nearest that can (sizes that use `ranks`). Local,
 * pure. Returns true when it can. */
bool mesh_check(struct mesh_shape s, int ranks, const struct mesh_limits *l, struct problems *p);
/* The meshes nearest to s that can be, as text: "dp 2 x pp 2 x tp 2, or ... on 8 ranks". Empty when
 * there is none. Local. */
void mesh_nearest(char *out, size_t size, struct mesh_shape s, int ranks,
                  const struct mesh_limits *l);
/* Collective over w->comm; the mesh must have passed mesh_check. Nobody waits for other ranks than
 * those of the same groups. Groups of the same ranks have one communicator, and that of all ranks
 * is w->comm: who sends messages in one makes a duplicate. */
void mesh_split(struct mesh *m, const struct world *w, struct mesh_shape s);
void mesh_free(struct mesh *m);

#endif
