#include "trainer/rollout/place.h"
#include "trainer/rollout/queue.h"
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
enum { MOST_SLOTS = 16384, MOST_PROMPT_ROWS = 16384, EVENTS = 4 /* a slot */ };
_Static_assert(sizeof(struct decode_batch_head) + MOST_SLOTS * EVENTS * sizeof(struct event) +
                       (MOST_SLOTS + MOST_PROMPT_ROWS) * sizeof(struct decode_batch_row) <=
                   P2P_PIECE,
               "a packed batch is more than a piece");

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
    d->events_max = EVENTS * d->batch_slots; /* answers that end and start, questions done with */
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

static void decoder_place_cache(struct decoder *d, const struct stage *s, struct arena *ar)
{
    int slots = d->n_batches * d->batch_slots + d->max_groups;
    int per_sequence = (s->dims.max_context + KV_BLOCK - 1) / KV_BLOCK;
    enum arena_kind before = arena_kind(ar, ARENA_CACHES);
    struct dims share = dims_share(&s->dims);
    cache_place(&d->cache, &share, s->ops, d->local->span, slots, slots * per_sequence,
                s->dims.max_context, ar);
    arena_kind(ar, before);
}

static void decoder_place_first(struct decoder *d, struct arena *ar)
{
    size_t slots = (size_t)(d->n_batches * d->batch_slots);
    d->slot = arena_take_n(ar, slots, sizeof *d->slot);
    d->group = arena_take_n(ar, (size_t)d->max_groups, sizeof *d->group);
    d->free_prompt_slot = arena_take_n(ar, (size_t)d->max_groups, sizeof(int));
    d->outstanding = arena_take_n(ar, (size_t)d->n_batches, sizeof(int));
    d->back = arena_take_n(ar, (size_t)d->batch_slots, sizeof *d->back);
}

static void decoder_place_last(struct decoder *d, const struct stage *s, struct arena *ar)
{
    size_t n = (size_t)d->batch_slots, V = (size_t)s->dims.V;
    d->out = arena_take_n(ar, n * (size_t)d->n_batches, sizeof *d->out);
    d->out_sent = arena_take_n(ar, (size_t)d->n_batches, sizeof *d->out_sent);
    d->logp = arena_take_n(ar, n, sizeof(float));
    d->entropy = arena_take_n(ar, n, sizeof(float));
    d->target = arena_take_n(ar, n, sizeof(int));
    d->scratch = arena_take_n(ar, V, 12);
    for (int i = 0; d->out_sent && i < d->n_batches; i++) d->out_sent[i] = TICKET_NONE;
}

static void decoder_place(struct decoder *d, struct stage *s, struct arena *ar)
{
    size_t act = (size_t)d->rows_max * (size_t)s->dims.C * s->ops->real_bytes;
    struct decode_batch measured;
    decoder_place_cache(d, s, ar);
    d->batch = arena_take_n(ar, (size_t)d->n_batches, sizeof *d->batch);
    for (int i = 0; i < d->n_batches; i++)
        decode_batch_place(d, d->batch ? &d->batch[i] : &measured, act, ar);
    d->arrived = arena_take(ar, d->packed_most);
    d->act_in = arena_take(ar, act);
    decoder_place_first(d, ar);
    decoder_place_last(d, s, ar);
    d->row_pos = arena_take_n(ar, (size_t)d->rows_max, sizeof(int));
    d->row_table = arena_take_n(ar, (size_t)d->rows_max, sizeof *d->row_table);
}

void place_buffers(struct rollout *r)
{
    struct arena *a = &r->arena;
    for (int i = 0; i < r->decoders; i++) decoder_place(&r->decoder[i], r->stage, a);
    size_t n = (size_t)r->max_answers, len = (size_t)r->max_new, size = (size_t)r->world->size;
    r->answer = arena_take_n(a, n, sizeof *r->answer);
    r->mine = arena_take_n(a, n, sizeof *r->mine);
    int *tokens = arena_take_n(a, n * len, sizeof(int));
    float *logp = arena_take_n(a, n * len, sizeof(float));
    for (size_t i = 0; r->answer && i < n; i++)
        r->answer[i] = (struct answer){.token = tokens + i * len, .logp = logp + i * len};
    size_t words = n * (3 + 2 * len);
    r->gather_count = arena_take_n(a, size, sizeof(int));
    r->gather_offset = arena_take_n(a, size, sizeof(int));
    r->gather_send = arena_take_n(a, words, sizeof(int));
    r->gather_all = arena_take_n(a, words, sizeof(int));
    queue_place(&r->queue, r, a);
    tp_follow_place(r, a);
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

static void decoder_find(struct rollout *r, int number, int chunk)
{
    struct stage *s = r->stage;
    struct decoder *d = &r->decoder[number];
    int dir = plan_held_dir(s->place, number);
    *d = (struct decoder){
        .dir = dir, .number = number, .local = stage_local(s, chunk), .in = TICKET_NONE};
    d->first = chunk == 0;
    d->last = chunk == s->chunks - 1;
    d->head_rank = chunk_rank(s, 0, dir);
    d->tail_rank = chunk_rank(s, s->chunks - 1, dir);
    if (!d->first) d->prev = chunk_rank(s, chunk - 1, dir);
    if (!d->last) d->next = chunk_rank(s, chunk + 1, dir);
    if (!d->last) d->next_number = number_of(s, chunk + 1, dir);
    decoder_sizes(d, s);
}

void place_decoders(struct rollout *r)
{
    int chunk[2];
    r->decoders = plan_held(r->stage->place, r->stage->mesh->pp, r->stage->mesh->p, chunk);
    for (int i = 0; i < r->decoders; i++) decoder_find(r, i, chunk[i]);
}
