#include "trainer/data/heldout.h"
#include <stdlib.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"

enum { MOST_DRAWS = 1 << 24, PATIENCE = 1000, PATIENCE_EACH = 16 };

/* Where the hash stands, or the free slot that it would take. */
static uint64_t *slot_of(const struct hashes *h, uint64_t hash)
{
    size_t i = (size_t)hash & (h->room - 1);
    while (h->slot[i] != 0 && h->slot[i] != hash) i = (i + 1) & (h->room - 1);
    return &h->slot[i];
}

static void hashes_grow(struct hashes *h)
{
    struct hashes wider = {.n = h->n, .room = h->room ? 2 * h->room : 64};
    wider.slot = memory_take(wider.room, sizeof *wider.slot, "hashes of problems");
    for (size_t i = 0; i < h->room; i++)
        if (h->slot[i]) *slot_of(&wider, h->slot[i]) = h->slot[i];
    free(h->slot);
    *h = wider;
}

bool hashes_add(struct hashes *h, uint64_t hash)
{
    if (hash == 0) hash = 1; /* 0 marks a free slot */
    if (2 * (h->n + 1) > h->room) hashes_grow(h);
    uint64_t *slot = slot_of(h, hash);
    bool new = *slot == 0;
    *slot = hash;
    h->n += new;
    return new;
}

void hashes_free(struct hashes *h)
{
    free(h->slot);
    *h = (struct hashes){0};
}

static void keep(struct heldout *h, uint32_t draw)
{
    if (h->n == h->room) {
        h->room = h->room ? 2 * h->room : 256;
        h->draw = realloc(h->draw, (size_t)h->room * sizeof *h->draw);
        SYS_OK(h->draw, "give the job more memory", "no memory for %d problems", h->room);
    }
    h->draw[h->n++] = draw;
}

/* A generator may have fewer problems than are wanted: it counts as exhausted after PATIENCE draws
 * without a new one. */
int heldout_find(struct heldout *h, const struct task *t, const struct task_options *o, int want)
{
    uint32_t since = 0; /* draws that brought nothing new */
    while (h->n < want && !h->all) {
        struct problem p;
        t->make(&p, o, SPLIT_HELDOUT, h->drawn);
        bool new = hashes_add(&h->met, problem_hash(p.prompt));
        since = new ? 0 : since + 1;
        if (new) keep(h, h->drawn);
        h->all = ++h->drawn >= MOST_DRAWS || since >= PATIENCE + PATIENCE_EACH * (uint32_t)h->n;
    }
    return h->n < want ? h->n : want;
}

void heldout_free(struct heldout *h)
{
    free(h->draw);
    hashes_free(&h->met);
    *h = (struct heldout){0};
}
