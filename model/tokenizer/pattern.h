/* Splitting patterns of a tokenizer.json, run by PCRE2. They are written for Oniguruma (which runs
 * them in Hugging Face's `tokenizers`); what the two read alike is taken, \s and \p{..} are spelled
 * out where they differ, and anything else is refused by name. */
#ifndef DUET_MODEL_TOKENIZER_PATTERN_H
#define DUET_MODEL_TOKENIZER_PATTERN_H

#include <stddef.h>
#include "model/tokenizer/parse.h"

/* The pattern of GPT-2, which the step ByteLevel uses by itself. */
#define PATTERN_GPT2 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

struct pattern;
/* NULL and a problem when it is refused. */
struct pattern *pattern_new(struct parse *p, const char *place, const char *regex);
/* Matches this text, which is not empty. */
struct pattern *pattern_of_text(const char *text);
void pattern_free(struct pattern *q);

/* The first match at or behind `from` of n bytes of valid UTF-8; false when there is none. It is
 * never empty. One thread at a time. Ends the job when the pattern takes more steps than PCRE2
 * allows (10^7 a match): none of the known families' does. */
bool pattern_next(const struct pattern *q, const char *s, size_t n, size_t from, size_t *start,
                  size_t *stop);

/* White_Space of Unicode. */
bool pattern_is_space(unsigned point);

#endif
