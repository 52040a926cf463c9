#include "trainer/rollout/place.h"
#include <limits.h>
#include "model/part.h"
#include "trainer/rollout/bring.h"
#include "trainer/rollout/queue.h"
#include "trainer/rollout/room.h"
#include "trainer/rollout/there.h"
#include "trainer/rollout/tp_follow.h"

static void decode_batch_place(const struct decoder *d, struct decode_batch *b, size_t act_bytes,
                               struct arena *a)
{
    *b = (struct decode_batch){.head = arena_take(a, sizeof *b->head),
                               .event = arena_take_n(a, (size_t)d->events_max, sizeof *b->event),
                               .row = arena_take_n(a, (size_t)d->rows_max, sizeof *b->row),
                               .packed = arena_take(a, d->packed_most),
                               .token = arena_take_n(a, (size_t)d->rows_max, sizeof(int)),
                               .act = arena_take(a, act_bytes),
                               .sent = {TICKET_NONE, TICKET_NONE}};
}

/* Whatever the recipe asks for, a batch's head, places and events are one piece of a
 * message. */
enum { MOST_ALL_SLOTS = 65536 + 1024, MOST_SLOTS = 8192, MOST_PROMPT_ROWS = 16384, OF_ONE = 8 };
_Static_assert(sizeof(struct decode_batch_head) +
                       (MOST_ALL_SLOTS + 2 * MOST_SLOTS + OF_ONE) * sizeof(struct event) +
                       (MOST_SLOTS + MOST_PROMPT_ROWS) * sizeof(struct decode_batch_row) <=
                   P2P_PIECE,
               "a packed batch is more than a piece");

/* Every bound stays within the assertion above: a head that does not fit one message cannot be
 * sent. */
static void decoder_sizes(struct decoder *d, const struct stage *s)
{
    const struct mesh_settings *k = &s->settings->mesh;
    int busy = s->mesh->pp / s->directions; /* ranks, each at work on one batch */
    d->n_batches = s->mesh->pp == 1 ? 1 : k->decode_waves > 0 ? k->decode_waves : busy;
    d->batch_slots = (k->decode_slots / s->directions + d->n_batches - 1) / d->n_batches;
    if (d->batch_slots < 1) d->batch_slots = 1;
    if (d->batch_slots > s->T_max) d->batch_slots = s->T_max;
    if (d->batch_slots > MOST_SLOTS) d->batch_slots = MOST_SLOTS;
    d->max_groups = d->batch_slots;
    int prompt_rows = s->dims.max_context > 64 ? s->dims.max_context : 64;
    if (prompt_rows > MOST_PROMPT_ROWS) prompt_rows = MOST_PROMPT_ROWS;
    d->rows_max = d->batch_slots + prompt_rows < s->T_max ? d->batch_slots + prompt_rows : s->T_max;
    /* Between two batches each slot loses its blocks once, those of this batch get some; the first
     * question's prompt may several times. */
    d->events_max = d->n_batches * d->batch_slots + d->max_groups + d->batch_slots + OF_ONE;
    d->packed_most = sizeof(struct decode_batch_head) +
                     (size_t)d->events_max * sizeof(struct event) +
                     (size_t)d->rows_max * sizeof(struct decode_batch_row);
}

struct rollout_batch rollout_batch(const struct stage *s)
{
    struct decoder d = {0};
    decoder_sizes(&d, s);
    return (struct rollout_batch){.slots = d.batch_slots,
                                  .head_bytes = sizeof(struct decode_batch_head),
                                  .event_bytes = sizeof(struct event),
                                  .place_bytes = sizeof(struct decode_batch_row),
                                  .row_bytes = (size_t)s->dims.C * s->ops->real_bytes,
                                  .back_bytes = sizeof(struct sampled),
                                  .order_bytes = s->mesh->tp > 1 ? tp_follow_bytes(&d) : 0};
}

/* --- blocks of the cache --- */

/* Without mesh.cache_tokens a rank's cache takes no more than this. */
static const size_t CACHE_BYTES = (size_t)2 << 30;

/* Bytes that a block takes on the rank where it takes most. */
static size_t block_bytes(const struct stage *s)
{
    struct dims share = dims_share(&s->dims);
    size_t most = 1, held = s->place == PLACE_LINE ? 1 : 2;
    for (int c = 0; c < s->chunks; c++) {
        size_t bytes = 0;
        for (int l = s->first[c]; l < s->first[c + 1]; l++)
            bytes += layer_cache_bytes(s->ops, &share, l);
        if (bytes * held > most) most = bytes * held;
    }
    return most;
}

