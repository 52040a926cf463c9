/* One rank's file: its slices as float32 datasets "group/tensor" with attributes lo, hi, n; a
 * second slice of the same tensor is "group/tensor@lo". Plain serial HDF5, so that h5py, h5dump and
 * others can look inside. */
#ifndef DUET_TRAINER_CHECKPOINT_SHARD_H
#define DUET_TRAINER_CHECKPOINT_SHARD_H

#include <stdatomic.h>
#include "trainer/checkpoint/manifest.h"

/* Shared with the thread that writes. */
struct shard_progress {
    atomic_long moved; /* grows while it makes progress */
    atomic_bool stop;  /* asks it to give up */
};

/* Writes, syncs, renames; sum is of the file as it can be read back. On failure the .tmp is
 * removed. Local. */
bool shard_write(struct file_sum *sum, const char *folder, const char *name,
                 const struct slice *slices, int n, struct shard_progress *progress,
                 struct failure *f);
/* Is shard i in folder, of the size and checksum that the manifest says? Local. */
bool shard_check(const struct manifest *m, const char *folder, int i, struct problems *p);

/* What is read of a shard: a slice that it holds, and what it has of is wanted. */
struct shard_part {
    const struct manifest_tensor *tensor;
    const struct manifest_slice *from;
    const struct slice *to;
};
/* Copies n parts from the shard called name, one after the other. Local. */
bool shard_read(const char *folder, const char *name, const struct shard_part *part, size_t n,
                struct failure *f);

#endif
