#include "trainer/checkpoint/spread.h"

#include <stdlib.h>
#include <string.h>

#include "comm/base/memory.h"
#include "comm/coll.h"
#include "trainer/checkpoint/range.h"

static const char USE[] = "a checkpoint";

/* --- all but the slices --- */

/* A text, or bytes with a 0 behind them, where rank 0 has one. */
static void spread_bytes(char **bytes, size_t *n, const struct world *w)
{
    size_t all = *bytes ? *n + 1 : 0;
    coll_bcast(&all, sizeof all, 0, w->comm);
    if (all == 0) return;
    if (w->rank != 0) *bytes = memory_take(all, 1, USE);
    *n = all - 1;
    coll_bcast(*bytes, all, 0, w->comm);
}

static void spread_text(char **text, const struct world *w)
{
    size_t n = *text ? strlen(*text) : 0;
    spread_bytes(text, &n, w);
}

/* Arrays of the manifest; the others' have no slices. */
static void spread_arrays(struct manifest *m, const struct world *w)
{
    const size_t shards = (size_t)m->shards;
    if (w->rank != 0) {
        m->shard = memory_take(shards, sizeof *m->shard, USE);
        m->tensor = memory_take(m->tensors + 1, sizeof *m->tensor, USE);
        m->pool = NULL;
    }
    coll_bcast(m->shard, shards * sizeof *m->shard, 0, w->comm);
    coll_bcast(m->tensor, m->tensors * sizeof *m->tensor, 0, w->comm);
    for (size_t i = 0; w->rank != 0 && i < m->tensors; i++) {
        m->tensor[i].slice = NULL;
        m->tensor[i].slices = 0;
    }
}

/* As text, which JSON has for every state. */
static void spread_state(struct checkpoint *c, const struct world *w)
{
    char *text = w->rank == 0 ? json_dumps(c->state, JSON_SORT_KEYS) : NULL;
    SYS_OK(w->rank != 0 || text, NULL, "no memory for the state of a checkpoint");
    spread_text(&text, w);
    if (w->rank != 0) {
        c->state = json_loads(text, 0, NULL);
        INVARIANT(c->state, "a state that cannot be read: %.200s", text);
        c->manifest->state = json_incref(c->state);
    }
    free(text);
}

/* All that a checkpoint has but its slices, which follow by what each rank wants (spread_slices).
 */
void spread_checkpoint(struct checkpoint *c, const struct world *w)
{
    struct manifest *m = w->rank == 0 ? c->manifest : memory_take(1, sizeof *m, USE);
    coll_bcast(m, sizeof *m, 0, w->comm); /* of its pointers nothing is used */
    coll_bcast(c->folder, sizeof c->folder, 0, w->comm);
    c->manifest = m;
    c->step = m->step;
    spread_arrays(m, w);
    spread_state(c, w);
    spread_text(&c->recipe, w);
    spread_text(&c->tokenizer, w);
    for (int i = 0; i < m->files; i++) {
        struct attachment *f = &c->files.at[i], got = *f;
        spread_bytes(&got.bytes, &got.n, w);
        if (w->rank != 0) attachments_add(&c->files, m->file[i].name, got.bytes, got.n);
    }
}

/* --- packing --- */

enum { MOST_NUMBER = 10, NUMBERS = 5 }; /* bytes of a number; numbers of a slice */

/* 7 bits a byte, the lowest first; the last has no bit above them. */
static void put_number(struct packed *p, uint64_t x)
{
    for (; x >= 128; x >>= 7) p->at[p->n++] = (unsigned char)(x | 128);
    p->at[p->n++] = (unsigned char)x;
}

static uint64_t get_number(const unsigned char **at)
{
    uint64_t x = 0;
    int bits = 0;
    for (; **at & 128; bits += 7) x |= (uint64_t)(*(*at)++ & 127) << bits;
    return x | (uint64_t) * (*at)++ << bits;
}

/* How much more x is than before: small either way. */
static void put_more(struct packed *p, size_t x, size_t before)
{
    const uint64_t more = x - before;
    put_number(p, more >> 63 ? ~(more << 1) : more << 1);
}

static size_t get_more(const unsigned char **at, size_t before)
{
    const uint64_t x = get_number(at);
    return before + (x & 1 ? ~(x >> 1) : x >> 1);
}

static void put_slice(struct packed *p, const struct manifest_slice *s,
                      const struct manifest_slice *before)
{
    put_number(p, (uint64_t)(s->shard - before->shard));
    put_more(p, s->at.lo, before->at.hi);
    put_more(p, s->at.hi - s->at.lo, before->at.hi - before->at.lo);
    put_more(p, s->at.run, before->at.run);
    put_more(p, s->at.stride, before->at.stride);
}

