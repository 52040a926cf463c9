/* A checkpoint written as a GGUF file, which llama.cpp loads. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_EXPORT_GGUF_H
#define DUET_TRAINER_CHECKPOINT_HF_EXPORT_GGUF_H

#include "trainer/checkpoint/hf/export.h"
#include "trainer/gguf/quant.h"

/* Writes TO.partial and gives it its name when it is durable: sizes, tokenizer and chat template as
 * keys, matrices in the format `matrices`. Vectors and routers stay F32; with 4 bits the embedding
 * and the head are Q8_0, as llama.cpp's own tool keeps them at a higher precision; rows that are no
 * whole blocks are BF16. Needs a block of some heads' rows in memory, at most 96 MiB or one row of
 * heads. x: dtype, as_source and shard_bytes do not count. false: problems, and no file. Local. */
bool hf_export_gguf(struct hf_exported *done, const struct hf_export *x,
                    const struct quant *matrices, struct problems *p);
/* As hf_export_check. */
bool hf_export_gguf_check(const struct hf_export *x, const struct quant *matrices,
                          struct problems *p);

#endif
