/* What a path given by a user means: one checkpoint, or a folder that holds some. Used by open and
 * inspect. */
#ifndef DUET_TRAINER_CHECKPOINT_WHERE_H
#define DUET_TRAINER_CHECKPOINT_WHERE_H

#include "comm/base/problems.h"
#include "trainer/checkpoint/store.h"

struct where {
    bool one; /* root is a checkpoint folder itself */
    char root[PATH_BYTES];
    struct store_list list; /* when not one */
};

/* path: a checkpoint folder, a run folder, its checkpoints folder, or the file `latest` there.
 * Local. */
bool where_find(struct where *at, const char *path, struct problems *p);
/* Says so when `latest` names nothing that is there. */
void where_warn(const struct where *at);
void where_free(struct where *at);

#endif
