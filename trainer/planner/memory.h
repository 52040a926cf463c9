/* What every rank of a run will allocate, by kind, before anything runs: not estimated, but
 * measured by the very functions that place it (stage_measure, optimizer_measure, ...), on an arena
 * without memory. */
#ifndef DUET_TRAINER_PLANNER_MEMORY_H
#define DUET_TRAINER_PLANNER_MEMORY_H

#include "trainer/learn/outer.h"
#include "trainer/learn/step.h"
#include "trainer/phase.h"
#include "trainer/rollout/rollout.h"

struct memory {
    size_t of[ARENA_KINDS], total; /* bytes */
};

/* What the memory of a run depends on, besides the settings. */
struct memory_job {
    const struct settings *settings; /* checked for the ranks of its mesh */
    const struct ops *ops;           /* its linear_place says how much a packed weight takes */
    int vocabulary;
    struct extent extent;
    const int *host; /* of every rank of a site: what is rounded between hosts is kept, and room for
                        sums follows their path; NULL: all on one */
};

/* Memory of the rank at that place of the mesh, all that is placed. Local. */
void memory_of_rank(struct memory *m, const struct memory_job *job, struct mesh_at at);
/* What the process of a rank takes beside that, about: the program, libraries with MPI, the matrix
 * library's kernels and room for its blocks. Measured, not placed: tests/mpi/test_memory_plan.c
 * holds both together to what a run has resident. Local. */
size_t memory_beside(const struct memory_job *job);
/* The cache of each pipeline (rollout.h). Local. */
struct rollout_cache memory_cache(const struct memory_job *job);
/* The optimizer of the rank that a measured stage is of, with its hosts. Local; optimizer_free. */
void memory_optimizer(struct optimizer *o, const struct memory_job *job, struct stage *s);
/* The stage of a rank on that mesh (memory_mesh) of the model, for stage_measure: with max_mb 0 its
 * weights alone. */
struct stage_job memory_stage(const struct memory_job *job, const struct mesh *mesh, int max_mb);
/* The mesh without its communicators: sizes and a rank's place. */
struct mesh memory_mesh(const struct settings *s, struct mesh_at at);
/* Bytes that the rank sends to its like of each other site in an exchange; 0 with one site. Local.
 */
size_t memory_site_message(const struct memory_job *job, struct mesh_at at);
/* A row of the ops table in place of linear_place: no memory for packed copies, the kernels read
 * weights as they are (on GPUs). */
void linear_place_nothing(struct linear *l, int N, int K, bool backward, struct arena *a);
/* Layers of the chunks as training splits them, [chunks+1], malloc'ed. Local. */
int *memory_split(const struct memory_job *job, int *chunks);

#endif
