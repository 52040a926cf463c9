/* Slices come rank after rank, so that no more than one rank's are there as they were sent: 16,384
 * ranks have millions. Names are numbered as they come, by a table of checksums; at the end the
 * slices are laid out tensor by tensor. */
#include "trainer/checkpoint/layout.h"

#include <stdlib.h>
#include <string.h>

#include "comm/base/checksum.h"
#include "comm/base/memory.h"
#include "trainer/checkpoint/gap.h"
#include "trainer/checkpoint/range.h"

enum { LEAST_ROOM = 1 << 10 }; /* tensors */
static const char USE[] = "the layout of a checkpoint";

struct layout_entry {
    size_t tensor;
    int shard;
    struct range at;
};

struct layout {
    int ranks, next;
    size_t most, n;
    struct layout_entry *entry;     /* (most), n of them used */
    struct manifest_tensor *tensor; /* (room) */
    size_t *slot, tensors, room;    /* slot (2 room): number + 1 of a tensor, 0 */
};

struct layout *layout_new(int ranks, size_t most)
{
    struct layout *l = memory_take(1, sizeof *l, USE);
    *l = (struct layout){.ranks = ranks, .most = most, .room = LEAST_ROOM};
    l->entry = memory_take(most + 1, sizeof *l->entry, USE);
    l->tensor = memory_take(l->room, sizeof *l->tensor, USE);
    l->slot = memory_take(2 * l->room, sizeof *l->slot, USE);
    return l;
}

/* --- names --- */

/* What HDF5 takes as a path and JSON as a string, without escapes. */
static void check_name(const char *name)
{
    const size_t n = strnlen(name, sizeof((struct slice *)0)->name);
    INVARIANT(n > 0 && n < sizeof((struct slice *)0)->name, "a tensor's name has %zu characters",
              n);
    INVARIANT(name[0] != '/' && name[n - 1] != '/' && !strstr(name, "//"), "tensor name %s", name);
    for (size_t i = 0; i < n; i++)
        INVARIANT(name[i] > ' ' && name[i] < 127 && !strchr("\"\\@", name[i]), "tensor name %s",
                  name);
}

/* Where a name stands, or would. */
static size_t *slot_of(const struct layout *l, const char *name)
{
    size_t at = checksum(name, strnlen(name, sizeof l->tensor->name), 0) & (2 * l->room - 1);
    while (l->slot[at] && strcmp(l->tensor[l->slot[at] - 1].name, name) != 0)
        at = (at + 1) & (2 * l->room - 1);
    return &l->slot[at];
}

static void more_room(struct layout *l)
{
    struct manifest_tensor *tensor = memory_take(2 * l->room, sizeof *tensor, USE);
    memcpy(tensor, l->tensor, l->tensors * sizeof *tensor);
    free(l->tensor);
    free(l->slot);
    l->tensor = tensor;
    l->room *= 2;
    l->slot = memory_take(2 * l->room, sizeof *l->slot, USE);
    for (size_t i = 0; i < l->tensors; i++) *slot_of(l, tensor[i].name) = i + 1;
}

/* The number of the slice's tensor. */
static size_t number_of(struct layout *l, const struct slice *s)
{
    size_t *slot = slot_of(l, s->name);
    if (*slot) return *slot - 1;
    check_name(s->name);
    if (l->tensors == l->room) {
        more_room(l);
        slot = slot_of(l, s->name);
    }
    struct manifest_tensor *t = &l->tensor[l->tensors++];
    *t = (struct manifest_tensor){.n = s->n};
    memcpy(t->name, s->name, sizeof t->name);
    memcpy(t->shape, s->shape, sizeof t->shape);
    *slot = l->tensors;
    return l->tensors - 1;
}

/* --- slices --- */

/* A slice of nothing is left out: readers would find a part that covers no element. */
void layout_add(struct layout *l, const struct slice *slices, size_t n)
{
    const int shard = l->next++;
    for (size_t i = 0; i < n; i++) {
        const struct slice *s = &slices[i];
        const bool empty = s->at.lo == s->at.hi && s->at.hi <= s->n;
        INVARIANT(empty || range_valid(&s->at, s->n), "%s: slice [%zu, %zu) of %zu", s->name,
                  s->at.lo, s->at.hi, s->n);
        if (empty) continue;
        const size_t number = number_of(l, s);
        struct manifest_tensor *t = &l->tensor[number];
        INVARIANT(t->n == s->n, "%s has %zu elements on one rank, %zu on rank %d", t->name, t->n,
                  s->n, shard);
        INVARIANT(l->n < l->most, "more than %zu slices", l->most);
        l->entry[l->n++] = (struct layout_entry){number, shard, s->at};
        t->slices++;
    }
}

static int place_order(const void *a, const void *b)
{
    const struct manifest_slice *x = a, *y = b;
    if (x->shard != y->shard) return x->shard < y->shard ? -1 : 1;
    return (x->at.lo > y->at.lo) - (x->at.lo < y->at.lo);
}

/* In the order of the file. A hole is found here, before the first save, and not by the run that
 * wants to resume. */
static void finish_tensor(struct manifest_tensor *t)
{
    qsort(t->slice, t->slices, sizeof *t->slice, place_order);
    for (size_t i = 1; i < t->slices; i++) {
        struct manifest_slice *before = &t->slice[i - 1], *s = &t->slice[i];
        s->again = before->shard == s->shard;
        INVARIANT(!s->again || before->at.lo < s->at.lo, "%s: rank %d gives the slice at %zu twice",
                  t->name, s->shard, s->at.lo);
    }
    uint64_t *scratch = memory_take(gap_scratch(t->slices), sizeof *scratch, USE);
    const size_t gap = gap_find(t, scratch);
    INVARIANT(gap == t->n, "no rank saves element %zu of %zu of %s", gap, t->n, t->name);
    free(scratch);
}

/* Each tensor's slices behind those of the one before: the manifest's pool. */
static struct manifest_slice *lay_out(struct layout *l)
{
    struct manifest_slice *pool = memory_take(l->n + 1, sizeof *pool, USE), *next = pool;
    for (size_t i = 0; i < l->tensors; i++) {
        l->tensor[i].slice = next;
        next += l->tensor[i].slices;
        l->tensor[i].slices = 0;
    }
    for (size_t i = 0; i < l->n; i++) {
        struct manifest_tensor *t = &l->tensor[l->entry[i].tensor];
        t->slice[t->slices++] =
            (struct manifest_slice){.shard = l->entry[i].shard, .at = l->entry[i].at};
    }
    return pool;
}

static int tensor_order(const void *a, const void *b)
{
    const struct manifest_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

void layout_end(struct layout *l, struct manifest *m)
{
    INVARIANT(l->next == l->ranks, "slices of %d ranks of %d", l->next, l->ranks);
    *m = (struct manifest){.shards = l->ranks, .tensor = l->tensor, .tensors = l->tensors};
    m->pool = lay_out(l);
    m->shard = memory_take((size_t)l->ranks, sizeof *m->shard, USE);
    free(l->entry);
    free(l->slot);
    free(l);
    for (size_t i = 0; i < m->tensors; i++) finish_tensor(&m->tensor[i]);
    qsort(m->tensor, m->tensors, sizeof *m->tensor, tensor_order);
}
