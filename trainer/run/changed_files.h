/* Files that a run reads beside its recipe, held against what they were when its checkpoint was
 * saved: by what was read of them, not by their names. Settings are compared in config/changes.h.
 */
#ifndef DUET_TRAINER_RUN_CHANGED_FILES_H
#define DUET_TRAINER_RUN_CHANGED_FILES_H

#include "trainer/config/changes.h"
#include "trainer/run/position.h"
#include "trainer/run/run.h"

/* The tokenizer of a checkpoint (NULL: it has none) and the one in use, both tokenizer.json. Local.
 */
void changed_tokenizer(struct changes *c, const char *was, const char *json);
/* The problems of either split. `then`, q, at: the checkpoint's recipe, state and position. Local.
 */
void changed_data(struct changes *c, const struct run *r, const struct settings *then,
                  const struct position *q, struct standing at);
/* The chat template that data.template names, with what is read beside it. Local. */
void changed_template(struct changes *c, const struct run *r, const struct settings *then,
                      const struct position *q, struct standing at);
/* The file of mesh.cluster: never refused. Local. */
void changed_cluster(struct changes *c, const struct run *r, const struct settings *then,
                     const struct position *q);

#endif
