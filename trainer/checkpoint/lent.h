/* Reading slices that do not lie on the host: by way of memory there. */
#ifndef DUET_TRAINER_CHECKPOINT_LENT_H
#define DUET_TRAINER_CHECKPOINT_LENT_H

#include "trainer/checkpoint/checkpoint.h"

/* Calls `read` for the slices, those of a device as host memory, whose contents then go there; what
 * `read` said. Where it failed nothing goes there. Local; allocates. */
bool slices_lent(const struct slice *slices, int n,
                 bool (*read)(void *ctx, const struct slice *slices, int n), void *ctx);

#endif
