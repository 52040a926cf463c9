/* What a Hugging Face folder has beside its weights, and a model keeps for its export. Local. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_SIDE_FILES_H
#define DUET_TRAINER_CHECKPOINT_HF_SIDE_FILES_H

#include "trainer/checkpoint/attachments.h"
#include "trainer/checkpoint/hf/folder.h"

/* In a checkpoint their names begin so, since it has files of its own. */
#define HF_SIDE_PREFIX "hf-"
/* The names in a folder, ended by NULL. tokenizer.json is not among them: every checkpoint has
 * one. */
extern const char *const hf_side_names[];
/* The types of the folder's tensors: {"default": "BF16", "others": {"model.norm.weight": "F32"}}.
 */
#define HF_SIDE_DTYPES HF_SIDE_PREFIX "dtypes.json"

/* Reads those that are there. What is no file, or larger than 64 MiB, is a problem. */
bool hf_side_read(struct attachments *a, const struct hf_folder *f, struct problems *p);

#endif
