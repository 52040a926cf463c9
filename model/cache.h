/* The KV cache of one chunk: blocks of KV_BLOCK positions in one pool a layer, handed out to
 * sequences by a free list; the prompt's full blocks are shared by the answers of a group
 * (reference counts), its last, partly filled block is copied (the positions after it differ).
 *
 * Every rank of a pipeline makes the same calls in the same order for a direction, so the tables
 * agree without messages. Keys and values lie in the memory of a's device, and what names blocks in
 * the host's, with a copy there. Nothing is allocated after cache_place. Local. */
#ifndef DUET_MODEL_CACHE_H
#define DUET_MODEL_CACHE_H

#include "model/ops.h"
#include "model/params.h"

struct cache {
    const struct ops *ops;
    int layers, blocks, slots, max_blocks; /* max_blocks: per sequence */
    struct kv_layer *layer;                /* [layers] */
    const struct device *device;
    int *table;  /* (slots, max_blocks) block of each sequence; -1 */
    int *there;  /* the same as rows of operations find it, in the device's memory */
    int *length; /* (slots) positions reserved */
    int *refs;   /* (blocks) */
    int *free_list;
    int n_free;
};

/* For the layers of span; d: this rank's share. slots sequences of up to max_positions; blocks in
 * the pool. */
void cache_place(struct cache *c, const struct dims *d, const struct ops *ops,
                 struct chunk_span span, int slots, int blocks, int max_positions, struct arena *a);
/* Makes room in slot for positions up to and including pos; false when the pool is empty (nothing
 * changed). */
bool cache_extend(struct cache *c, int slot, int pos);
/* slot becomes a continuation of `from`'s first `positions` positions: full blocks shared, the
 * partial one copied. Needs at most one free block; false when there is none. slot must be empty.
 */
bool cache_fork(struct cache *c, int slot, int from, int positions);
/* Empties the slot; blocks no longer referenced are free again. */
void cache_release(struct cache *c, int slot);
/* The blocks of a slot, in the memory of the device: for struct kv_rows. */
const int *cache_table(const struct cache *c, int slot);
/* Blocks that this slot alone holds: what its release would set free. */
int cache_own(const struct cache *c, int slot);
static inline int cache_blocks(int positions)
{
    return (positions + KV_BLOCK - 1) / KV_BLOCK;
}

#endif
