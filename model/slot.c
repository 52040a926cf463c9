/* The memory of a chunk that grows with a micro-batch's rows, laid out from its parts' tables:
 * measured and placed by the same functions. */
#include <string.h>
#include "model/block.h"

static struct act_sizes sizes_of(const struct chunk *c, bool kept)
{
    return (struct act_sizes){.d = &c->d,
                              .ops = c->ops,
                              .real_bytes = c->ops->real_bytes,
                              .T = (size_t)c->T_max,
                              .here = (size_t)(kept ? c->T_here : c->T_max),
                              .R = (size_t)c->room.first,
                              .more = (size_t)c->room.further,
                              .ep = c->ep,
                              .training = c->training,
                              .kept = kept,
                              .recompute = kept ? c->recompute : RECOMPUTE_NONE};
}

static void *stream_rows(const struct chunk *c, int rows, struct arena *a)
{
    return arena_take_n(a, (size_t)rows, (size_t)c->d.C * c->ops->real_bytes);
}

/* The same memory for structs of which one at a time is in use: room for the largest. What lies in
 * an arena of the host's own (arena_host), a few numbers, lies apart. */
struct overlay {
    void *at;
    size_t bytes;
    struct arena *host;
};
static void overlay_place(struct overlay *o, void *to, const struct act_table *t,
                          const struct act_sizes *r)
{
    struct arena a = {.base = o->at, .size = o->bytes, .host = o->host};
    acts_place(to, t, r, false, &a);
    if (a.used > o->bytes) o->bytes = a.used;
}

/* What is computed again: memory that all slots of a rank share. */
struct again {
    struct overlay lines;
    void *stream;      /* rows that are not kept of the residual stream: one at a time */
    void *gradient[2]; /* backward; taking turns */
};

/* Parts whose lines lie over those of others: each by itself, or those of a layer together. */
static void again_lines(struct again *g, void *const *acts, const struct chunk *c,
                        const struct act_sizes *r)
{
    struct overlay *o = &g->lines;
    struct arena a = {.base = o->at, .size = o->bytes, .host = o->host};
    for (int i = 0; i < c->units; i++) {
        const struct unit *u = &c->unit[i];
        bool together = c->recompute == RECOMPUTE_FULL && i > 0 && u[-1].layer == u->layer;
        if (!together) arena_release(&a, 0);
        acts_place(acts[i], &u->part->acts, r, true, &a);
        if (a.used > o->bytes) o->bytes = a.used;
    }
}

/* The residual stream keeps the input of each layer, with less than `full` of each part; what
 * leaves the chunk only where nothing is computed again. */
static bool stream_kept(const struct chunk *c, int i)
{
    const struct unit *u = c->unit + c->span.embed + i;
    if (c->recompute == RECOMPUTE_NONE) return true;
    if (i == c->halves) return c->span.head;
    return c->recompute < RECOMPUTE_FULL || i == 0 || u[-1].layer != u->layer;
}

static void stream_place(struct slot *s, const struct chunk *c, const struct again again[2],
                         struct arena *a)
{
    bool none = c->recompute == RECOMPUTE_NONE;
    for (int i = 0; i <= c->halves; i++) {
        s->stream[0][i] = s->stream[1][i] = again[0].stream;
        if (stream_kept(c, i))
            s->stream[0][i] = s->stream[1][i] = stream_rows(c, c->T_here, a);
        else
            s->stream[1][i] = again[1].stream;
        s->gradient[i] = again[1].gradient[i % 2];
        if (none && i > 0) s->gradient[i - 1] = s->stream[0][i];
    }
    if (none) s->gradient[c->halves] = stream_rows(c, c->T_here, a);
}

/* A slot keeps each part's lines apart; what is computed again lies over that of other parts and
 * other slots. */
static void slot_place(struct slot *s, const struct chunk *c, struct again again[2],
                       struct arena *a)
{
    struct act_sizes r = sizes_of(c, true);
    for (int i = 0; i < c->units; i++) {
        const struct act_table *t = &c->unit[i].part->acts;
        acts_place(s->acts[0][i], t, &r, false, a);
        memcpy(s->acts[1][i], s->acts[0][i], t->bytes);
    }
    for (int way = 0; way < 2; way++) again_lines(&again[way], s->acts[way], c, &r);
    stream_place(s, c, again, a);
}

/* Slots in which nothing is kept: the parts work in turn in the same memory, on a stream that stays
 * where it is: a part's output lies over its input. */
