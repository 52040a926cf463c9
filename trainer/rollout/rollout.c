/* Set-up, the loop, and the gathering of answers. */
#include "trainer/rollout/rollout.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "trainer/rollout/lane.h"

/* --- placing --- */

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

/* Of a wave, whatever the recipe asks for: its head, places and events are one piece of a message. */
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
    cache_place(&l->cache, &share, a->ops, l->local->span.count, slots, slots * per_sequence,
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

static void rollout_place(struct rollout *r)
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
    dispatch_place(&r->dispatch, r, a);
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

static struct rollout *rollout_measured(struct actor *a, const struct world *w, int max_answers,
                                        int max_new)
{
    struct rollout *r = memory_take(1, sizeof *r, "a rollout");
    *r = (struct rollout){.actor = a, .world = w, .max_answers = max_answers, .max_new = max_new};
    int chunk[2];
    r->lanes = plan_held(a->place, a->mesh->pp, a->mesh->p, chunk);
    for (int k = 0; k < r->lanes; k++) lane_find(r, k, chunk[k]);
    rollout_place(r);
    return r;
}

struct arena rollout_measure(struct actor *a, const struct world *w, int max_answers, int max_new)
{
    struct rollout *r = rollout_measured(a, w, max_answers, max_new);
    struct arena measured = r->arena;
    free(r);
    return measured;
}

/* The pipelines that share experts: of each stage the rank that decides. Collective over world. */
static void group_find(struct rollout *r)
{
    const struct mesh *m = r->actor->mesh;
    r->group = MPI_COMM_NULL;
    if (m->ep == 1) return;
    int color = follow_is_first(r) ? m->d / m->ep : MPI_UNDEFINED;
    MPI_OK(MPI_Comm_split(r->world->comm, color, r->world->rank, &r->group));
    if (r->group != MPI_COMM_NULL) MPI_OK(MPI_Comm_set_errhandler(r->group, MPI_ERRORS_RETURN));
}

struct rollout *rollout_new(struct actor *a, const struct world *w, int max_answers, int max_new)
{
    struct rollout *r = rollout_measured(a, w, max_answers, max_new);
    arena_back(&r->arena, &device_host, r->arena.used);
    rollout_place(r);
    int open = dispatch_most_tickets(r) * 2 + r->lanes * (4 * r->lane[0].n_waves + 8);
    r->p2p = p2p_new(&transport_mpi, w->comm, open);
    group_find(r);
    return r;
}

void rollout_free(struct rollout *r)
{
    if (!r) return;
    p2p_free(r->p2p);
    if (r->group != MPI_COMM_NULL) MPI_OK(MPI_Comm_free(&r->group));
    arena_free(&r->arena);
    free(r);
}

size_t rollout_bytes(const struct rollout *r)
{
    return r->arena.size;
}

/* --- the loop --- */

bool rollout_stops(struct rollout *r)
{
    r->stopping = r->stopping || (r->job->stop && r->job->stop());
    return r->stopping;
}

static void lane_open(struct rollout *r, struct lane *l)
{
    l->done = false;
    l->in = TICKET_NONE;
    if (l->first)
        lane_start(r, l);
    else
        l->in = wave_expect(r, l);
}

/* Sends still under way end, and the cache forgets this job. */
static void lane_close(struct rollout *r, struct lane *l)
{
    for (int i = 0; i < l->n_waves; i++) {
        for (int k = 0; k < 2; k++) {
            p2p_wait(r->p2p, l->wave[i].sent[k]);
            l->wave[i].sent[k] = TICKET_NONE;
        }
        if (l->last) {
            p2p_wait(r->p2p, l->out_sent[i]);
            l->out_sent[i] = TICKET_NONE;
        }
    }
    for (int s = 0; s < l->cache.slots; s++) cache_release(&l->cache, s);
}

static bool all_done(const struct rollout *r)
{
    for (int i = 0; i < r->lanes; i++)
        if (!r->lane[i].done) return false;
    return dispatch_done(r);
}

/* On one stage a wave's tokens are there when wave_run returns: no message to wait for. */
static bool turn_alone(struct rollout *r)
{
    struct lane *l = &r->lane[0];
    if (!(l->first && l->last) || l->n_outstanding == 0) return false;
    lane_returned(r, l);
    return true;
}

static void arrived(struct rollout *r, int i)
{
    if (i >= r->lanes) {
        dispatch_arrived(r, i - r->lanes);
        for (int k = 0; k < r->lanes; k++)
            if (r->lane[k].first && !r->lane[k].done) lane_advance(r, &r->lane[k]);
        return;
    }
    struct lane *l = &r->lane[i];
    l->in = TICKET_NONE;
    if (l->first)
        lane_returned(r, l);
    else
        wave_arrived(r, l);
}

enum { MOST_TICKETS = 4096 };

static void turn(struct rollout *r)
{
    ticket t[MOST_TICKETS];
    int n = 0;
    for (; n < r->lanes; n++) t[n] = r->lane[n].in;
    n += dispatch_tickets(r, t + n);
    bool alone = r->lane[0].first && r->lane[0].last && r->lane[0].n_outstanding > 0;
    if (!alone) {
        die_place("rollout: waiting for a wave or a question");
        int i = p2p_wait_any(r->p2p, t, n);
        INVARIANT(i >= 0, "%d tickets, none open", n);
        arrived(r, i);
        return;
    }
    for (int i = r->lanes; i < n; i++)
        if (p2p_test(r->p2p, t[i])) {
            arrived(r, i);
            break; /* the tickets have changed */
        }
    turn_alone(r);
}

/* Waves come as they may. */
static void turns_run(struct rollout *r)
{
    for (int i = 0; i < r->lanes; i++) lane_open(r, &r->lane[i]);
    while (!all_done(r)) {
        watchdog_feed();
        turn(r);
    }
}

static void lead(struct rollout *r)
{
    dispatch_start(r);
    (r->actor->mesh->ep > 1 ? rounds_run : turns_run)(r);
    dispatch_close(r);
    follow_tell_end(r);
}

static void run_all(struct rollout *r)
{
    if (follow_is_first(r))
        lead(r);
    else
        follow_run(r);
    for (int i = 0; i < r->lanes; i++) lane_close(r, &r->lane[i]);
    die_place(NULL);
}

/* --- gathering: index, n, truncated, tokens, log-probabilities, as words --- */

static int pack_mine(struct rollout *r, int answers)
{
    int *out = r->gather_send, n = 0;
    for (int i = 0; i < answers; i++) {
        if (!r->mine[i]) continue;
        const struct answer *a = &r->answer[i];
        out[n++] = i;
        out[n++] = a->n;
        out[n++] = a->truncated;
        memcpy(out + n, a->token, (size_t)a->n * sizeof(int));
        n += a->n;
        memcpy(out + n, a->logp, (size_t)a->n * sizeof(float));
        n += a->n;
    }
    return n;
}

static int unpack_all(struct rollout *r, int words)
{
    const int *in = r->gather_all;
    int found = 0;
    for (int n = 0; n < words; found++) {
        struct answer *a = &r->answer[in[n]];
        a->n = in[n + 1];
        a->truncated = in[n + 2] != 0;
        n += 3;
        memcpy(a->token, in + n, (size_t)a->n * sizeof(int));
        n += a->n;
        memcpy(a->logp, in + n, (size_t)a->n * sizeof(float));
        n += a->n;
    }
    return found;
}

static long gather(struct rollout *r, int answers)
{
    int mine = pack_mine(r, answers), total = 0;
    MPI_OK(MPI_Allgather(&mine, 1, MPI_INT, r->gather_count, 1, MPI_INT, r->world->comm));
    for (int i = 0; i < r->world->size; i++) {
        r->gather_offset[i] = total;
        total += r->gather_count[i];
    }
    MPI_OK(MPI_Allgatherv(r->gather_send, mine, MPI_INT, r->gather_all, r->gather_count,
                          r->gather_offset, MPI_INT, r->world->comm));
    int found = unpack_all(r, total);
    INVARIANT(found == answers || r->job->stop, "%d answers of %d", found, answers);
    long tokens = 0;
    for (int i = 0; i < answers; i++) tokens += r->answer[i].n;
    return tokens;
}

/* Questions that are complete, up to the first that is not. */
static int count_whole(const struct rollout *r)
{
    int i = 0, answers = r->job->questions * r->job->samples;
    while (i < answers && r->answer[i].n > 0) i++;
    return i / r->job->samples;
}

int rollout_whole(const struct rollout *r)
{
    return r->whole;
}

const struct answer *rollout_run(struct rollout *r, const struct rollout_job *job,
                                 struct rollout_times *t)
{
    int answers = job->questions * job->samples;
    INVARIANT(answers <= r->max_answers && job->max_new <= r->max_new, "%d answers of %d, %d of %d",
              answers, r->max_answers, job->max_new, r->max_new);
    r->job = job;
    r->stopping = false;
    memset(r->mine, 0, (size_t)answers * sizeof *r->mine);
    double start = device_clock(r->actor->device);
    run_all(r);
    for (int i = 0; i < answers; i++)
        if (!r->mine[i]) r->answer[i].n = 0;
    long tokens = gather(r, answers);
    r->whole = count_whole(r);
    if (t) *t = (struct rollout_times){device_clock(r->actor->device) - start, tokens};
    return r->answer;
}
