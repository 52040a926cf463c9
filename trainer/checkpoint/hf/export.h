/* A checkpoint written as a Hugging Face folder. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_EXPORT_H
#define DUET_TRAINER_CHECKPOINT_HF_EXPORT_H

#include "model/dims.h"
#include "model/params.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/failure.h"
#include "trainer/checkpoint/hf/dtype.h"

enum { HF_EXPORT_ENDS = 8 };

struct hf_export {
    const struct checkpoint *from;
    const char *to;   /* a folder that is not there yet, or is empty */
    struct dims dims; /* of the whole model */
    /* For a model that was not imported: tokens that end an answer, the text of the first of them,
     * and the one that fills; -1: none. */
    int end[HF_EXPORT_ENDS], ends, pad;
    char end_text[64];
    uint64_t shard_bytes; /* data of a file, at most, unless one tensor has more */
    bool as_source;       /* each tensor in the type that it was imported in; without: `dtype` */
    enum st_dtype dtype;
};

struct hf_exported {
    size_t tensors;
    uint64_t bytes; /* of their data */
    int files;      /* with tensors */
    bool broken;    /* it failed: disk or checkpoint, and no mistake of the caller's */
};

/* Is the folder that TO is to be made in there? false: a problem. Local. */
bool hf_export_has_room(const char *to, struct problems *p);
/* What the disk refused, as a problem that says what to do. */
void hf_export_say_failure(const struct hf_export *x, const struct failure *f, uint64_t bytes,
                           struct problems *p);

/* Writes TO.partial and gives it its name when all of it is durable: config.json and what else the
 * model was imported with as it was, tokenizer.json, safetensors. Needs a block of one tensor in
 * memory, at most 256 MiB. false: problems, and no folder. Local. */
bool hf_export_run(struct hf_exported *done, const struct hf_export *x, struct problems *p);
/* Whether it could: what hf_export_run would refuse of the model, before it is trained. Of x->from
 * only files and tokenizer count. Local. */
bool hf_export_check(const struct hf_export *x, struct problems *p);

/* Whether it has the config.json that it came with. */
bool hf_was_imported(const struct hf_export *x);
/* Sizes of the model that is written. Families have biases on q, k, v and behind attention or on
 * none of them (but Qwen2): a model born here with some of them gets the others, of zeros. */
struct dims hf_export_dims(const struct hf_export *x);
/* Elements [lo, hi) of a tensor that is written, flattened, from the checkpoint; zeros where only
 * hf_export_dims has it. false: a problem. Local. */
bool hf_export_read(const struct hf_export *x, const struct param *q, size_t lo, size_t hi,
                    float *out, struct problems *p);

/* config.json of a model that was not imported, malloc'ed; NULL and a problem: no architecture that
 * Hugging Face has computes it. In the older spelling, which all programs read. Local. */
char *hf_config_text(const struct hf_export *x, struct problems *p);
/* config.json as it was imported, with another type of tensors; malloc'ed. */
char *hf_config_with_dtype(const char *json, size_t n, enum st_dtype dtype);
/* What such a model needs beside: generation_config.json, tokenizer_config.json; malloc'ed. */
char *hf_generation_text(const struct hf_export *x);
char *hf_tokenizer_config_text(const struct hf_export *x);

#endif
