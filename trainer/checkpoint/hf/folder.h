/* A Hugging Face folder's weights: the headers of its safetensors files, held against its index and
 * against the model's tensors; slices read from it like those of a checkpoint.
 *
 * Nothing but headers is kept: a slice is read with pread into one buffer of bounded size and
 * converted from there, so a rank needs its own share and that buffer. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_FOLDER_H
#define DUET_TRAINER_CHECKPOINT_HF_FOLDER_H

#include "model/dims.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/files.h"
#include "trainer/checkpoint/hf/gguf.h"
#include "trainer/checkpoint/hf/safetensors.h"

struct hf_file {
    char path[PATH_BYTES];
    struct safetensors st;
};

struct hf_folder {
    char path[PATH_BYTES];
    int n;
    struct hf_file *file; /* (n) */
    struct hf_gguf gguf;  /* of a GGUF file, which counts as a folder with one file */
};

/* Is this a Hugging Face folder: one with a config.json or their weights, and no checkpoint or run
 * folder of ours? Or a GGUF file, which stands for the folder that it was made of? Local. */
bool hf_is_folder(const char *path);
/* Is this a folder with a config.json and no weights: the shape of a model alone? Local. */
bool hf_is_shape(const char *path);
/* Reads the headers of all files. Pickles, Git LFS pointers, an index and files that do not agree,
 * and whatever breaks the format are problems. Close it either way. Local. */
bool hf_folder_open(struct hf_folder *f, const char *path, struct problems *p);
void hf_folder_close(struct hf_folder *f);
/* NULL: no file has it. *in: which one has. */
const struct safetensor *hf_folder_find(const struct hf_folder *f, const char *name,
                                        const struct hf_file **in);
/* The sizes of all files with weights, together. */
uint64_t hf_folder_bytes(const struct hf_folder *f);
/* Holds the tensors against those of a model: all that are missing, too many, of another shape or
 * of a type that weights cannot have are problems, each with its name. d: the whole model. Local.
 */
bool hf_folder_check(const struct hf_folder *f, const struct dims *d, struct problems *p);
/* As checkpoint_read: slices of "model/..." of a folder that was checked with d. Local. */
bool hf_folder_read(const struct hf_folder *f, const struct dims *d, const struct slice *slices,
                    int n, struct problems *p);

#endif
