/* The kinds of tokenizers: a row of functions each. tokenizer.h says what callers see of them. */
#ifndef DUET_MODEL_TOKENIZER_KIND_H
#define DUET_MODEL_TOKENIZER_KIND_H

#include "model/tokenizer.h"
#include "model/tokenizer/parse.h"

/* Where text goes: what does not fit is counted only. */
struct sink {
    char *at;
    size_t n, max;
};
void sink_put(struct sink *out, const char *text, size_t n);

/* Text that is made of tokens, one piece after the other. */
struct decoding {
    struct sink out;
    char held[4]; /* the beginning of a character */
    size_t n_held;
    bool begun; /* text was put out */
};

/* What all kinds have; each kind's own struct begins with it. */
struct tokenizer {
    const struct tokenizer_kind *kind;
    int size;
    size_t longest; /* bytes of text that a token may become */
    int *around;    /* ids that the file puts before a text, then those behind it */
    size_t n_before, n_behind;
};

struct tokenizer_kind {
    const char *name;
    /* NULL and problems when it cannot be run. root is the caller's. */
    struct tokenizer *(*read)(struct parse *p, json_t *root);
    void (*release)(struct tokenizer *t);
    int (*find)(const struct tokenizer *t, const char *token, size_t n);
    size_t (*encode)(const struct tokenizer *t, const char *text, size_t n, bool special, int *out,
                     size_t max);
    /* Is there a token with an id below size? NULL: there always is. */
    bool (*has)(const struct tokenizer *t, int id);
    /* NULL: nothing is unknown. */
    size_t (*unknown)(const struct tokenizer *t, const char *text, size_t n, bool special,
                      size_t from, size_t *bytes);
    /* Puts out the text of n tokens; of the last ones also what may be the beginning of a
     * character, when last. */
    void (*decode)(const struct tokenizer *t, struct decoding *d, const int *ids, size_t n,
                   bool last);
    /* The text of this token depends on those behind it. NULL: no token's does. */
    bool (*waits)(const struct tokenizer *t, int id);
};

extern const struct tokenizer_kind kind_characters, kind_byte_level, kind_byte_fallback;

#endif
