/* What open and inspect share. */
#ifndef DUET_TRAINER_CHECKPOINT_OPEN_H
#define DUET_TRAINER_CHECKPOINT_OPEN_H

#include "trainer/checkpoint/checkpoint.h"

/* Manifest, recipe and tokenizer of one folder, verified; the shards are not looked at. Close it either way. Local. */
bool checkpoint_load(struct checkpoint *c, const char *folder, struct problems *p);

#endif
