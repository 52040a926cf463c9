/* The mesh dp x pp x ep x tp: rank <-> coordinates, one communicator an axis (DESIGN: main types).
 *
 * rank = d * pp + p today (ep and tp are 1 until their issue; the fields have their place).
 * With `mirrored` (DualPipe) rank p of a pipeline holds chunk p (direction 0) and chunk pp-1-p
 * (direction 1), so the replicas of both its chunks are the same 2*dp ranks. */
#ifndef DUET_COMM_MESH_H
#define DUET_COMM_MESH_H

#include "comm/world.h"

struct mesh {
    int dp, pp, ep, tp;
    int d, p; /* this rank's coordinates */
    bool mirrored;
    MPI_Comm pipe; /* my pipeline: size pp, rank p */
    MPI_Comm data; /* ranks of my p over all d: size dp, rank d */
    MPI_Comm
        replica; /* ranks that hold my chunks: dp, or 2*dp when mirrored (p != pp-1-p), ordered by
                            (d, p): (0,lo) (0,hi) (1,lo) (1,hi) ... */
    int replica_inner; /* members of one pipeline in `replica`: 1 or 2 */
};

int mesh_rank(const struct mesh *m, int d, int p);
void mesh_coords(const struct mesh *m, int rank, int *d, int *p);

/* All reasons why the mesh cannot be, with the nearest that can (sizes that use `ranks`). Local, pure.
 * Returns true when it can. */
bool mesh_check(int dp, int pp, bool mirrored, int ranks, int layers, struct problems *p);
/* Collective over w->comm; the mesh must have passed mesh_check. */
void mesh_split(struct mesh *m, const struct world *w, int dp, int pp, bool mirrored);
void mesh_free(struct mesh *m);

#endif
