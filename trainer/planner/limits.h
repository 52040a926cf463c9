/* What a run may be at most, asked before anything of it is allocated: how many micro-batches a
 * schedule holds, how much memory a rank has. Both name the setting to change. */
#ifndef DUET_TRAINER_PLANNER_LIMITS_H
#define DUET_TRAINER_PLANNER_LIMITS_H

#include "trainer/planner/memory.h"

/* A step of e->sequences may take more micro-batches than a plan can have: a problem. The settings'
 * mesh must be checked. Local. */
bool limits_micro_batches(const struct settings *s, const struct extent *e, struct problems *p);

/* Bytes that a rank may take: its part of what is free on its host, or what limits of the process
 * or its control group leave; 0: unknown. */
size_t limits_memory(const struct world *w);
/* Bytes that the control groups of a process (of a batch job, a container) leave it, of version 1
 * and 2; SIZE_MAX: no limit. root: /sys/fs/cgroup; own: /proc/self/cgroup. Local. */
size_t limits_group(const char *root, const char *own);
/* The memory of the rank at `at`; false: more than `limit` (0: none), and then m is what it takes
 * at least. Local. */
bool limits_measure(struct memory *m, const struct memory_job *job, struct mesh_at at,
                    size_t limit);
/* The rank at `at` would take more than `limit` bytes: a problem, which says of what. Local. */
bool limits_fit(const struct memory_job *job, struct mesh_at at, size_t limit, const char *host,
                struct problems *p);

#endif
