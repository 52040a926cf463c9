/* The cache against a shadow of it: what every sequence should read at each of its positions. */
#include <stdlib.h>
#include <string.h>

#include "comm/base/rng.h"
#include "model/cache.h"
#include "tests/support/check_unit.h"

enum { LAYERS = 2, SLOTS = 9, BLOCKS = 21, MAX_POSITIONS = 70, POSITION_BYTES = 4 };

static size_t block_bytes(const struct dims *d)
{
    (void)d;
    return (size_t)KV_BLOCK * POSITION_BYTES;
}

static void copy_rows(void *y, size_t y_step, const void *x, size_t x_step, int T, size_t bytes)
{
    for (int t = 0; t < T; t++)
        memcpy((char *)y + (size_t)t * y_step, (const char *)x + (size_t)t * x_step, bytes);
}

static const struct ops OPS = {.kv_block_bytes = block_bytes, .copy_rows = copy_rows};
static struct arena arena;
static struct cache cache;
static uint32_t shadow[SLOTS][MAX_POSITIONS], stamp;

static void setup(void)
{
    struct dims d = {0};
    for (int round = 0; round < 2; round++) {
        cache_place(&cache, &d, &OPS, (struct chunk_span){.count = LAYERS}, SLOTS, BLOCKS,
                    MAX_POSITIONS, &arena);
        if (round == 0) arena_back(&arena, &device_host, arena.used);
    }
    ck_assert_uint_eq(arena.used, arena.size);
}

static void teardown(void)
{
    arena_free(&arena);
}

static unsigned char *place_of(int layer, int slot, int pos)
{
    int block = cache_table(&cache, slot)[pos / KV_BLOCK];
    if (block < 0 || block >= BLOCKS) ck_abort_msg("slot %d has no block at %d", slot, pos);
    size_t at =
        (size_t)block * cache.layer[layer].block_bytes + (size_t)(pos % KV_BLOCK) * POSITION_BYTES;
    return cache.layer[layer].pool + at;
}

static void write_position(int slot, int pos)
{
    shadow[slot][pos] = ++stamp;
    for (int layer = 0; layer < LAYERS; layer++) {
        uint32_t value = stamp * LAYERS + (uint32_t)layer;
        memcpy(place_of(layer, slot, pos), &value, sizeof value);
    }
}

/* Counted, then asserted once: Check's assertions are slow, and the random test makes millions. */
static void check_contents(void)
{
    int wrong = 0;
    for (int slot = 0; slot < SLOTS; slot++)
        for (int pos = 0; pos < cache.length[slot]; pos++)
            for (int layer = 0; layer < LAYERS; layer++) {
                uint32_t value;
                memcpy(&value, place_of(layer, slot, pos), sizeof value);
                wrong += value != shadow[slot][pos] * LAYERS + (uint32_t)layer;
            }
    ck_assert_int_eq(wrong, 0);
}

/* References are as many as the tables hold; a block is free just when it has none; none is free
 * twice. */
static void check_references(void)
{
    int refs[BLOCKS] = {0}, is_free[BLOCKS] = {0}, wrong = 0;
    for (int slot = 0; slot < SLOTS; slot++) {
        int used = (cache.length[slot] + KV_BLOCK - 1) / KV_BLOCK;
        for (int i = 0; i < cache.max_blocks; i++) {
            int b = cache_table(&cache, slot)[i];
            wrong += (b >= 0) != (i < used) || b >= BLOCKS;
            if (b >= 0 && b < BLOCKS) refs[b]++;
        }
    }
    for (int i = 0; i < cache.n_free; i++) is_free[cache.free_list[i]]++;
    for (int b = 0; b < BLOCKS; b++)
        wrong += cache.refs[b] != refs[b] || is_free[b] != (refs[b] == 0);
    ck_assert_int_eq(wrong, 0);
}

START_TEST(prompt_is_shared_and_its_end_copied)
{
    ck_assert(cache_extend(&cache, 0, 36)); /* 37 positions: two full blocks and 5 */
    for (int pos = 0; pos <= 36; pos++) write_position(0, pos);
    ck_assert_int_eq(cache.n_free, BLOCKS - 3);
    ck_assert(cache_fork(&cache, 1, 0, 37));
    ck_assert(cache_fork(&cache, 2, 0, 37));
    ck_assert_int_eq(cache.n_free, BLOCKS - 5);
    const int *a = cache_table(&cache, 0), *b = cache_table(&cache, 1), *c = cache_table(&cache, 2);
    ck_assert(a[0] == b[0] && a[1] == b[1] && b[0] == c[0] && b[1] == c[1]);
    ck_assert(a[2] != b[2] && b[2] != c[2] && a[2] != c[2]);
    ck_assert_int_eq(cache.refs[a[0]], 3);
    for (int slot = 0; slot < 3; slot++) ck_assert_int_eq(cache_own(&cache, slot), 1);
    cache_release(&cache, 0);
    ck_assert_int_eq(cache.refs[b[0]], 2);
    cache_release(&cache, 1);
    cache_release(&cache, 2);
    ck_assert_int_eq(cache.n_free, BLOCKS);
    check_references();
}
END_TEST

