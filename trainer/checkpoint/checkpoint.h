/* HDF5 shards and a manifest: nothing lost (promise P9), any layout reads any checkpoint.
 *
 *   checkpoints/step-NNNNNNNN/shard-RRRR-of-NNNN.h5   one file a rank: slices of tensors by global
 *                                                     name
 *                             manifest.json           committed last, by rename: shards with size
 *                                                     and XXH64, tensors
 *                                                     with their slices, state, recipe, tokenizer
 *   checkpoints/latest                                name of the newest committed one
 *
 * Save: each rank copies its slices to a buffer, a background thread writes name.tmp, closes,
 * fsyncs, renames; when all ranks are durable rank 0 commits the manifest, then `latest`. All
 * floats are stored as float32. */
#ifndef DUET_TRAINER_CHECKPOINT_CHECKPOINT_H
#define DUET_TRAINER_CHECKPOINT_CHECKPOINT_H

#include <jansson.h>
#include "comm/world.h"
#include "model/params.h"
#include "trainer/checkpoint/attachments.h"

struct device;
/* Where elements of the flattened tensor `name`, of n elements in all, are kept. */
struct slice {
    char
        name[64]; /* "model/layers.0.wqkv", "adam_m/...", "adam_v/...", "ref/...", "residual/..." */
    size_t n;
    struct range at;             /* a run, or equal runs at equal distances: columns of a matrix */
    float *data;                 /* range_count(&at) floats, the caller's */
    const struct device *device; /* where data lies; NULL: the host. Only what is saved may lie
                                    elsewhere */
    int shape[PARAM_DIMS]; /* of the whole tensor, rows first, 0 behind the last; all 0: not said */
    bool optional;         /* a checkpoint may lack it: its recipe kept no such thing */
};

struct checkpoint_writer;
/* Collective. folder: <run>/checkpoints. Allocates the snapshot buffer (bytes = all slices'). */
struct checkpoint_writer *checkpoint_writer_new(const struct world *w, const char *folder,
                                                const struct slice *slices, int n, int keep,
                                                bool async);
/* Collective, all ranks with the same step and (on rank 0) state; state is a JSON object
 * (borrowed). recipe, tokenizer: texts stored beside. Waits for a save still under way, copies the
 * slices, returns; with async false returns when committed. keep_forever: not counted against
 * `keep` (end of a phase). Returns seconds stalled. */
double checkpoint_save(struct checkpoint_writer *c, long step, const json_t *state,
                       const char *recipe, const char *tokenizer, bool keep_forever);
/* Collective, once a step: commits when every rank's shard is durable. A failed write (disk full)
 * ends the job with what and why; what was committed before stays. */
void checkpoint_poll(struct checkpoint_writer *c);
/* Collective: waits until what is under way is committed. */
void checkpoint_drain(struct checkpoint_writer *c);
/* Local: seconds from the call to the commit of the save that was committed last; 0 when none was
 * since this was asked last. */
double checkpoint_took(struct checkpoint_writer *c);
/* Collective: waits until what is under way is committed, ends the thread. */
void checkpoint_writer_free(struct checkpoint_writer *c);

/* Files that every save from now on writes beside the shards; on rank 0, the others may have none.
 * Borrowed until the writer is freed. Local. */
void checkpoint_writer_attach(struct checkpoint_writer *c, const struct attachments *files);

struct checkpoint {
    char folder[1024];
    long step;
    json_t *state; /* owned */
    char *recipe, *tokenizer;
    struct attachments files;
    struct manifest *manifest;
};
/* Local. path: a checkpoint folder, a run folder, or a run's checkpoints folder (then the newest
 * committed). Verifies the manifest, every shard's presence, size and checksum (each rank a part,
 * or all when world is NULL). Damage is added to p: file, place, what, what to do; with a run
 * folder the newest undamaged one is taken and the damaged one named in a warning. Collective when
 * world is given. */
bool checkpoint_open(struct checkpoint *c, const char *path, const struct world *world,
                     struct problems *p);
/* What a caller demands of the state beside: false and problems, which count as damage. ctx is NULL
 * on all ranks but the first. */
struct checkpoint_check {
    bool (*state)(const struct checkpoint *c, void *ctx, struct problems *p);
    void *ctx;
};
/* As checkpoint_open; a checkpoint whose state does not pass is damaged. */
bool checkpoint_open_if(struct checkpoint *c, const char *path, const struct world *world,
                        struct checkpoint_check check, struct problems *p);
/* Local: is there a committed checkpoint at path (damaged or not)? For "resume if there is
 * something to resume from". */
bool checkpoint_any(const char *path);
/* Fills slices by name and range, whatever the layout was that wrote it. Missing tensor or range,
 * wrong length: a problem. Local. */
bool checkpoint_read(const struct checkpoint *c, const struct slice *slices, int n,
                     struct problems *p);
/* Collective over the world of checkpoint_open, between it and checkpoint_read: each rank says all
 * that it will read, and learns where it lies. Without it rank 0 alone can read. */
void checkpoint_locate(struct checkpoint *c, const struct world *w, const struct slice *slices,
                       int n);
bool checkpoint_has(const struct checkpoint *c, const char *tensor);
void checkpoint_close(struct checkpoint *c);
/* Prints tensors, shards, state, and the result of a full verification. Exit code. */
int checkpoint_inspect(const char *path, struct checkpoint_check check);

#endif