/* The first is told from none, which has shard 0 and no elements: it is never `again`. */
static struct manifest_slice get_slice(const unsigned char **at,
                                       const struct manifest_slice *before)
{
    struct manifest_slice s = {.shard = before->shard + (int)get_number(at)};
    s.again = before->at.hi > 0 && s.shard == before->shard;
    s.at.lo = get_more(at, before->at.hi);
    s.at.hi = s.at.lo + get_more(at, before->at.hi - before->at.lo);
    s.at.run = get_more(at, before->at.run);
    s.at.stride = get_more(at, before->at.stride);
    return s;
}

/* Numbers of a slice stand as differences to the slice before: most are small, or zero. */
void spread_pack(struct packed *p, const struct manifest *m, size_t tensor)
{
    const struct manifest_tensor *t = &m->tensor[tensor];
    const struct manifest_slice none = {0}, *before = &none;
    const size_t most = p->n + (2 + NUMBERS * t->slices) * MOST_NUMBER;
    if (!p->at || p->room < most) {
        unsigned char *more = realloc(p->at, most);
        SYS_OK(more, NULL, "no memory for %zu slices", t->slices);
        p->at = more;
        p->room = most;
    }
    put_number(p, tensor);
    put_number(p, t->slices);
    for (size_t i = 0; i < t->slices; before = &t->slice[i++]) put_slice(p, &t->slice[i], before);
}

/* --- keeping --- */

struct spread_wanted {
    size_t tensor; /* its number; as many as there are: the manifest has no such */
    const struct slice *slice;
};

static int wanted_order(const void *a, const void *b)
{
    const struct spread_wanted *x = a, *y = b;
    return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

void spread_begin(struct spread_keep *k, struct manifest *m, const struct slice *wanted, int n)
{
    *k = (struct spread_keep){.m = m, .n = (size_t)n};
    k->wanted = memory_take(k->n, sizeof *k->wanted, USE);
    for (size_t i = 0; i < m->tensors; i++) m->tensor[i].slices = 0;
    for (size_t i = 0; i < k->n; i++) {
        const struct manifest_tensor *t = manifest_find(m, wanted[i].name);
        const bool fits = t && range_valid(&wanted[i].at, t->n);
        k->wanted[i] =
            (struct spread_wanted){fits ? (size_t)(t - m->tensor) : m->tensors, &wanted[i]};
    }
    qsort(k->wanted, k->n, sizeof *k->wanted, wanted_order);
}

static bool is_wanted(const struct spread_keep *k, size_t tensor, const struct range *at)
{
    for (size_t i = k->next; i < k->n && k->wanted[i].tensor == tensor; i++)
        if (range_meets(at, &k->wanted[i].slice->at)) return true;
    return false;
}

static void keep_slice(struct spread_keep *k, size_t tensor, const struct manifest_slice *s)
{
    if (k->kept == k->room) {
        k->room = 2 * k->room + 64;
        struct manifest_slice *more = realloc(k->pool, k->room * sizeof *more);
        SYS_OK(more, NULL, "no memory for %zu slices", k->room);
        k->pool = more;
    }
    k->pool[k->kept++] = *s;
    k->m->tensor[tensor].slices++;
}

void spread_take(struct spread_keep *k, const unsigned char *block, size_t bytes)
{
    const unsigned char *at = block;
    while (at < block + bytes) {
        const size_t tensor = get_number(&at), slices = get_number(&at);
        while (k->next < k->n && k->wanted[k->next].tensor < tensor) k->next++;
        struct manifest_slice s = {0};
        for (size_t i = 0; i < slices; i++) {
            s = get_slice(&at, &s);
            if (is_wanted(k, tensor, &s.at)) keep_slice(k, tensor, &s);
        }
    }
}

void spread_end(struct spread_keep *k)
{
    struct manifest_slice *next = k->pool;
    for (size_t i = 0; i < k->m->tensors; next += k->m->tensor[i++].slices)
        k->m->tensor[i].slice = next;
    free(k->m->pool);
    k->m->pool = k->pool;
    free(k->wanted);
}

/* --- telling --- */

enum { BLOCK = 1 << 20 }; /* bytes, but for a tensor that has more */

/* No bytes: there are no more. */
static void next_block(struct packed *p, const struct manifest *m, size_t *tensor)
{
    p->n = 0;
    while (*tensor < m->tensors && p->n < BLOCK) spread_pack(p, m, (*tensor)++);
}

/* In blocks: no rank but the first holds the whole manifest, and each drops what it does not want.
 */
void spread_slices(struct manifest *m, const struct world *w, const struct slice *wanted, int n)
{
    struct packed p = {0};
    struct spread_keep k;
    size_t tensor = 0;
    if (w->rank != 0) spread_begin(&k, m, wanted, n);
    for (;;) {
        if (w->rank == 0) next_block(&p, m, &tensor);
        coll_bcast(&p.n, sizeof p.n, 0, w->comm);
        if (p.n == 0) break;
        if (p.n > p.room) {
            free(p.at);
            p.at = memory_take(p.n, 1, USE);
            p.room = p.n;
        }
        coll_bcast(p.at, p.n, 0, w->comm);
        if (w->rank != 0) spread_take(&k, p.at, p.n);
    }
    if (w->rank != 0) spread_end(&k);
    free(p.at);
}
