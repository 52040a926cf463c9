/* Do the slices of a tensor hold all of it? Local. */
#ifndef DUET_TRAINER_CHECKPOINT_GAP_H
#define DUET_TRAINER_CHECKPOINT_GAP_H

#include "trainer/checkpoint/manifest.h"

/* Numbers of scratch for a tensor of this number of slices. */
size_t gap_scratch(size_t slices);
/* First element that no slice of t holds; t->n when all are held. A tensor with columns among its
 * slices: t->n when they hold every element once, else 0. scratch: gap_scratch(t->slices). Takes as
 * long as sorting them. */
size_t gap_find(const struct manifest_tensor *t, uint64_t *scratch);

#endif
