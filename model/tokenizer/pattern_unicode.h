/* Characters newer than the Unicode of PCRE2. */
#ifndef DUET_MODEL_TOKENIZER_PATTERN_UNICODE_H
#define DUET_MODEL_TOKENIZER_PATTERN_UNICODE_H

struct unicode_row {
    unsigned first, last;
    char category[3]; /* "Lo"; "" ends the table */
};
extern const struct unicode_row unicode_new[];

#endif
