/* What every rank reads for itself must be the same on all of them: files may differ between hosts.
 */
#ifndef DUET_TRAINER_RUN_ALIKE_H
#define DUET_TRAINER_RUN_ALIKE_H

#include <stdint.h>
#include "comm/world.h"

struct alike {
    const char *what; /* "the recipe r.yaml": for the message */
    uint64_t sum;     /* of what this rank has read */
};

/* true on all ranks: none has problems, and each of the n <= 8 sums is the same everywhere. One
 * exchange. Collective over w->comm. */
bool alike(const struct world *w, const struct problems *p, const struct alike *item, int n);
/* The job ends with 2 where a rank has problems, or else where its sums differ from rank 0's, which
 * is a problem that names both hosts. Collective over w->comm. */
void alike_or_end(const struct world *w, struct problems *p, const struct alike *item, int n);

/* Do all have the same number, which is not 0? Collective over w->comm. */
bool alike_everywhere(const struct world *w, uint64_t sum);

#endif
