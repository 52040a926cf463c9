/* Which tokens of an imported model are never sampled. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_NEVER_H
#define DUET_TRAINER_CHECKPOINT_HF_NEVER_H

#include "trainer/config/settings.h"

/* model.never_tokens of a folder or GGUF file, unless the recipe gives it: the rows of the
 * vocabulary that no token of model.tokenizer has, and the padding token where it is nothing else:
 * neither ends an answer, nor begins a text, nor stands in the chat template. After
 * hf_config_apply; settings.files are there. A tokenizer that cannot be read is named by who opens
 * it, not here. Local. */
void hf_never_apply(struct settings *s, struct problems *p);

#endif