START_TEST(a_full_block_needs_no_copy)
{
    ck_assert(cache_extend(&cache, 0, 2 * KV_BLOCK - 1));
    int before = cache.n_free;
    ck_assert(cache_fork(&cache, 1, 0, 2 * KV_BLOCK));
    ck_assert_int_eq(cache.n_free, before);
    ck_assert(cache_extend(&cache, 1, 2 * KV_BLOCK));
    ck_assert_int_eq(cache.n_free, before - 1);
}
END_TEST

START_TEST(an_empty_pool_changes_nothing)
{
    for (int slot = 0; slot < 4; slot++) ck_assert(cache_extend(&cache, slot, 5 * KV_BLOCK - 1));
    ck_assert_int_eq(cache.n_free, 1);
    ck_assert(!cache_extend(&cache, 4, KV_BLOCK));
    ck_assert_int_eq(cache.length[4], 0);
    ck_assert_int_eq(cache.n_free, 1);
    ck_assert(cache_extend(&cache, 4, KV_BLOCK - 1));
    ck_assert(!cache_fork(&cache, 5, 0, 17));
    ck_assert_int_eq(cache.length[5], 0);
    check_references();
    ck_assert(cache_fork(&cache, 5, 0, 16));
    check_references();
}
END_TEST

static void random_extend(struct rng_stream *r, int slot)
{
    int from = cache.length[slot], before = cache.n_free;
    int to = from + (int)rng_next_below(r, 20);
    if (to >= MAX_POSITIONS) to = MAX_POSITIONS - 1;
    if (cache_extend(&cache, slot, to)) {
        for (int pos = from; pos <= to; pos++) write_position(slot, pos);
    } else {
        ck_assert_int_eq(cache.length[slot], from);
        ck_assert_int_eq(cache.n_free, before);
        ck_assert_int_lt(before, to / KV_BLOCK + 1 - (from + KV_BLOCK - 1) / KV_BLOCK);
    }
}

static void random_fork(struct rng_stream *r, int slot, int from)
{
    int positions = (int)rng_next_below(r, (uint32_t)cache.length[from] + 1);
    int before = cache.n_free;
    if (cache_fork(&cache, slot, from, positions)) {
        memcpy(shadow[slot], shadow[from], sizeof shadow[slot]);
        ck_assert_int_eq(before - cache.n_free, positions % KV_BLOCK != 0);
    } else {
        ck_assert_int_eq(before, 0);
    }
}

START_TEST(random_use_never_leaks_or_mixes)
{
    struct rng_stream r = {.seed = 5, .at = {.purpose = RNG_TEST}};
    int refused = 0;
    for (int i = 0; i < 20000; i++) {
        int slot = (int)rng_next_below(&r, SLOTS), other = (int)rng_next_below(&r, SLOTS);
        uint32_t what = rng_next_below(&r, 10);
        refused += cache.n_free == 0;
        if (what < 5)
            random_extend(&r, slot);
        else if (what < 8 && cache.length[slot] == 0)
            random_fork(&r, slot, other);
        else if (what >= 8)
            cache_release(&cache, slot);
        check_references();
        if (i % 16 == 0) check_contents();
    }
    check_contents();
    ck_assert_int_gt(refused, 100); /* the pool did run dry */
    for (int slot = 0; slot < SLOTS; slot++) cache_release(&cache, slot);
    ck_assert_int_eq(cache.n_free, BLOCKS);
}
END_TEST

/* Two ranks that make the same calls hand out the same blocks. */
START_TEST(same_calls_same_tables)
{
    int first[SLOTS * 5];
    for (int round = 0; round < 2; round++) {
        struct rng_stream r = {.seed = 8, .at = {.purpose = RNG_TEST}};
        for (int i = 0; i < 200; i++) {
            int slot = (int)rng_next_below(&r, SLOTS);
            if (rng_next_below(&r, 4) == 0)
                cache_release(&cache, slot);
            else
                random_extend(&r, slot);
        }
        ck_assert_int_eq(cache.max_blocks, 5);
        if (round == 0) {
            memcpy(first, cache.table, sizeof first);
            teardown();
            arena = (struct arena){0};
            setup();
        }
    }
    ck_assert_mem_eq(first, cache.table, sizeof first);
}
END_TEST

#define TESTS(X)                           \
    X(prompt_is_shared_and_its_end_copied) \
    X(a_full_block_needs_no_copy)          \
    X(an_empty_pool_changes_nothing)       \
    X(random_use_never_leaks_or_mixes)     \
    X(same_calls_same_tables)

UNIT_MAIN("cache", .setup = setup, .teardown = teardown)
