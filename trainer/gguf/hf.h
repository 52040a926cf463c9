/* A GGUF file as the Hugging Face folder that it was made of: config.json and tokenizer.json from
 * its keys, tensors under their names there. So whatever reads such folders reads these files.
 * Architectures llama, qwen2, qwen3 and qwen3moe; tokenizers of byte-level BPE ("gpt2"). Sources:
 * llama.cpp's gguf-py/gguf/constants.py and convert_hf_to_gguf.py. */
#ifndef DUET_TRAINER_GGUF_HF_H
#define DUET_TRAINER_GGUF_HF_H

#include "trainer/gguf/gguf.h"

/* The texts, malloc'ed. NULL and problems: a key is missing, or this program has no such model.
 * Local. */
char *gguf_config_text(const struct gguf *g, const char *file, struct problems *p);
char *gguf_tokenizer_text(const struct gguf *g, const char *file, struct problems *p);
/* tokenizer_config.json: the template of chats and the tokens that begin and end a text. */
char *gguf_tokenizer_config_text(const struct gguf *g);

/* A tensor of a folder in the file. Rows of query and key heads of the llama architecture lie in
 * another order there: pairs that are rotated together are neighbours. */
struct gguf_place {
    const struct gguf_tensor *tensor;
    uint64_t first;   /* of the tensor's numbers: those of an expert are a part of one */
    uint64_t numbers; /* of the folder's tensor */
    int dims;         /* 1 or 2 */
    uint64_t shape[2];
    int head; /* rows of a head that are interleaved; 0: they lie as in the folder */
};
/* Tensor i of the folder with its name, i from 0; false: there are no more. Tensors that no folder
 * has (factors of rotary frequencies) are left out; one that is not known keeps its own name.
 * Local.
 */
struct gguf_names {
    const struct gguf *g;
    int tensor, expert; /* where the walk stands */
};
enum { GGUF_NAME = 128 };
bool gguf_next(struct gguf_names *walk, char name[GGUF_NAME], struct gguf_place *at);
/* n numbers from number `from` of the folder's tensor on. Its type is one of ours. */
void gguf_read(const struct gguf_place *at, float *out, uint64_t from, size_t n);

/* The same names the other way: what the file calls a folder's tensor, and whether its rows are
 * interleaved by heads (of the queries, or of the keys). false: it has no such tensor. */
enum gguf_heads { GGUF_PLAIN, GGUF_QUERIES, GGUF_KEYS };
bool gguf_name_of(char out[GGUF_NAME], int *expert, enum gguf_heads *heads, const char *name,
                  const char *architecture);
/* Row of the file that holds row `row` of the folder, heads of `head` rows. Pure. */
uint64_t gguf_row(uint64_t row, int head);

#endif
