/* Recipes whose model comes from a Hugging Face folder. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_SETTINGS_H
#define DUET_TRAINER_CHECKPOINT_HF_SETTINGS_H

#include "trainer/config/settings.h"

/* settings_load, then what model.from, when it names a Hugging Face folder, says of the model. A
 * `path` that is such a folder itself stands for a recipe with that model and `phases` (YAML, such
 * as "[{kind: eval}]"; NULL: it does not). Before settings_check. Local. */
bool hf_settings_load(struct settings *s, const char *path, const char *phases,
                      const char *const *sets, int n_sets, struct problems *p);
/* What model.from says of the model, where the recipe leaves it open. A Hugging Face folder or GGUF
 * file: the settings of the model from its config.json, the tokenizer, the tokens that end an
 * answer and those that are never sampled, its files (settings.files), and data.template: model
 * when it has a chat template; its tensors are held against them. A checkpoint of such a model: the
 * same as it was saved (kept.h). All mistakes together. Otherwise nothing. Local. */
bool hf_settings_apply(struct settings *s, struct problems *p);
/* The model's sizes from the config.json of a folder without weights (hf_is_shape), where s leaves
 * them open. Its tokenizer.json counts when it is there. Local. */
bool hf_settings_shape(struct settings *s, const char *path, struct problems *p);
/* Is what model.from names there? A mistake of the recipe otherwise, said before anything is made
 * for a model of other sizes. Local. */
bool hf_settings_from_there(const struct settings *s, struct problems *p);

#endif
