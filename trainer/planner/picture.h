/* One rank's picture of a job, of however many ranks: who it is, whom it exchanges what with in a
 * step and why, its slices of a checkpoint, its memory. Everything follows from the recipe and the
 * rank's own place, as it does in training, in steps that grow with the rank's groups and not with
 * the job: a cluster can be pretended, one rank of it at a time. */
#ifndef DUET_TRAINER_PLANNER_PICTURE_H
#define DUET_TRAINER_PLANNER_PICTURE_H

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/planner/flow.h"
#include "trainer/planner/traffic_step.h"

struct picture_job {
    struct traffic_job step;
    const int *host; /* of every rank of all sites, one site after the other */
    int ranks;       /* of all sites */
};

/* Whom the rank exchanges something with in a step, by kind. Messages are counted where they are
 * one to a row of the plan or to a bucket. */
struct picture_peer {
    int rank;
    struct flow out[TRAFFIC_KINDS], in[TRAFFIC_KINDS];
};

struct picture {
    const struct picture_job *job;
    int rank, site;
    struct mesh mesh; /* of the site, with the rank's place */
    int n;
    struct picture_peer *peer; /* [n] by rank */
    int slices;
    struct slice *slice; /* [slices] what it saves, without data */
    struct memory memory;
    long steps; /* of inner loops that this took */
};
/* Local. The job is kept until picture_free. */
void picture_new(struct picture *p, const struct picture_job *job, int rank);
void picture_free(struct picture *p);

/* What the rank at that place saves, malloc'ed, without data; returns how many. Local. */
int picture_slices(struct slice **out, const struct memory_job *j, struct mesh_at at);
/* NULL: no peer of it. */
const struct picture_peer *picture_peer(const struct picture *p, int rank);
/* Bytes of the slices whose names begin so ("model/"), or of all (""). */
size_t picture_saved(const struct picture *p, const char *prefix);

#endif
