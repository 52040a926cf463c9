/* Bytes <-> tokens, as a tokenizer.json says, with the results of Hugging Face's `tokenizers`.
 * Kinds: one token a character (also the built-in one), byte-level BPE (GPT-2, Llama 3, Qwen,
 * DeepSeek), BPE with byte fallback (Llama 2). A file that asks for anything else is refused by
 * name. All functions are local; several threads may use one tokenizer. */
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
bool tokenizer_has(const struct tokenizer *t, int id);            /* ids may have gaps */
/* Appends ids of text to out (at most max); returns how many there are (may exceed max: then out
 * holds the first max). special: recognise added tokens in the text, special or not (false for text
 * from users or data: nothing that stands in it becomes a token that steers the model). Characters
 * unknown to a tokenizer of characters become <unk>; BPE knows all, and bytes that are no UTF-8. */
size_t tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool special,
                        int *out, size_t max);
/* Ids that the file's post_processor puts before and behind a text (as Llama's
 * <|begin_of_text|>): how many, and where they lie, in the tokenizer. */
size_t tokenizer_before(const struct tokenizer *t, const int **ids);
size_t tokenizer_behind(const struct tokenizer *t, const int **ids);
/* Where the first character at or after byte `from` stands that would become <unk>, with its length
 * in *bytes; n when there is none. */
size_t tokenizer_unknown(const struct tokenizer *t, const char *text, size_t n, bool special,
                         size_t from, size_t *bytes);
/* Bytes that hold the text of any n tokens, with its NUL. */
size_t tokenizer_text_bytes(const struct tokenizer *t, size_t n);
/* Text of the tokens, special ones as their text; NUL-terminated within max; returns the full
 * length. BPE: valid UTF-8, with U+FFFD in place of bytes that are no character. */
size_t tokenizer_decode(const struct tokenizer *t, const int *ids, size_t n, char *out, size_t max);

/* The same token by token: what is put out and what is put out at the end are, joined, what
 * tokenizer_decode gives for all. A character whose bytes are not all there yet is held back. */
struct tokenizer_stream;
struct tokenizer_stream *tokenizer_stream_new(const struct tokenizer *t);
/* Text that became whole with this token, *n bytes (may be none), NUL-terminated, kept until the
 * next call. */
const char *tokenizer_stream_put(struct tokenizer_stream *s, int id, size_t *n);
/* What was held back, with U+FFFD for what is no character; the stream is then as new. */
const char *tokenizer_stream_end(struct tokenizer_stream *s, size_t *n);
void tokenizer_stream_free(struct tokenizer_stream *s);

#endif
