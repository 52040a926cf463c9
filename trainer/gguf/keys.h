/* Keys of a GGUF file by what they are for: those of the model begin with its architecture. */
#ifndef DUET_TRAINER_GGUF_KEYS_H
#define DUET_TRAINER_GGUF_KEYS_H

#include "trainer/gguf/gguf.h"

bool gguf_text_is(struct gguf_text t, const char *s);
/* Text of a key; n 0: there is none. */
struct gguf_text gguf_key_text(const struct gguf *g, const char *key);
/* general.architecture is this one. */
bool gguf_is(const struct gguf *g, const char *architecture);
/* Key "ARCHITECTURE.name"; NULL: there is none. */
const struct gguf_value *gguf_model_key(const struct gguf *g, const char *name);
/* A whole number from 0 to 2^31 - 1 of the model, `otherwise` where there is none or it is no such
 * number. */
int gguf_model_whole(const struct gguf *g, const char *name, int otherwise);
/* attention.key_length, or what embedding_length and head_count make; 0: neither is there. */
int gguf_head_size(const struct gguf *g);

#endif
