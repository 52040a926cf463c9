#include "model/tokenizer/merge.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

enum { FEW = 32 };
static const uint32_t NONE = UINT32_MAX;

void merge_room_free(struct merge_room *r)
{
    free(r->heap);
    free(r->next);
    free(r->last);
    *r = (struct merge_room){0};
}

static int part_of(const struct words *words, const char *text, size_t n)
{
    return text ? words_find_spelled(words, text, n) : -1;
}

/* Both parts and their union must be tokens. */
static const char *read_one(struct pair_table *pairs, const struct words *words,
                            const json_t *merge, uint32_t rank)
{
    const char *a = json_string_value(merge), *b = NULL, *space = a ? strchr(a, ' ') : NULL;
    size_t n = 0, m = 0;
    if (space) {
        n = (size_t)(space - a);
        b = space + 1;
        m = strlen(b);
        if (memchr(b, ' ', m)) return "must have one space between its two parts:";
    } else if (json_array_size(merge) == 2) {
        a = json_string_value(json_array_get(merge, 0));
        b = json_string_value(json_array_get(merge, 1));
        if (a && b) n = strlen(a), m = strlen(b);
    }
    if (!a || !b) return "must be \"a b\" or [\"a\", \"b\"]";
    int left = part_of(words, a, n), right = part_of(words, b, m);
    if (left < 0 || right < 0) return "a part is not in model.vocab:";
    char both[2 * SPELLING_MOST];
    memcpy(both, a, n);
    memcpy(both + n, b, m);
    int result = words_find_spelled(words, both, n + m);
    if (result < 0) return "what it makes is not in model.vocab:";
    bool is_new;
    struct pair_entry *e = pair_table_put(pairs, (uint32_t)left, (uint32_t)right, &is_new);
    e->first = rank; /* of a pair that stands there twice the second counts */
    e->second = (uint32_t)result;
    return NULL;
}

/* A merge's place in the list is its rank. */
void merges_read(struct parse *p, struct pair_table *pairs, const json_t *merges,
                 const struct words *words)
{
    size_t n = json_array_size(merges);
    if (!json_is_array(merges) || n > MERGES_MOST) {
        refuse(p, "model.merges", "must be a list of at most 4194304 merges", NULL);
        return;
    }
    pair_table_new(pairs, n);
    for (size_t i = 0; i < n && p->ok; i++) {
        const json_t *merge = json_array_get(merges, i);
        const char *why = read_one(pairs, words, merge, (uint32_t)i);
        if (!why) continue;
        char *shown = json_dumps(merge, JSON_ENCODE_ANY | JSON_COMPACT);
        refuse(p, "model.merges", why, shown);
        free(shown);
    }
}

/* A few ids: the lowest rank is looked for in all of them. */
static size_t merge_few(const struct pair_table *pairs, uint32_t *ids, size_t n)
{
    uint32_t rank[FEW], result[FEW];
    for (size_t i = 0; i + 1 < n; i++) {
        const struct pair_entry *e = pair_table_find(pairs, ids[i], ids[i + 1]);
        rank[i] = e ? e->first : NONE;
        result[i] = e ? e->second : 0;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == NONE) break;
        ids[best] = result[best];
        size_t behind = n - best - 2; /* ids behind the pair */
        memmove(ids + best + 1, ids + best + 2, behind * sizeof *ids);
        memmove(rank + best, rank + best + 1, behind * sizeof *rank);
        memmove(result + best, result + best + 1, behind * sizeof *result);
        n--;
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const struct pair_entry *e = pair_table_find(pairs, ids[i], ids[i + 1]);
            rank[i] = e ? e->first : NONE;
            result[i] = e ? e->second : 0;
        }
    }
    return n;
}

/* A heap of rank * 2^32 + place, the smallest on top. */
static void sift_down(uint64_t *heap, size_t n, size_t at)
{
    uint64_t x = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= x) break;
        heap[at] = heap[child];
    }
    heap[at] = x;
}

static void push(uint64_t *heap, size_t *n, uint64_t x)
{
    size_t at = (*n)++;
    for (; at > 0 && heap[(at - 1) / 2] > x; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = x;
}

static void make_room(struct merge_room *r, size_t n)
{
    INVARIANT(n < NONE, "a piece of %zu tokens", n);
    if (n <= r->room) return;
    merge_room_free(r);
    r->room = n;
    r->heap = memory_take(3 * n, sizeof *r->heap, "a long text's tokens");
    r->next = memory_take(n, sizeof *r->next, "a long text's tokens");
    r->last = memory_take(n, sizeof *r->last, "a long text's tokens");
}

/* Each merge takes one entry off the heap and puts at most two on it, so 3 n places are enough. */
struct work {
    const struct pair_table *pairs;
    struct merge_room *r;
    uint32_t *ids;
    size_t n, heap;
};

static void offer(struct work *w, uint32_t left, uint32_t right)
{
    const struct pair_entry *e = pair_table_find(w->pairs, w->ids[left], w->ids[right]);
    if (e) push(w->r->heap, &w->heap, (uint64_t)e->first << 32 | left);
}

/* The pair that begins at `at`, if it is still the one of this rank. */
static void merge_pair(struct work *w, uint32_t at, uint32_t rank)
{
    uint32_t *next = w->r->next, *last = w->r->last;
    if (w->ids[at] == NONE || next[at] >= w->n) return;
    uint32_t right = next[at];
    const struct pair_entry *e = pair_table_find(w->pairs, w->ids[at], w->ids[right]);
    if (!e || e->first != rank) return;
    w->ids[at] = e->second;
    w->ids[right] = NONE;
    next[at] = next[right];
    if (next[at] < w->n) last[next[at]] = at;
    if (at > 0) offer(w, last[at], at);
    if (next[at] < w->n) offer(w, at, next[at]);
}

/* n log n. Entries of the heap are not removed when a neighbour is merged: merge_pair() finds that
 * their pair is gone. Equal ranks come leftmost first, since the place is the lower half of the
 * key. */
static size_t merge_many(const struct pair_table *pairs, struct merge_room *room, uint32_t *ids,
                         size_t n)
{
    struct work w = {pairs, room, ids, n, 0};
    make_room(room, n);
    for (uint32_t i = 0; i < n; i++) {
        room->next[i] = i + 1;
        room->last[i] = i - 1;
        const struct pair_entry *e = i + 1 < n ? pair_table_find(pairs, ids[i], ids[i + 1]) : NULL;
        if (e) room->heap[w.heap++] = (uint64_t)e->first << 32 | i;
    }
    for (size_t i = w.heap / 2; i > 0; i--) sift_down(room->heap, w.heap, i - 1);
    while (w.heap > 0) {
        uint64_t top = room->heap[0];
        room->heap[0] = room->heap[--w.heap];
        if (w.heap > 0) sift_down(room->heap, w.heap, 0);
        merge_pair(&w, (uint32_t)top, (uint32_t)(top >> 32));
    }
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (ids[i] != NONE) ids[left++] = ids[i];
    return left;
}

size_t merge_ids(const struct pair_table *pairs, struct merge_room *room, uint32_t *ids, size_t n)
{
    return n <= FEW ? merge_few(pairs, ids, n) : merge_many(pairs, room, ids, n);
}
