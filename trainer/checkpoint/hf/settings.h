/* Recipes whose model comes from a Hugging Face folder. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_SETTINGS_H
#define DUET_TRAINER_CHECKPOINT_HF_SETTINGS_H

#include "trainer/config/settings.h"

/* settings_load, then what model.from, when it names a Hugging Face folder, says of the model. A
 * `path` that is such a folder itself stands for a recipe with that model and `phases` (YAML, such
 * as "[{kind: eval}]"; NULL: it does not). Before settings_check. Local. */
bool hf_settings_load(struct settings *s, const char *path, const char *phases,
                      const char *const *sets, int n_sets, struct problems *p);
/* When model.from is a Hugging Face folder: the settings of the model from its config.json, the
 * tokenizer, the tokens that end an answer; and its tensors are held against them. All mistakes
 * together. Otherwise nothing. Local. */
bool hf_settings_apply(struct settings *s, struct problems *p);

#endif