static void once_lines(struct chunk *c, struct overlay *o, void *stream)
{
    struct act_sizes r = sizes_of(c, false);
    for (int k = c->training ? c->slots : 0; k <= c->slots; k++) {
        for (int i = 0; i < c->units; i++)
            overlay_place(o, c->slot[k].acts[0][i], &c->unit[i].part->acts, &r);
        for (int i = 0; i <= c->halves; i++) c->slot[k].stream[0][i] = stream;
    }
}

/* Chunks that train share it, since such a pass is over before another begins: chunk_decode runs it
 * to its end. Those that only score have it each: pairs of their passes may run in turn. Of decoded
 * rows the stream is whole. */
static void once_place(struct chunk *const *c, int n, struct arena *a)
{
    struct arena measured = {0};
    struct overlay o = {.host = a->host ? &measured : NULL};
    void *stream = stream_rows(c[0], c[0]->T_max, a);
    for (int k = 0; k < n; k++) once_lines(c[k], &o, stream);
    o = (struct overlay){arena_take(a, o.bytes), o.bytes, a->host};
    for (int k = 0; k < n; k++) once_lines(c[k], &o, stream);
}

/* What the parts of a chunk work on between their sub-steps. Each chunk of a rank has its own:
 * where layers or experts are shared (tp, ep) the engine steps F of one chunk and B of the other in
 * turn, so that a part of each may be waiting for its exchange, and what it goes on with lies here.
 */
static void scratch_place(struct chunk *c, struct arena *a)
{
    struct act_sizes r = sizes_of(c, true);
    struct arena measured = {0};
    struct overlay o = {.host = a->host ? &measured : NULL};
    for (int round = 0; round < 2; round++) {
        if (round == 1) o = (struct overlay){arena_take(a, o.bytes), o.bytes, a->host};
        for (int i = 0; i < c->units; i++)
            overlay_place(&o, c->unit[i].scratch, &c->unit[i].part->scratch, &r);
    }
}

/* Once for each kind of part in the chunk. */
static void shared_place(struct chunk *c, struct arena *a)
{
    for (int i = 0; i < c->units; i++) {
        const struct part *part = c->unit[i].part;
        bool first = part->place != NULL;
        for (int k = 0; k < i; k++) first = first && c->unit[k].part != part;
        if (first) part->place(c, a);
    }
}

void chunk_place_memory(struct chunk *c, struct arena *a)
{
    shared_place(c, a);
    if (!c->training) once_place(&c, 1, a);
    scratch_place(c, a);
    for (int k = 0; c->tp > 1 && k < (c->training ? 2 : 1); k++)
        partial_place(c, &c->buffers[k], a);
}

/* What a slot of the chunks takes at most; again[] grows to what they compute again. */
static size_t slot_bytes(struct chunk *const *c, int n, struct again again[2], struct arena *a)
{
    size_t most = 0;
    for (int k = 0; k < n; k++) {
        struct arena ignored = {0}, measured = {.host = a->host ? &ignored : NULL};
        slot_place(&c[k]->slot[0], c[k], again, &measured);
        if (measured.used > most) most = measured.used;
    }
    return most;
}

static void again_place(struct again again[2], const struct chunk *c, struct arena *a)
{
    if (c->recompute == RECOMPUTE_NONE) return;
    for (int way = 0; way < 2; way++) {
        struct overlay *o = &again[way].lines;
        *o = (struct overlay){arena_take(a, o->bytes), o->bytes, a->host};
        again[way].stream = stream_rows(c, c->T_here, a);
    }
    for (int k = 0; k < 2; k++) again[1].gradient[k] = stream_rows(c, c->T_here, a);
}

/* Chunks of a rank share slots: each is as large as the largest of them needs, and all lay theirs
 * over the same bytes; the one in which nothing is kept apart from the others, for decoding. */
void chunk_place_slots(struct chunk *const *c, int n, struct arena *a)
{
    once_place(c, n, a);
    enum arena_kind before = arena_kind(a, ARENA_ACTIVATIONS);
    struct arena ignored = {0};
    struct again again[2] = {{.lines.host = a->host ? &ignored : NULL},
                             {.lines.host = a->host ? &ignored : NULL}};
    size_t most = slot_bytes(c, n, again, a);
    again_place(again, c[0], a);
    for (int i = 0; i < c[0]->slots; i++) {
        unsigned char *at = arena_take(a, most);
        for (int k = 0; k < n; k++) {
            struct arena same = {.base = at, .size = most, .host = a->host};
            slot_place(&c[k]->slot[i], c[k], again, &same);
        }
    }
    arena_kind(a, before);
}
