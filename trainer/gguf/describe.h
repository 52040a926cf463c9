/* The keys of a GGUF file from the texts of a Hugging Face folder: sizes from config.json, tokens
 * from tokenizer.json, the template of chats. The names are those that llama.cpp's converter gives
 * (convert_hf_to_gguf.py). */
#ifndef DUET_TRAINER_GGUF_DESCRIBE_H
#define DUET_TRAINER_GGUF_DESCRIBE_H

#include "trainer/gguf/write.h"

struct gguf_folder {
    const char *name;      /* of the model, for people */
    const char *config;    /* config.json */
    const char *tokenizer; /* tokenizer.json */
    /* NULL: there is none */
    const char *generation;       /* generation_config.json */
    const char *tokenizer_config; /* tokenizer_config.json */
    const char *chat_template;    /* chat_template.jinja */
};

enum { GGUF_ROPE_FACTORS = 512 };
struct gguf_described {
    const char *architecture;  /* as the file calls it: "llama" */
    int heads, kv_heads, head; /* query heads, key/value heads, size of a head */
    /* Divisors of rotary frequencies, which a file holds as the tensor rope_freqs.weight; 0: none
     */
    int rope_factors;
    float rope_factor[GGUF_ROPE_FACTORS];
};

/* false and problems: llama.cpp has no such model or tokenizer. The texts are valid JSON of this
 * program's making or import. Local. */
bool gguf_describe(struct gguf_described *d, struct gguf_head *h, const struct gguf_folder *f,
                   const struct quant *matrices, struct problems *p);

/* The part of it for the tokenizer; vocabulary: rows of the embedding, which may be more than there
 * are tokens. */
bool gguf_describe_tokenizer(struct gguf_head *h, const struct gguf_folder *f, uint64_t vocabulary,
                             struct problems *p);

/* How a text is split before it is merged, by the name that tokenizer.ggml.pre has for it. */
struct gguf_split {
    const char *names[4];   /* the first is written */
    const char *pattern[3]; /* one after the other, each within the pieces of the former ... */
    bool gpt2;              /* ... then by GPT-2's own */
    bool nfc, ignore_merges;
};
enum { GGUF_SPLITS = 5 };
extern const struct gguf_split gguf_splits[GGUF_SPLITS];

/* Llama 3.1's scaling of rotary frequencies: what frequency i of `half` is divided by (the formula
 * is in the model's published code). Pure. */
struct gguf_llama3 {
    double factor, low, high, original;
};
double gguf_llama3_divisor(double theta, int half, int i, const struct gguf_llama3 *s);

#endif
