/* The kernels that a job computes with: the same bits on every rank (P2, P3), and what is slow
 * about them is said once. */
#ifndef DUET_TRAINER_RUN_KERNELS_H
#define DUET_TRAINER_RUN_KERNELS_H

#include "comm/world.h"
#include "model/ops.h"

/* The same where the kernels are; 0 without ops. Local. */
uint64_t kernels_sum(const struct ops *ops);
/* A rank whose kernels are not those of rank 0 is a problem that names both hosts; then the job
 * ends with 2. Collective over w->comm. */
void kernels_alike(const struct world *w, const struct ops *ops);

/* Says on rank 0, once for all ranks, which products run row by row. Collective over w->comm. */
void kernels_slow(const struct world *w);

#endif
