/* The tensors of a manifest, read from its text. */
#ifndef DUET_TRAINER_CHECKPOINT_MANIFEST_TENSORS_H
#define DUET_TRAINER_CHECKPOINT_MANIFEST_TENSORS_H

#include "trainer/checkpoint/manifest_read.h"

/* The value of "tensors", with m->shards known: tensors in the order of their names, which hold all
 * of their elements. false with a problem; m is left half filled. Memory: a small multiple of n. */
bool manifest_read_tensors(const struct manifest_reader *r, const char *bytes, size_t n);

#endif
