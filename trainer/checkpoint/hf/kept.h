/* What a checkpoint keeps of an imported model besides weights: its files, and in the recipe what
 * followed from them. So a run of such a model is answered with, resumed, or started from without
 * the folder that it came from. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_KEPT_H
#define DUET_TRAINER_CHECKPOINT_HF_KEPT_H

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/config/settings.h"

/* What a checkpoint has of the model's files, for settings.files; the caller's. Its tokenizer is
 * passed on by who opened it. Local. */
struct model_files hf_kept_files(const struct checkpoint *c);
/* path: as of checkpoint_open. When its newest checkpoint (undamaged but for the shards, which are
 * not looked at) is of an imported model: the settings of the model and data.template that the
 * recipe leaves open are those of the checkpoint's recipe, and the files and tokenizer its own.
 * Otherwise nothing, and false. With a world collective: rank 0 reads, the others are told; NULL:
 * local. */
bool hf_kept_apply(struct settings *s, const char *path, const struct world *w);

#endif
