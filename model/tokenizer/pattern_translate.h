/* From a pattern that Oniguruma reads to one that PCRE2 reads alike. */
#ifndef DUET_MODEL_TOKENIZER_PATTERN_TRANSLATE_H
#define DUET_MODEL_TOKENIZER_PATTERN_TRANSLATE_H

#include "model/tokenizer/parse.h"

/* malloc'ed, NUL-terminated; NULL and a problem that names what is refused. */
char *pattern_translate(struct parse *p, const char *place, const char *regex);

#endif
