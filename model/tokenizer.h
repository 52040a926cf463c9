/* Bytes <-> tokens. Today: a character-level tokenizer (one token a character, special tokens for
 * the tags), read from and written as a tokenizer.json that Hugging Face's `tokenizers` loads with
 * equal results. The interface leaves room for byte-level BPE. */
#ifndef DUET_MODEL_TOKENIZER_H
#define DUET_MODEL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include "comm/base/problems.h"

struct tokenizer;

/* Special tokens of the built-in tokenizer, ids 0..: "<pad>", "<eos>", "<think>", "</think>",
 * "<answer>", "</answer>", then "<unk>", then the characters: newline and printable ASCII
 * 0x20..0x7e. */
#define TOKEN_EOS "<eos>"

/* The built-in tokenizer's file, malloc'ed, NUL-terminated; *n without the NUL. */
char *tokenizer_builtin_json(size_t *n);
/* NULL and problems when the bytes are not a tokenizer this program can run; memory bounded by a
 * small multiple of n (P11). `file` is for messages. */
struct tokenizer *tokenizer_parse(const void *bytes, size_t n, const char *file,
                                  struct problems *p);
void tokenizer_free(struct tokenizer *t);

int tokenizer_size(const struct tokenizer *t);                    /* ids are 0 .. size-1 */
int tokenizer_find(const struct tokenizer *t, const char *token); /* id of an exact token, -1 */
/* Appends ids of text to out (at most max); returns how many there are (may exceed max: then out
 * holds the first max). special: recognise special tokens in the text (false for text from users or
 * data). Unknown characters become <unk>. */
size_t tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool special,
                        int *out, size_t max);
/* Where the first character at or after byte `from` stands that would become <unk>, with its length
 * in *bytes; n when there is none. */
size_t tokenizer_unknown(const struct tokenizer *t, const char *text, size_t n, bool special,
                         size_t from, size_t *bytes);
/* Bytes that hold the text of any n tokens, with its NUL. */
size_t tokenizer_text_bytes(const struct tokenizer *t, size_t n);
/* Bytes of the tokens, special ones as their text; NUL-terminated within max; returns the full
 * length. */
size_t tokenizer_decode(const struct tokenizer *t, const int *ids, size_t n, char *out, size_t max);

#endif
