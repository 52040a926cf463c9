#include "trainer/rollout/place.h"
#include "trainer/rollout/queue.h"
#include "trainer/rollout/follow.h"

static void wave_place(const struct lane *l, struct wave *w, size_t act_bytes, struct arena *a)
{
    *w = (struct wave){.head = arena_take(a, sizeof *w->head),
                       .event = arena_take_n(a, (size_t)l->events_max, sizeof *w->event),
                       .row = arena_take_n(a, (size_t)l->rows_max, sizeof *w->row),
                       .packed = arena_take(a, l->packed_most),
                       .token = arena_take_n(a, (size_t)l->rows_max, sizeof(int)),
                       .act = arena_take(a, act_bytes),
                       .sent = {TICKET_NONE, TICKET_NONE}};
}

/* Of a wave, whatever the recipe asks for: its head, places and events are one piece of a
 * message. */
enum { MOST_SLOTS = 16384, MOST_PROMPT_ROWS = 16384, EVENTS = 4 /* a slot */ };
_Static_assert(sizeof(struct wave_head) + MOST_SLOTS * EVENTS * sizeof(struct event) +
                       (MOST_SLOTS + MOST_PROMPT_ROWS) * sizeof(struct wave_row) <=
                   P2P_PIECE,
               "a packed wave is more than a piece");

static void lane_sizes(struct lane *l, const struct actor *a)
{
    const struct mesh_settings *k = &a->settings->mesh;
    int busy = a->mesh->pp / a->directions; /* ranks, each at work on one wave */
    l->n_waves = a->mesh->pp == 1 ? 1 : k->decode_waves > 0 ? k->decode_waves : busy;
    l->wave_slots = (k->decode_slots / a->directions + l->n_waves - 1) / l->n_waves;
    if (l->wave_slots < 1) l->wave_slots = 1;
    if (l->wave_slots > a->T_max) l->wave_slots = a->T_max;
    if (l->wave_slots > MOST_SLOTS) l->wave_slots = MOST_SLOTS;
    l->max_groups = l->wave_slots;
    int prompt_rows = a->dims.max_context > 64 ? a->dims.max_context : 64;
    if (prompt_rows > MOST_PROMPT_ROWS) prompt_rows = MOST_PROMPT_ROWS;
    l->rows_max = l->wave_slots + prompt_rows < a->T_max ? l->wave_slots + prompt_rows : a->T_max;
    l->events_max = EVENTS * l->wave_slots; /* answers that end and start, questions done with */
    l->packed_most = sizeof(struct wave_head) + (size_t)l->events_max * sizeof(struct event) +
                     (size_t)l->rows_max * sizeof(struct wave_row);
}

struct rollout_wave rollout_wave(const struct actor *a)
{
    struct lane l = {0};
    lane_sizes(&l, a);
    return (struct rollout_wave){.slots = l.wave_slots,
                                 .head_bytes = sizeof(struct wave_head),
                                 .event_bytes = sizeof(struct event),
                                 .place_bytes = sizeof(struct wave_row),
                                 .row_bytes = (size_t)a->dims.C * a->ops->real_bytes,
                                 .back_bytes = sizeof(struct sampled),
                                 .order_bytes = a->mesh->tp > 1 ? follow_bytes(&l) : 0};
}

static void lane_place_cache(struct lane *l, const struct actor *a, struct arena *ar)
{
    int slots = l->n_waves * l->wave_slots + l->max_groups;
    int per_sequence = (a->dims.max_context + KV_BLOCK - 1) / KV_BLOCK;
    enum arena_kind before = arena_kind(ar, ARENA_CACHES);
    struct dims share = dims_share(&a->dims);
    cache_place(&l->cache, &share, a->ops, l->local->span, slots, slots * per_sequence,
                a->dims.max_context, ar);
    arena_kind(ar, before);
}

