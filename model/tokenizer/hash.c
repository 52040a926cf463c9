#include "model/tokenizer/hash.h"

#include <stdlib.h>
#include "comm/base/memory.h"

/* At least twice as many places as entries. */
static size_t places(size_t most)
{
    size_t n = 16;
    while (n < 2 * most) n *= 2;
    return n;
}

void text_table_new(struct text_table *t, size_t most)
{
    size_t n = places(most);
    t->entry = memory_take(n, sizeof *t->entry, "a tokenizer");
    t->mask = n - 1;
    t->seed = hash_mix((uintptr_t)t->entry, (uintptr_t)t);
}

static struct text_entry *text_place(const struct text_table *t, const char *text, size_t n)
{
    for (size_t at = hash_text(text, n, t->seed) & t->mask;; at = (at + 1) & t->mask) {
        struct text_entry *e = &t->entry[at];
        if (!e->text || (e->n == n && memcmp(e->text, text, n) == 0)) return e;
    }
}

int text_table_find(const struct text_table *t, const char *text, size_t n)
{
    if (!t->entry) return -1;
    const struct text_entry *e = text_place(t, text, n);
    return e->text ? (int)e->value : -1;
}

bool text_table_add(struct text_table *t, const char *text, size_t n, int value)
{
    struct text_entry *e = text_place(t, text, n);
    if (e->text) return false;
    *e = (struct text_entry){text, (uint32_t)n, (uint32_t)value};
    return true;
}

void text_table_free(struct text_table *t)
{
    free(t->entry);
    *t = (struct text_table){0};
}

void pair_table_new(struct pair_table *t, size_t most)
{
    size_t n = places(most);
    t->entry = memory_take(n, sizeof *t->entry, "a tokenizer");
    for (size_t i = 0; i < n; i++) t->entry[i].key = UINT64_MAX;
    t->mask = n - 1;
    t->seed = hash_mix((uintptr_t)t->entry, (uintptr_t)t);
}

struct pair_entry *pair_table_put(struct pair_table *t, uint32_t a, uint32_t b, bool *is_new)
{
    uint64_t key = (uint64_t)a << 32 | b;
    for (size_t at = hash_mix(key, t->seed) & t->mask;; at = (at + 1) & t->mask) {
        struct pair_entry *e = &t->entry[at];
        *is_new = e->key == UINT64_MAX;
        if (*is_new) *e = (struct pair_entry){key, 0, 0};
        if (e->key == key) return e;
    }
}

void pair_table_free(struct pair_table *t)
{
    free(t->entry);
    *t = (struct pair_table){0};
}
