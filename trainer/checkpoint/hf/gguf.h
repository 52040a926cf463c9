/* A GGUF file in the place of a folder: its tensors listed as those of a safetensors file, their
 * numbers read from the map. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_GGUF_H
#define DUET_TRAINER_CHECKPOINT_HF_GGUF_H

#include "trainer/checkpoint/hf/safetensors.h"
#include "trainer/gguf/file.h"
#include "trainer/gguf/hf.h"

struct hf_gguf {
    struct gguf_file file;
    struct gguf_place *place; /* by number of a tensor in the list: its `begin` */
};

/* Fills the list, whose tensors count as F32: what numbers become when they are read. Tensors whose
 * numbers are of a type that is not read are problems, all of them. Local. */
bool hf_gguf_open(struct hf_gguf *g, struct safetensors *list, const char *path,
                  struct problems *p);
void hf_gguf_close(struct hf_gguf *g);
/* n numbers of a listed tensor from number `from` on. */
void hf_gguf_read(const struct hf_gguf *g, const struct safetensor *t, float *out, uint64_t from,
                  size_t n);

#endif
