/* The description at the head of a GGUF file (version 3, little-endian): keys, then tensors, put
 * together in memory. The caller writes it and behind it the tensors, each padded to gguf_padded
 * bytes, in the order in which they were told. */
#ifndef DUET_TRAINER_GGUF_WRITE_H
#define DUET_TRAINER_GGUF_WRITE_H

#include <stdbool.h>
#include "trainer/gguf/gguf.h"

struct gguf_head;
struct gguf_head *gguf_head_new(void);
void gguf_head_free(struct gguf_head *h);

/* Each key once. Arrays have n elements of any number. */
void gguf_put_u32(struct gguf_head *h, const char *key, uint32_t value);
void gguf_put_f32(struct gguf_head *h, const char *key, float value);
void gguf_put_bool(struct gguf_head *h, const char *key, bool value);
void gguf_put_text(struct gguf_head *h, const char *key, struct gguf_text value);
void gguf_put_i32s(struct gguf_head *h, const char *key, const int32_t *value, uint64_t n);
void gguf_put_texts(struct gguf_head *h, const char *key, const struct gguf_text *value,
                    uint64_t n);

/* shape: outermost first; its last member is a whole number of blocks. Returns where the tensor
 * begins, counted from the end of the description. */
uint64_t gguf_put_tensor(struct gguf_head *h, const char *name, int dims, const uint64_t *shape,
                         const struct quant *q);
uint64_t gguf_tensor_bytes(const struct quant *q, int dims, const uint64_t *shape);
uint64_t gguf_padded(uint64_t bytes);

/* The description, padded; the head's, until it is freed or something is put. */
const void *gguf_head_bytes(struct gguf_head *h, size_t *n);

#endif
