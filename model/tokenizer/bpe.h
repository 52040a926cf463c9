/* What the two kinds of BPE share: reading model, added_tokens, normalizer, pre_tokenizer and
 * post_processor, and encoding. A kind says how a piece is spelled in tokens before any merge, and
 * how tokens become text. */
#ifndef DUET_MODEL_TOKENIZER_BPE_H
#define DUET_MODEL_TOKENIZER_BPE_H

#include "model/tokenizer/added.h"
#include "model/tokenizer/kind.h"
#include "model/tokenizer/merge.h"
#include "model/tokenizer/split.h"
#include "model/tokenizer/words.h"

struct bpe;
#define BPE_NONE UINT32_MAX

/* Ids of a piece of n bytes before any merge, at most n; returns how many. */
typedef size_t bpe_spell(const struct bpe *t, const char *piece, size_t n, uint32_t *ids);

struct bpe {
    struct tokenizer base;
    struct words words;
    struct added added;
    struct normalizer normalizer;
    struct splitter splitter;
    struct pair_table pairs;
    struct text_table whole; /* ignore_merges: pieces that are tokens; else without entries */
    bpe_spell *spell;
    uint32_t byte_id[256]; /* the token of a byte, BPE_NONE: the vocabulary lacks it */
    uint32_t unk;          /* stands for such bytes; BPE_NONE: nothing does */
    bool lacks_bytes, fuse_unk;
    short *byte_of;        /* by id: the byte that the token stands for, -1 none; or NULL */
    char strip;            /* the decoder takes one off the beginning of a text; 0: nothing */
    struct bpe_work *work; /* what encoding works with */
};

/* A tokenizer with everything read but the words' texts and byte ids, which the kind adds and then
 * calls bpe_finish. Problems are in p. */
struct bpe *bpe_read(struct parse *p, const json_t *root);
/* For ignore_merges, once the words have texts: pieces that are tokens, as they are spelled or as
 * their text. */
void bpe_find_whole(struct bpe *t, bool spelled);
/* The tokenizer, or NULL when there were problems. */
struct tokenizer *bpe_finish(struct parse *p, struct bpe *t);
void bpe_release(struct tokenizer *base);
int bpe_find(const struct tokenizer *t, const char *token, size_t n);
bool bpe_has(const struct tokenizer *t, int id);
size_t bpe_encode(const struct tokenizer *base, const char *text, size_t n, bool special, int *out,
                  size_t max);

/* The post_processor: ids around a text. */
void around_read(struct parse *p, struct bpe *t, const json_t *step);

#endif