static void lane_place_first(struct lane *l, struct arena *ar)
{
    size_t slots = (size_t)(l->n_waves * l->wave_slots);
    l->slot = arena_take_n(ar, slots, sizeof *l->slot);
    l->group = arena_take_n(ar, (size_t)l->max_groups, sizeof *l->group);
    l->free_prompt_slot = arena_take_n(ar, (size_t)l->max_groups, sizeof(int));
    l->outstanding = arena_take_n(ar, (size_t)l->n_waves, sizeof(int));
    l->back = arena_take_n(ar, (size_t)l->wave_slots, sizeof *l->back);
}

static void lane_place_last(struct lane *l, const struct actor *a, struct arena *ar)
{
    size_t n = (size_t)l->wave_slots, V = (size_t)a->dims.V;
    l->out = arena_take_n(ar, n * (size_t)l->n_waves, sizeof *l->out);
    l->out_sent = arena_take_n(ar, (size_t)l->n_waves, sizeof *l->out_sent);
    l->logits = arena_take_n(ar, n * V, sizeof(float));
    l->logp = arena_take_n(ar, n, sizeof(float));
    l->entropy = arena_take_n(ar, n, sizeof(float));
    l->target = arena_take_n(ar, n, sizeof(int));
    l->scratch = arena_take_n(ar, V, 12);
    for (int i = 0; l->out_sent && i < l->n_waves; i++) l->out_sent[i] = TICKET_NONE;
}

static void lane_place(struct lane *l, struct actor *a, struct arena *ar)
{
    size_t act = (size_t)l->rows_max * (size_t)a->dims.C * a->ops->real_bytes;
    struct wave measured;
    lane_place_cache(l, a, ar);
    l->wave = arena_take_n(ar, (size_t)l->n_waves, sizeof *l->wave);
    for (int i = 0; i < l->n_waves; i++) wave_place(l, l->wave ? &l->wave[i] : &measured, act, ar);
    l->arrived = arena_take(ar, l->packed_most);
    l->act_in = arena_take(ar, act);
    lane_place_first(l, ar);
    lane_place_last(l, a, ar);
    l->row_pos = arena_take_n(ar, (size_t)l->rows_max, sizeof(int));
    l->row_table = arena_take_n(ar, (size_t)l->rows_max, sizeof *l->row_table);
}

void place_buffers(struct rollout *r)
{
    struct arena *a = &r->arena;
    for (int i = 0; i < r->lanes; i++) lane_place(&r->lane[i], r->actor, a);
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
    follow_place(r, a);
}

/* Which of the chunks on its rank. */
static int number_of(const struct actor *a, int chunk, int dir)
{
    return a->place == PLACE_VEE ? chunk >= a->mesh->pp : dir;
}

/* World rank of a chunk in this rank's pipeline. */
static int chunk_rank(const struct actor *a, int chunk, int dir)
{
    return mesh_rank(a->mesh, a->mesh->d, plan_rank(a->place, a->mesh->pp, chunk, dir));
}

static void lane_find(struct rollout *r, int number, int chunk)
{
    struct actor *a = r->actor;
    struct lane *l = &r->lane[number];
    int dir = plan_held_dir(a->place, number);
    *l = (struct lane){
        .dir = dir, .number = number, .local = actor_local(a, chunk), .in = TICKET_NONE};
    l->first = chunk == 0;
    l->last = chunk == a->chunks - 1;
    l->head_rank = chunk_rank(a, 0, dir);
    l->tail_rank = chunk_rank(a, a->chunks - 1, dir);
    if (!l->first) l->prev = chunk_rank(a, chunk - 1, dir);
    if (!l->last) l->next = chunk_rank(a, chunk + 1, dir);
    if (!l->last) l->next_number = number_of(a, chunk + 1, dir);
    lane_sizes(l, a);
}

void place_lanes(struct rollout *r)
{
    int chunk[2];
    r->lanes = plan_held(r->actor->place, r->actor->mesh->pp, r->actor->mesh->p, chunk);
    for (int i = 0; i < r->lanes; i++) lane_find(r, i, chunk[i]);
}
