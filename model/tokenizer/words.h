/* The vocabulary of a BPE tokenizer: for each id how the file spells the token, and its text. */
#ifndef DUET_MODEL_TOKENIZER_WORDS_H
#define DUET_MODEL_TOKENIZER_WORDS_H

#include "model/tokenizer/hash.h"
#include "model/tokenizer/parse.h"

struct word {
    const char *spelled; /* NULL: no token has this id */
    const char *text;    /* its spelling, until words_set_texts */
    uint32_t n_spelled, n;
    bool literal;  /* its text is its spelling, not the bytes that this spells */
    bool in_model; /* stands in model.vocab, not only among the added tokens */
};

struct words {
    struct word *word; /* size of them */
    int size;
    char *spellings; /* all of them, one behind the other */
    char *texts;
    struct text_table spelled; /* spelling -> id */
};

/* From model.vocab and added_tokens: contents of added tokens are spellings, too. */
void words_read(struct parse *p, struct words *w, const json_t *vocab, const json_t *added);
void words_free(struct words *w);
/* The id of a spelling of model.vocab, -1. */
int words_find_spelled(const struct words *w, const char *spelled, size_t n);
/* The id of a spelling of any token, added ones included; -1: there is none. */
int words_find(const struct words *w, const char *spelled, size_t n);

/* Writes the text that w->text, of w->n bytes, becomes when it is decoded, which is not longer, and
 * returns how many bytes there are; may set `literal`. */
typedef size_t word_text(const void *how, struct word *w, char *out);
void words_set_texts(struct words *w, word_text *make, const void *how);

#endif
