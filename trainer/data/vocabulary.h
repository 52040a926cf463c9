/* The tokenizer that a recipe names. */
#ifndef DUET_TRAINER_DATA_VOCABULARY_H
#define DUET_TRAINER_DATA_VOCABULARY_H

#include "comm/base/problems.h"
#include "model/tokenizer.h"
#include "trainer/config/settings.h"

#define TOKEN_THINK "<think>"

/* From `given` (tokenizer.json as text), or when that is NULL the settings' file, or the one that
 * is built in. It has <think> and <eos>, else that is a problem. *json: its text, the caller's to
 * free. NULL: it could not be read. Local. */
struct tokenizer *vocabulary_open(const struct settings *s, const char *given, char **json,
                                  struct problems *p);

#endif