static int cache_slots(const struct decoder *d)
{
    return d->n_batches * d->batch_slots + d->max_groups;
}

/* As many as all slots could fill. */
static long blocks_full(const struct decoder *d, const struct stage *s)
{
    return (long)cache_slots(d) * cache_blocks(s->dims.max_context);
}

/* Blocks of one direction. */
static int blocks_of(const struct decoder *d, const struct stage *s)
{
    long asked = s->settings->mesh.cache_tokens, n = asked / s->directions / KV_BLOCK;
    long full = blocks_full(d, s), least = room_least(s->dims.max_context);
    if (asked == 0) n = (long)(CACHE_BYTES / block_bytes(s));
    if (n < least) n = least;
    if (n > full) n = full;
    return n < INT_MAX ? (int)n : INT_MAX;
}

struct rollout_cache rollout_cache(const struct stage *s)
{
    struct decoder d = {0};
    decoder_sizes(&d, s);
    return (struct rollout_cache){.blocks = blocks_of(&d, s),
                                  .full = blocks_full(&d, s),
                                  .directions = s->directions,
                                  .slots = d.n_batches * d.batch_slots};
}

long rollout_cache_tokens(const struct rollout_cache *c)
{
    return (long)c->blocks * c->directions * KV_BLOCK;
}

long rollout_fit(const struct rollout_cache *c, int prompt, int answer, int samples)
{
    int shared = (prompt - 1) / KV_BLOCK;
    double own = cache_blocks(prompt + answer - 1) - shared;
    return (long)(c->blocks / (own + (double)shared / samples)) * c->directions;
}

static void decoder_place_cache(struct decoder *d, const struct stage *s, struct arena *ar)
{
    enum arena_kind before = arena_kind(ar, ARENA_CACHES);
    struct dims share = dims_share(&s->dims);
    int blocks = blocks_of(d, s);
    d->plenty = blocks == blocks_full(d, s);
    cache_place(&d->cache, &share, s->ops, d->local->span, cache_slots(d), blocks,
                s->dims.max_context, ar);
    arena_kind(ar, before);
}

static void decoder_place_first(struct decoder *d, struct arena *ar)
{
    size_t slots = (size_t)(d->n_batches * d->batch_slots);
    d->slot = arena_take_n(ar, slots, sizeof *d->slot);
    d->group = arena_take_n(ar, (size_t)d->max_groups, sizeof *d->group);
    d->free_prompt_slot = arena_take_n(ar, (size_t)d->max_groups, sizeof(int));
    d->pending = arena_take_n(ar, (size_t)d->events_max, sizeof *d->pending);
    d->outstanding = arena_take_n(ar, (size_t)d->n_batches, sizeof(int));
    d->back = arena_take_n(ar, (size_t)d->batch_slots, sizeof *d->back);
}

static void decoder_place_last(struct decoder *d, const struct stage *s, struct arena *ar)
{
    size_t n = (size_t)d->batch_slots;
    d->out = arena_take_n(ar, n * (size_t)d->n_batches, sizeof *d->out);
    d->out_sent = arena_take_n(ar, (size_t)d->n_batches, sizeof *d->out_sent);
    d->logp = arena_take_n(ar, n, sizeof(float));
    d->entropy = arena_take_n(ar, n, sizeof(float));
    d->target = arena_take_n(ar, n, sizeof(int));
    d->scratch = arena_take(ar, sampling_scratch(s->dims.V));
    for (int i = 0; d->out_sent && i < d->n_batches; i++) d->out_sent[i] = TICKET_NONE;
}

/* While the arena only measures there are no batches to place into: `measured` stands in for each.
 * */
static void decoder_place(struct decoder *d, struct stage *s, struct arena *ar)
{
    struct arena *host = arena_host(ar);
    size_t act = (size_t)d->rows_max * (size_t)s->dims.C * s->ops->real_bytes;
    struct decode_batch measured;
    decoder_place_cache(d, s, ar);
    d->batch = arena_take_n(host, (size_t)d->n_batches, sizeof *d->batch);
    for (int i = 0; i < d->n_batches; i++)
        decode_batch_place(d, d->batch ? &d->batch[i] : &measured, act, host);
    d->arrived = arena_take(host, d->packed_most);
    d->act_in = arena_take(host, act);
    decoder_place_first(d, host);
    decoder_place_last(d, s, host);
    d->row_pos = arena_take_n(host, (size_t)d->rows_max, sizeof(int));
    d->row_table = arena_take_n(host, (size_t)d->rows_max, sizeof *d->row_table);
    there_place(d, s, act, ar);
}

