/* manifest.json: what a checkpoint consists of, and the proof that it is whole.
 *
 *   {"xxh64": "0123456789abcdef",            over all bytes after this line
 *   "format": "duet-checkpoint", "version": 1, "step": 12, "keep_forever": false,
 *   "shards": [{"file": ..., "bytes": ..., "xxh64": ...}, ...],
 *   "files": {"recipe.yaml": {"bytes": ..., "xxh64": ...}, "tokenizer.json": ...},
 *   "tensors": {"model/x": {"n": 100, "shape": [10, 10], "slices": [[shard, lo, hi], [shard, lo,
 * hi, run, stride], ...]}, ...}, "state": {...}}
 *
 * "shape" is that of the whole tensor, rows first; a manifest from before it was written lacks it.
 * Slices are ordered by (shard, lo) and cover all n elements; they may overlap where ranks hold
 * copies, but not in a tensor that has columns among its slices: with run and stride, runs of `run`
 * elements every `stride`, the last ending at hi. */
#ifndef DUET_TRAINER_CHECKPOINT_MANIFEST_H
#define DUET_TRAINER_CHECKPOINT_MANIFEST_H

#include <jansson.h>
#include <stdio.h>
#include "comm/base/problems.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/files.h"

static const size_t MOST_MANIFEST_BYTES = (size_t)1 << 36; /* 16 times those of 100,000 ranks */

struct manifest_slice {
    int shard;
    bool again; /* not the first slice of this tensor in the shard: the dataset is named name@lo */
    struct range at;
};

struct manifest_tensor {
    char name[64];
    size_t n;
    int shape[PARAM_DIMS];        /* as in struct slice */
    struct manifest_slice *slice; /* into the manifest's pool */
    size_t slices;
};

struct manifest_file {
    char name[ATTACHMENT_NAME];
    struct file_sum sum;
};

struct manifest {
    long step;
    bool keep_forever;
    int shards;
    struct file_sum *shard; /* (shards) */
    bool has_recipe, has_tokenizer;
    struct file_sum recipe, tokenizer;
    struct manifest_file file[MOST_ATTACHMENTS]; /* (files) beside these */
    int files;
    struct manifest_tensor *tensor; /* (tensors), by name */
    size_t tensors;
    struct manifest_slice *pool;
    char *fixed; /* manifest_fix: the text of the tensors, which are no more */
    size_t fixed_bytes;
    json_t *state; /* owned */
};

/* Bytes of a whole file; `file` is its name for messages. true, or problems and an empty manifest.
 * Local. */
bool manifest_parse(struct manifest *m, const void *bytes, size_t n, const char *file,
                    struct problems *p);
/* The file's text, malloc'd; NULL without memory. The same manifest gives the same bytes. Local. */
char *manifest_text(const struct manifest *m, size_t *n);
/* For a layout that stays: its tensors are printed now, once, and kept as text alone. false: no
 * memory. Local. */
bool manifest_fix(struct manifest *m);
const struct manifest_tensor *manifest_find(const struct manifest *m, const char *name);
void manifest_free(struct manifest *m);

/* "shard-0001-of-0004.h5" */
void shard_name(char out[64], int shard, int shards);

#endif
