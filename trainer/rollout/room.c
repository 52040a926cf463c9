#include "trainer/rollout/room.h"
#include <string.h>

/* --- what is done here now, and told to the others --- */

static void add_event(struct decoder *d, struct event e)
{
    INVARIANT(d->n_pending < d->events_max, "%d events", d->n_pending);
    d->pending[d->n_pending++] = e;
}

void room_tell(struct decoder *d, struct decode_batch *b)
{
    memcpy(b->event, d->pending, (size_t)d->n_pending * sizeof *b->event);
    b->head->events = d->n_pending;
    d->n_pending = 0;
}

void room_release(struct decoder *d, int slot)
{
    if (d->cache.length[slot] == 0) return;
    cache_release(&d->cache, slot);
    add_event(d, (struct event){.kind = EVENT_RELEASE, .slot = slot});
}

static void fork(struct decoder *d, int slot, int from, int positions)
{
    INVARIANT(cache_fork(&d->cache, slot, from, positions), "no cache block for slot %d", slot);
    add_event(d, (struct event){EVENT_FORK, slot, from, positions});
}

/* The others take these blocks as the rows come: never more than are taken here. */
static void extend(struct decoder *d, int slot, int pos)
{
    INVARIANT(cache_extend(&d->cache, slot, pos), "no cache block for slot %d at position %d", slot,
              pos);
}

void room_clear(struct decoder *d)
{
    d->n_pending = d->running = d->waiting = d->asking = 0;
    d->started = d->set_aside = d->read_again = 0;
}

/* --- who has to give --- */

static int slots_of(const struct decoder *d)
{
    return d->n_batches * d->batch_slots;
}

/* The youngest prompt behind the first `kept` that holds blocks of its own. */
static bool drop_prompt(struct decoder *d, int kept)
{
    for (int i = d->groups - 1; i >= kept; i--) {
        struct group *g = group_at(d, i);
        if (cache_own(&d->cache, g->slot) == 0) continue;
        room_release(d, g->slot);
        g->again = g->filled > 0;
        g->filled = 0;
        return true;
    }
    return false;
}

/* The youngest, so that the oldest always goes on: some answer ends, and its blocks come free. */
static void set_youngest_aside(struct decoder *d)
{
    struct decode_slot *youngest = NULL;
    for (int s = 0; s < slots_of(d); s++) {
        struct decode_slot *k = &d->slot[s];
        if (k->answer < 0 || k->waits) continue;
        if (!youngest || k->number > youngest->number) youngest = k;
    }
    INVARIANT(youngest != NULL, "%d cache blocks are free and nobody has any", d->cache.n_free);
    room_release(d, (int)(youngest - d->slot));
    youngest->waits = true;
    youngest->filled = 0;
    d->running--;
    d->waiting++;
    d->set_aside++;
}

/* Those that are read again have had theirs since room_resume. */
static bool grows(const struct decoder *d, int slot)
{
    return room_goes_on(&d->slot[slot]) && d->cache.length[slot] <= d->slot[slot].pos;
}

/* Blocks that the batch's answers need up to their next rows. */
static int wanted(const struct decoder *d, const struct decode_batch *b)
{
    int base = b->head->batch * d->batch_slots, n = 0;
    for (int s = base; s < base + d->batch_slots; s++)
        if (grows(d, s)) n += cache_blocks(d->slot[s].pos + 1) - cache_blocks(d->cache.length[s]);
    return n;
}

void room_grow(struct decoder *d, const struct decode_batch *b)
{
    int base = b->head->batch * d->batch_slots;
    while (wanted(d, b) > d->cache.n_free)
        if (!drop_prompt(d, 0)) set_youngest_aside(d);
    for (int s = base; s < base + d->batch_slots; s++)
        if (grows(d, s)) extend(d, s, d->slot[s].pos);
}

/* --- who gets --- */

/* A slot whose first `positions` positions are the question's prompt, and were in the cache before
 * this batch; -1: none. */
static int source_of(const struct decoder *d, int question, int samples, int positions)
{
    for (int i = 0; positions > 0 && i < d->groups; i++) {
        const struct group *g = group_at(d, i);
        if (g->question == question && g->filled >= positions) return g->slot;
    }
    for (int s = 0; positions > 0 && s < slots_of(d); s++) {
        const struct decode_slot *k = &d->slot[s];
        if (k->answer < 0 || k->waits || k->filled < positions) continue;
        if (k->answer / samples == question) return s;
    }
    return -1;
}

static int oldest_waiting(const struct decoder *d)
{
    int oldest = -1;
    for (int s = 0; s < slots_of(d); s++) {
        const struct decode_slot *k = &d->slot[s];
        if (k->answer < 0 || !k->waits) continue;
        if (oldest < 0 || k->number < d->slot[oldest].number) oldest = s;
    }
    return oldest;
}

/* Keeps one block free for each running answer: it would otherwise be set aside again at the next
 * row. */
static bool resume(struct rollout *r, struct decoder *d, int s)
{
    struct decode_slot *k = &d->slot[s];
    int question = k->answer / r->job->samples, shared = shared_positions(r, question);
    int from, need;
    do {
        from = source_of(d, question, r->job->samples, shared);
        need = cache_blocks(k->pos + 1) - (from >= 0 ? shared / KV_BLOCK : 0) + d->running;
    } while (need > d->cache.n_free && drop_prompt(d, 0));
    INVARIANT(need <= d->cache.n_free || d->running > 0, "%d cache blocks are not enough for one",
              d->cache.n_free);
    if (need > d->cache.n_free) return false;
    if (from >= 0) fork(d, s, from, shared);
    extend(d, s, k->pos);
    k->filled = from >= 0 ? shared : 0;
    k->waits = false;
    d->running++;
    d->waiting--;
    return true;
}

void room_resume(struct rollout *r, struct decoder *d, const struct decode_batch *b)
{
    int base = b->head->batch * d->batch_slots;
    while (d->waiting > 0) {
        int s = oldest_waiting(d);
        if (s < base || s >= base + d->batch_slots || !resume(r, d, s)) return;
    }
}

/* n blocks and one for each running answer? Without such, prompts behind the first `kept` make
 * room. */
static bool room_for(struct decoder *d, int n, int kept)
{
    if (d->plenty) return true;
    while (d->running == 0 && n > d->cache.n_free && drop_prompt(d, kept)) {
    }
    return n + d->running <= d->cache.n_free;
}

bool room_start(struct rollout *r, struct decoder *d, int slot)
{
    const struct group *g = group_at(d, 0);
    int shared = shared_positions(r, g->question);
    if (d->waiting > 0 || !room_for(d, 1, 1)) return false;
    if (shared > 0) fork(d, slot, g->slot, shared);
    extend(d, slot, shared);
    d->running++;
    return true;
}

/* true also when the prompt needs no blocks or has them. An answer of the question that is under
 * way may lend its own. */
bool room_prompt(struct rollout *r, struct decoder *d, int i)
{
    struct group *g = group_at(d, i);
    int shared = shared_positions(r, g->question);
    if (shared == 0 || d->cache.length[g->slot] > 0) return true;
    int from = g->next_sample > 0 ? source_of(d, g->question, r->job->samples, shared) : -1;
    int held = from >= 0 ? shared / KV_BLOCK : 0;
    if (d->waiting > 0 || !room_for(d, cache_blocks(shared) - held, i + 1)) return false;
    if (from >= 0)
        fork(d, g->slot, from, shared);
    else
        extend(d, g->slot, shared - 1);
    if (from >= 0) g->filled = shared;
    return true;
}
