/* What a checkpoint's tensors consist of, from the slices of all ranks. Local. */
#ifndef DUET_TRAINER_CHECKPOINT_LAYOUT_H
#define DUET_TRAINER_CHECKPOINT_LAYOUT_H

#include "trainer/checkpoint/manifest.h"

struct layout;
/* most: slices of all ranks together. */
struct layout *layout_new(int ranks, size_t most);
/* Those of the next rank, from rank 0 on; nothing of them is kept. Empty ones are left out. Names
 * that HDF5 or JSON would change and lengths that differ between ranks are our bug. */
void layout_add(struct layout *l, const struct slice *slices, size_t n);
/* Shards without sums, tensors; a gap is our bug. Frees l. */
void layout_end(struct layout *l, struct manifest *m);

#endif
