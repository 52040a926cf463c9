/* Two tables of a tokenizer: texts to numbers, and pairs of numbers to pairs of numbers. Both are
 * open, with linear probing; their seed comes from where they lie, so that a file cannot be made
 * whose entries all meet in one place. What they answer does not depend on the seed. */
#ifndef DUET_MODEL_TOKENIZER_HASH_H
#define DUET_MODEL_TOKENIZER_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 29) ^ b) * 0x94d049bb133111ebu;
    return x ^ (x >> 32);
}

static inline uint64_t hash_load(const char *s, size_t bytes)
{
    uint64_t x = 0;
    memcpy(&x, s, bytes);
    return x;
}

/* Any number of bytes; fast for the few of a word. */
static inline uint64_t hash_text(const char *s, size_t n, uint64_t seed)
{
    uint64_t h = seed ^ n;
    for (; n > 16; s += 8, n -= 8) h = hash_mix(h, hash_load(s, 8));
    if (n >= 8) return hash_mix(hash_mix(h, hash_load(s, 8)), hash_load(s + n - 8, 8));
    if (n >= 4) return hash_mix(h, hash_load(s, 4) << 32 | hash_load(s + n - 4, 4));
    uint64_t few = n ? (unsigned char)s[0] : 0;
    if (n) few |= (uint64_t)(unsigned char)s[n / 2] << 8 | (uint64_t)(unsigned char)s[n - 1] << 16;
    return hash_mix(h, few);
}

struct text_entry {
    const char *text; /* the caller's; NULL: free */
    uint32_t n, value;
};
struct text_table {
    struct text_entry *entry;
    uint64_t seed;
    size_t mask;
};
/* Room for `most` texts. */
void text_table_new(struct text_table *t, size_t most);
/* The value of a text, -1 when it is not there. */
int text_table_find(const struct text_table *t, const char *text, size_t n);
/* Adds a text that is kept where it lies; false, and nothing changed, when it is there already. */
bool text_table_add(struct text_table *t, const char *text, size_t n, int value);
void text_table_free(struct text_table *t);

struct pair_entry {
    uint64_t key; /* all ones: free */
    uint32_t first, second;
};
struct pair_table {
    struct pair_entry *entry;
    uint64_t seed;
    size_t mask;
};
/* Room for `most` pairs. */
void pair_table_new(struct pair_table *t, size_t most);
/* The entry of (a, b), not both 2^32 - 1; made, of zeros, when there is none (then *is_new). */
struct pair_entry *pair_table_put(struct pair_table *t, uint32_t a, uint32_t b, bool *is_new);
void pair_table_free(struct pair_table *t);

static inline const struct pair_entry *pair_table_find(const struct pair_table *t, uint32_t a,
                                                       uint32_t b)
{
    uint64_t key = (uint64_t)a << 32 | b;
    for (size_t at = hash_mix(key, t->seed) & t->mask;; at = (at + 1) & t->mask) {
        const struct pair_entry *e = &t->entry[at];
        if (e->key == key) return e;
        if (e->key == UINT64_MAX) return NULL;
    }
}

#endif