/* Answers are kept by the ranks that sample them: of a question that queue_most lets them take. */
static int most_held(const struct rollout *r)
{
    int first = r->stage->mesh->dp * r->stage->directions;
    long even = r->room.answers / first + 1, most = 2 * (even + r->room.samples);
    bool samples = false;
    for (int i = 0; i < r->decoders; i++) samples = samples || r->decoder[i].first;
    if (!samples || !rollout_leads(r)) return 0;
    return most < r->room.answers ? (int)most : r->room.answers;
}

/* All that a job needs, for the largest one: a rollout allocates nothing (P7). */
void place_buffers(struct rollout *r)
{
    struct arena *a = arena_host(&r->arena);
    for (int i = 0; i < r->decoders; i++) decoder_place(&r->decoder[i], r->stage, &r->arena);
    size_t n = (size_t)r->room.answers;
    r->most_held = most_held(r);
    size_t tokens = (size_t)r->most_held * (size_t)r->room.max_new;
    r->answer = arena_take_n(a, n, sizeof *r->answer);
    r->told = arena_take_n(a, n, sizeof *r->told);
    r->held_token = arena_take_n(a, tokens, sizeof *r->held_token);
    r->held_logp = arena_take_n(a, tokens, sizeof *r->held_logp);
    bring_place(r, a);
    queue_place(&r->queue, r, a);
    tp_follow_place(r, &r->arena);
}

/* Which of the chunks on its rank. */
static int number_of(const struct stage *s, int chunk, int dir)
{
    return s->place == PLACE_VEE ? chunk >= s->mesh->pp : dir;
}

/* World rank of a chunk in this rank's pipeline. */
static int chunk_rank(const struct stage *s, int chunk, int dir)
{
    return mesh_rank(s->mesh, s->mesh->d, plan_rank(s->place, s->mesh->pp, chunk, dir));
}

/* A direction's next chunk may be on this rank, too (the turn of a vee): messages carry the number
 * of the decoder, so that two of one rank are told apart. */
static struct decoder decoder_find(const struct stage *s, int number, int chunk)
{
    int dir = plan_held_dir(s->place, number);
    struct decoder d = {.dir = dir, .number = number, .in = TICKET_NONE};
    d.first = chunk == 0;
    d.last = chunk == s->chunks - 1;
    d.head_rank = chunk_rank(s, 0, dir);
    d.tail_rank = chunk_rank(s, s->chunks - 1, dir);
    if (!d.first) d.prev = chunk_rank(s, chunk - 1, dir);
    if (!d.last) d.next = chunk_rank(s, chunk + 1, dir);
    if (!d.last) d.next_number = number_of(s, chunk + 1, dir);
    return d;
}

void place_decoders(struct rollout *r)
{
    int chunk[2];
    r->decoders = plan_held(r->stage->place, r->stage->mesh->pp, r->stage->mesh->p, chunk);
    for (int i = 0; i < r->decoders; i++) {
        struct decoder *d = &r->decoder[i];
        *d = decoder_find(r->stage, i, chunk[i]);
        d->local = stage_local(r->stage, chunk[i]);
        decoder_sizes(d, r->stage);
    }
}

/* --- peers --- */

static int add_peer(const struct mesh *m, int *out, int n, int rank)
{
    int i = 0;
    while (i < n && out[i] != rank) i++;
    out[n] = rank;
    return n + (i == n && rank != mesh_rank(m, m->d, m->p));
}

_Static_assert(2 * 4 + QUEUE_PEERS + BRING_PEERS < ROLLOUT_PEERS, "too little room for peers");

/* Activations go from rank to rank of the same t; all else between those that decide. */
int rollout_peers(const struct stage *s, int out[ROLLOUT_PEERS])
{
    int chunk[2], more[QUEUE_PEERS + BRING_PEERS], n = 0;
    bool leads = s->mesh->t == 0;
    for (int k = plan_held(s->place, s->mesh->pp, s->mesh->p, chunk) - 1; k >= 0; k--) {
        struct decoder d = decoder_find(s, k, chunk[k]);
        if (!d.first) n = add_peer(s->mesh, out, n, d.prev);
        if (!d.last) n = add_peer(s->mesh, out, n, d.next);
        if (d.first && leads) n = add_peer(s->mesh, out, n, d.tail_rank);
        if (d.last && leads) n = add_peer(s->mesh, out, n, d.head_rank);
    }
    for (int i = queue_peers(s, more) - 1; i >= 0; i--) n = add_peer(s->mesh, out, n, more[i]);
    for (int i = bring_peers(s, more) - 1; i >= 0; i--) n = add_peer(s->mesh, out, n, more[i]);
    return n;
}
