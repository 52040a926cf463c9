/* The machines of a job and which rank is on which: from a hostfile as mpirun reads it ("name
 * slots=2", # comments), or the nodes of a cluster file. Ranks fill the slots of a host before the
 * next, as mpirun deals them by slot, or go where a map puts them (hostfiles/README.md). */
#ifndef DUET_TRAINER_PLANNER_HOSTS_H
#define DUET_TRAINER_PLANNER_HOSTS_H

#include "trainer/config/cluster.h"

struct host {
    char *name;
    int slots;
};
struct hosts {
    struct host *at;
    int n, slots; /* of all */
    int room;
    int *placed, n_placed; /* host of every rank, where a map says so; NULL: in order */
};

/* Bytes of a hostfile; mistakes by line, unknown words with the nearest known one. Bounded memory,
 * never crashes (P11). true: no mistake. Either way h can be freed. */
bool hosts_parse(struct hosts *h, const char *text, size_t n, const char *file, struct problems *p);
bool hosts_load(struct hosts *h, const char *path, struct problems *p);
/* node-1, node-2, ... with a slot a device. */
void hosts_of_cluster(struct hosts *h, const struct cluster *c);
void hosts_free(struct hosts *h);

/* Puts ranks where launch/run.sh --map does: pipelines (in order), experts or mirrored of that mesh
 * (":DPxPPxTP" behind it must be the same), or a file. false: mistakes. */
bool hosts_map(struct hosts *h, const char *map, int dp, int pp, int tp, struct problems *p);
/* Bytes of such a file: line i, comments and empty lines not counted, names the host of rank i. */
bool hosts_map_parse(struct hosts *h, const char *text, size_t n, const char *file, int ranks,
                     struct problems *p);

/* The host of every rank, [ranks], malloc'ed; there are slots for all. */
int *hosts_place(const struct hosts *h, int ranks);

#endif
