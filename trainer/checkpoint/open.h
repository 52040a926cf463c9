/* What open and inspect share. */
#ifndef DUET_TRAINER_CHECKPOINT_OPEN_H
#define DUET_TRAINER_CHECKPOINT_OPEN_H

#include "trainer/checkpoint/checkpoint.h"

/* Manifest, recipe and tokenizer of one folder, verified; the shards are not looked at. Close it
 * either way. Local. */
bool checkpoint_load(struct checkpoint *c, const char *folder, struct problems *p);
/* What the caller demands of an opened one, if anything. Local. */
bool checkpoint_passes(const struct checkpoint *c, struct checkpoint_check check,
                       struct problems *p);

#endif
