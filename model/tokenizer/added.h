/* Added tokens, which are found in a text before it is cut into pieces: those with normalized false
 * in the text as it came, the others in its normal form; leftmost, then longest. */
#ifndef DUET_MODEL_TOKENIZER_ADDED_H
#define DUET_MODEL_TOKENIZER_ADDED_H

#include "model/tokenizer/hash.h"
#include "model/tokenizer/normalize.h"
#include "model/tokenizer/pattern.h"

struct added_token {
    int id;
    size_t form, form_n; /* what is looked for, and what is decoded, among all forms */
    bool normalized, single_word, lstrip, rstrip;
};

/* A tree of bytes: (node, byte) -> (node, number of the token that ends there, from 1). Node 0 is
 * the root. */
struct added_tree {
    struct pair_table node;
    uint32_t nodes;
    bool starts[256];
};

struct added {
    struct added_token *token;
    int n;
    struct added_tree raw, normal;
    struct room forms;
    struct pattern *word; /* one character of a word; NULL when no token is single_word */
};

/* Contents of tokens with normalized true are brought to their normal form. */
void added_read(struct parse *p, struct added *a, const json_t *list, const struct normalizer *z);
void added_free(struct added *a);

/* A walk over a text: begin with zeros. */
struct added_walk {
    size_t from;        /* where the next token is looked for */
    size_t done;        /* where the text begins that no token has taken */
    size_t start, stop; /* of the token that was found, with the white space that it takes */
    int id;
};
/* The next token; false when there is none. The caller takes the text from w->done to w->start
 * (when there is some: a token's white space may reach into the next one), then the token, and sets
 * w->done to w->stop; at the end the text behind w->done. */
bool added_next(const struct added *a, const struct added_tree *tree, const char *text, size_t n,
                struct added_walk *w);

#endif
