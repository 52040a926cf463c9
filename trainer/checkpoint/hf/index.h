/* model.safetensors.index.json: which file has which tensor, read from any bytes (P11).
 *
 *   {"metadata": {"total_size": 123}, "weight_map": {"a.weight":
 * "model-00001-of-00002.safetensors",
 *    ...}} */
#ifndef DUET_TRAINER_CHECKPOINT_HF_INDEX_H
#define DUET_TRAINER_CHECKPOINT_HF_INDEX_H

#include "comm/base/problems.h"

struct hf_entry {
    const char *tensor, *file; /* in the index' text */
};

struct hf_index {
    size_t n;
    struct hf_entry *entry; /* (n), by tensor */
    char *text;
};

/* Names of files are plain: no folders, no "..". Memory is a small multiple of n. false: a problem
 * that names the tensor, and an empty index. Local. */
bool hf_index_parse(struct hf_index *x, const void *bytes, size_t n, const char *file,
                    struct problems *p);
void hf_index_free(struct hf_index *x);
const struct hf_entry *hf_index_find(const struct hf_index *x, const char *tensor);

#endif
