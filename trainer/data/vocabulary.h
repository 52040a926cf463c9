/* The tokenizer that a recipe names. */
#ifndef DUET_TRAINER_DATA_VOCABULARY_H
#define DUET_TRAINER_DATA_VOCABULARY_H

#include "comm/base/problems.h"
#include "model/tokenizer.h"
#include "trainer/config/never.h"
#include "trainer/config/settings.h"

#define TOKEN_THINK "<think>"

/* The first of model.end_tokens, or the tokenizer's <eos>; -1: neither. */
int vocabulary_end(const struct settings *s, const struct tokenizer *t);
/* Rows of embedding and head: model.vocabulary, or as many as there are tokens. */
int vocabulary_rows(const struct settings *s, const struct tokenizer *t);
/* model.never_tokens, the caller's; what is wrong with it is a problem. Local. */
struct never_tokens vocabulary_never(const struct settings *s, const struct tokenizer *t,
                                     struct problems *p);
/* From `given` (tokenizer.json as text), or when that is NULL the one of the settings' model files,
 * or the file that they name, or the one that is built in. It has <think> and <eos>, or the recipe
 * says which tokens end an answer; else that is a problem, and so are tokens that the model has no
 * rows for. *json: its text, the caller's to free. NULL: it could not be read. Local. */
struct tokenizer *vocabulary_open(const struct settings *s, const char *given, char **json,
                                  struct problems *p);

#endif
