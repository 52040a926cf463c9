/* Blocks handed out to sequences: a free list, reference counts, and a copy where two answers part.
 */
#include "model/cache.h"

#include "comm/base/die.h"
#include "model/part.h"

static void cache_clear(struct cache *c)
{
    for (int i = 0; i < c->slots * c->max_blocks; i++) c->table[i] = -1;
    c->n_free = c->blocks;
    for (int i = 0; i < c->blocks; i++) c->free_list[i] = c->blocks - 1 - i; /* block 0 first */
}

/* One pool of blocks per layer, all with the same block numbers: a slot needs only one table. */
void cache_place(struct cache *c, const struct dims *d, const struct ops *ops,
                 struct chunk_span span, int slots, int blocks, int max_positions, struct arena *a)
{
    *c = (struct cache){.ops = ops,
                        .device = a->device,
                        .layers = span.count,
                        .blocks = blocks,
                        .slots = slots,
                        .max_blocks = cache_blocks(max_positions)};
    size_t n_slots = (size_t)slots, n_blocks = (size_t)blocks;
    struct arena *host = arena_host(a);
    c->layer = arena_take_n(host, (size_t)span.count, sizeof *c->layer);
    c->table = arena_take_n(host, n_slots * (size_t)c->max_blocks, sizeof *c->table);
    c->length = arena_take_n(host, n_slots, sizeof *c->length);
    c->refs = arena_take_n(host, n_blocks, sizeof *c->refs);
    c->free_list = arena_take_n(host, n_blocks, sizeof *c->free_list);
    c->there = c->table;
    if (host != a) c->there = arena_take_n(a, n_slots * (size_t)c->max_blocks, sizeof *c->there);
    for (int l = 0; l < span.count; l++) {
        size_t bytes = layer_cache_bytes(ops, d, span.first + l);
        unsigned char *pool = arena_take_n(a, n_blocks, bytes);
        if (c->layer) c->layer[l] = (struct kv_layer){pool, bytes};
    }
    if (a->base) cache_clear(c);
}

static int *cache_row(const struct cache *c, int slot)
{
    INVARIANT(slot >= 0 && slot < c->slots, "slot %d of %d", slot, c->slots);
    return c->table + (size_t)slot * (size_t)c->max_blocks;
}

const int *cache_table(const struct cache *c, int slot)
{
    return c->there + (cache_row(c, slot) - c->table);
}

/* Blocks [from, to) of a slot are others now. */
static void table_changed(const struct cache *c, const int *row, int from, int to)
{
    if (c->there == c->table || from >= to) return;
    c->device->copy_in(c->there + (row - c->table) + from, row + from,
                       (size_t)(to - from) * sizeof *row);
}

int cache_own(const struct cache *c, int slot)
{
    const int *row = cache_row(c, slot);
    int n = 0;
    for (int i = 0; i < cache_blocks(c->length[slot]); i++) n += c->refs[row[i]] == 1;
    return n;
}

static int block_take(struct cache *c)
{
    int b = c->free_list[--c->n_free];
    INVARIANT(c->refs[b] == 0, "free block %d has %d references", b, c->refs[b]);
    c->refs[b] = 1;
    return b;
}

bool cache_extend(struct cache *c, int slot, int pos)
{
    int *row = cache_row(c, slot);
    int have = cache_blocks(c->length[slot]), want = cache_blocks(pos + 1);
    INVARIANT(want <= c->max_blocks, "position %d of %d", pos, c->max_blocks * KV_BLOCK);
    if (want - have > c->n_free) return false;
    for (int i = have; i < want; i++) row[i] = block_take(c);
    table_changed(c, row, have, want);
    if (pos + 1 > c->length[slot]) c->length[slot] = pos + 1;
    return true;
}

static void block_copy(struct cache *c, int to, int from)
{
    for (int l = 0; l < c->layers; l++) {
        const struct kv_layer *kv = &c->layer[l];
        size_t n = kv->block_bytes;
        c->ops->copy_rows(kv->pool + (size_t)to * n, n, kv->pool + (size_t)from * n, n, 1, n);
    }
}

/* Full blocks are shared and counted; the last, partly filled one is copied, since both sequences
 * go on writing to it. */
bool cache_fork(struct cache *c, int slot, int from, int positions)
{
    int *row = cache_row(c, slot);
    const int *source = cache_row(c, from);
    int full = positions / KV_BLOCK;
    bool partial = positions % KV_BLOCK != 0;
    INVARIANT(c->length[slot] == 0, "slot %d still holds %d positions", slot, c->length[slot]);
    INVARIANT(positions <= c->length[from], "%d of %d positions", positions, c->length[from]);
    if (partial && c->n_free == 0) return false;
    for (int i = 0; i < full; i++) {
        row[i] = source[i];
        c->refs[row[i]]++;
    }
    if (partial) {
        row[full] = block_take(c);
        block_copy(c, row[full], source[full]);
    }
    table_changed(c, row, 0, cache_blocks(positions));
    c->length[slot] = positions;
    return true;
}

void cache_release(struct cache *c, int slot)
{
    int *row = cache_row(c, slot);
    for (int i = cache_blocks(c->length[slot]) - 1; i >= 0; i--) {
        int b = row[i];
        INVARIANT(c->refs[b] > 0, "block %d of slot %d is free already", b, slot);
        if (--c->refs[b] == 0) c->free_list[c->n_free++] = b;
        row[i] = -1;
    }
    c->length[slot] = 0;
}
