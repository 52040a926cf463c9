/* One rank reads a checkpoint's manifest, the others are told: first all of it but the slices, then
 * of the slices those that a rank will read. Of a job of 16,384 ranks a manifest has 130 MB, of
 * which a rank needs a few hundred slices.
 *
 * Slices travel packed, tensor after tensor, in blocks of which every rank keeps what it wants:
 * five bytes for one that lies behind the one before and is as long, as slices of replicas do. */
#ifndef DUET_TRAINER_CHECKPOINT_SPREAD_H
#define DUET_TRAINER_CHECKPOINT_SPREAD_H

#include "trainer/checkpoint/manifest.h"

/* Collective: what rank 0 has loaded to the others, which get no slices. */
void spread_checkpoint(struct checkpoint *c, const struct world *w);
/* Collective: the slices of tensors that hold something of what is wanted (n, each rank its own),
 * in the order of the manifest. Rank 0 keeps all it has. */
void spread_slices(struct manifest *m, const struct world *w, const struct slice *wanted, int n);

/* --- its parts, local --- */

struct packed {
    unsigned char *at; /* malloc'd */
    size_t n, room;
};
/* Behind what is there: the number of a tensor and its slices. */
void spread_pack(struct packed *p, const struct manifest *m, size_t tensor);

struct spread_wanted;
/* What one rank keeps: blocks are taken in order, m has the slices at the end. */
struct spread_keep {
    struct manifest *m;
    struct spread_wanted *wanted; /* (n) by tensor */
    size_t n, next;
    struct manifest_slice *pool;
    size_t kept, room;
};
void spread_begin(struct spread_keep *k, struct manifest *m, const struct slice *wanted, int n);
void spread_take(struct spread_keep *k, const unsigned char *block, size_t bytes);
void spread_end(struct spread_keep *k);

#endif
