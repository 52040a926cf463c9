#include "trainer/rollout/decoder.h"
#include <string.h>
#include "trainer/rollout/queue.h"
#include "trainer/rollout/room.h"

static int prompt_length(const struct rollout *r, int question)
{
    return r->job->question[question].n;
}

/* Until the next is asked for: no rank keeps the prompts of all that it answers. */
static const int *prompt_of(const struct rollout *r, int question)
{
    const struct rollout_job *j = r->job;
    return j->prompt ? j->prompt(j->prompt_context, question) : j->question[question].token;
}

static void add_row(struct decoder *d, struct decode_batch *b, struct decode_batch_row row,
                    int token)
{
    INVARIANT(b->head->rows < d->rows_max, "%d rows", b->head->rows);
    b->token[b->head->rows] = token;
    b->row[b->head->rows++] = row;
}

/* --- starting answers --- */

/* Room for it on this rank: that of answers dropped by a stop is not used again. */
static void hold(struct rollout *r, int answer)
{
    size_t at = (size_t)r->held * (size_t)r->room.max_new;
    INVARIANT(r->held < r->most_held, "more than %d answers", r->most_held);
    r->held++;
    r->answer[answer] = (struct answer){.turns = r->job->environment.turn_ended != NULL,
                                        .token = r->held_token + at,
                                        .logp = r->held_logp + at};
}

/* The oldest question whose prompt is wholly in the cache; the ring drops it with its last
 * answer. */
static bool start_answer(struct rollout *r, struct decoder *d, int slot)
{
    if (d->groups == 0) return false;
    struct group *g = group_at(d, 0);
    int shared = shared_positions(r, g->question);
    if (g->filled < shared || !room_start(r, d, slot)) return false;
    int answer = g->question * r->job->samples + g->next_sample++;
    if (g->last < 0) g->last = prompt_of(r, g->question)[shared]; /* of one token: nobody read it */
    d->slot[slot] = (struct decode_slot){.answer = answer,
                                         .pos = shared,
                                         .token = g->last,
                                         .last = g->last,
                                         .filled = shared,
                                         .seen = shared,
                                         .number = d->started++};
    hold(r, answer);
    if (g->next_sample == r->job->samples) {
        room_release(d, g->slot);
        d->free_prompt_slot[d->n_free_prompt_slots++] = g->slot;
        d->group_from = (d->group_from + 1) % d->max_groups;
        d->groups--;
    }
    return true;
}

static void refill(struct rollout *r, struct decoder *d, const struct decode_batch *b)
{
    int base = b->head->batch * d->batch_slots;
    for (int s = base; s < base + d->batch_slots; s++)
        if (d->slot[s].answer < 0 && !start_answer(r, d, s)) return;
}

/* G: samples of a question. */
static void add_sampled_rows(struct decoder *d, struct decode_batch *b, int G)
{
    int base = b->head->batch * d->batch_slots;
    for (int s = base; s < base + d->batch_slots; s++) {
        struct decode_slot *k = &d->slot[s];
        if (!room_ready(k)) continue;
        k->filled++;
        if (k->seen < k->filled) k->seen = k->filled;
        add_row(d, b, (struct decode_batch_row){s, k->pos, k->answer / G, k->answer % G}, k->token);
    }
    b->head->sampled = b->head->rows;
}

/* --- reading prompts ahead --- */

/* Answers that could start at once, counting prompts on their way into the cache. */
static int answers_ahead(struct rollout *r, struct decoder *d)
{
    int n = 0;
    for (int i = 0; i < d->groups; i++) n += r->job->samples - group_at(d, i)->next_sample;
    return n;
}

static bool take_question(struct rollout *r, struct decoder *d)
{
    if (d->groups == d->max_groups || d->n_free_prompt_slots == 0) return false;
    int q = queue_take(r, d);
    if (q < 0) return false;
    *group_at(d, d->groups) = (struct group){
        .question = q, .slot = d->free_prompt_slot[--d->n_free_prompt_slots], .last = -1};
    d->groups++;
    return true;
}

/* Prompts that will be read, by this batch or others, have room. */
static void take_prompts(struct rollout *r, struct decoder *d)
{
    while (d->waiting == 0 && answers_ahead(r, d) < d->batch_slots && take_question(r, d)) {
    }
    for (int i = 0; i < d->groups && room_prompt(r, d, i); i++) {
    }
}

/* --- rows without a token --- */

/* One after the other, so that a prompt is asked for once, or once more where the rows of a batch
 * end within it. */
static void read_prompt(struct rollout *r, struct decoder *d, struct decode_batch *b,
                        struct group *g)
{
    int shared = shared_positions(r, g->question);
    if (g->filled == shared || b->head->rows == d->rows_max) return;
    const int *token = prompt_of(r, g->question);
    g->last = token[shared];
    while (g->filled < shared && b->head->rows < d->rows_max) {
        add_row(d, b, (struct decode_batch_row){g->slot, g->filled, g->question, -1},
                token[g->filled]);
        g->filled++;
        d->read_again += g->again;
    }
}

/* What an answer has observed; or had read and written before it was set aside: its prompt, whose
 * last token the slot has, unless another answer lends it, and its own tokens. */
static void read_answer(struct rollout *r, struct decoder *d, struct decode_batch *b, int slot)
{
    struct decode_slot *k = &d->slot[slot];
    int question = k->answer / r->job->samples, n = prompt_length(r, question);
    bool reads = k->filled < k->pos && b->head->rows < d->rows_max;
    const int *prompt = reads && k->filled < n - 1 ? prompt_of(r, question) : NULL;
    const int *written = r->answer[k->answer].token;
    while (k->filled < k->pos && b->head->rows < d->rows_max) {
        int pos = k->filled++;
        int token = pos >= n ? written[pos - n] : prompt && pos < n - 1 ? prompt[pos] : k->last;
        add_row(d, b, (struct decode_batch_row){slot, pos, question, -1}, token);
        d->read_again += pos < k->seen;
        if (k->seen <= pos) k->seen = pos + 1;
    }
}

static void read_more(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    int base = b->head->batch * d->batch_slots;
    for (int s = base; s < base + d->batch_slots; s++)
        if (d->slot[s].answer >= 0 && !d->slot[s].waits) read_answer(r, d, b, s);
    for (int i = 0; i < d->groups && b->head->rows < d->rows_max; i++) {
        struct group *g = group_at(d, i);
        if (d->cache.length[g->slot] > 0) read_prompt(r, d, b, g);
    }
}

/* --- batches --- */

/* The slot has no answer any more. */
static void give_up(struct decode_slot *k, struct decoder *d)
{
    d->running -= !k->waits;
    d->waiting -= k->waits;
    d->asking -= k->asks;
    *k = (struct decode_slot){.answer = -1};
}

/* A job that stops: what this batch was answering is given up, and no question is under way any
 * more. */
static void drop(struct rollout *r, struct decoder *d, const struct decode_batch *b)
{
    int base = b->head->batch * d->batch_slots;
    for (int s = base; s < base + d->batch_slots; s++) {
        if (d->slot[s].answer < 0) continue;
        r->answer[d->slot[s].answer] = (struct answer){.n = 0};
        give_up(&d->slot[s], d);
    }
    d->groups = 0;
}

static void add_rows(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    room_grow(d, b);
    room_resume(r, d, b);
    refill(r, d, b);
    add_sampled_rows(d, b, r->job->samples);
    take_prompts(r, d);
    read_more(r, d, b);
    if (b->head->rows > 0) return;
    refill(r, d, b); /* prompts of one token are read by their answers: those may start */
    add_sampled_rows(d, b, r->job->samples);
}

bool decoder_fill(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    decode_batch_reuse(r, b);
    *b->head = (struct decode_batch_head){.batch = (int)(b - d->batch)};
    if (rollout_stops(r)) {
        drop(r, d, b);
        return false;
    }
    add_rows(r, d, b);
    if (b->head->rows == 0) return false;
    room_tell(d, b);
    d->outstanding[d->n_outstanding++] = b->head->batch;
    return true;
}

/* The listener hears of an answer before its slot is free for the next. */
static void finish(struct rollout *r, struct decoder *d, int slot)
{
    struct decode_slot *k = &d->slot[slot];
    const struct rollout_listener *who = &r->job->listener;
    if (who->finished) who->finished(who->context, k->answer, &r->answer[k->answer]);
    room_release(d, slot);
    give_up(k, d);
}

/* For this number of tokens more, in the answer and among the positions. */
static bool has_room(const struct rollout *r, const struct decode_slot *k, int tokens)
{
    return r->answer[k->answer].n + tokens <= r->job->max_new &&
           k->pos + tokens < r->stage->dims.max_context;
}

/* Truncated: no room for another token. With an environment the end of a turn is not the answer's,
 * unless it says so. */
static void record_token(struct rollout *r, struct decoder *d, const struct decode_batch_row *row,
                         struct sampled s)
{
    struct decode_slot *k = &d->slot[row->slot];
    struct answer *a = &r->answer[k->answer];
    a->token[a->n] = s.token;
    a->logp[a->n++] = s.logp;
    k->pos++;
    k->token = s.token;
    bool ended = ends_have(&r->job->ends, s.token);
    const struct rollout_environment *e = &r->job->environment;
    if (e->turn_ended && e->turn_ended(e->context, k->answer, a, ended)) {
        k->asks = true;
        d->asking++;
        return;
    }
    a->truncated = !ended && !has_room(r, k, 1);
    if (ended || a->truncated) finish(r, d, row->slot);
}

/* An observation needs room for a token behind it. Its tokens are read by the rows of one that was
 * set aside (read_answer), the last by the row that is sampled next. */
static void take_observation(struct rollout *r, struct decoder *d, int slot,
                             const struct observation *o)
{
    struct decode_slot *k = &d->slot[slot];
    struct answer *a = &r->answer[k->answer];
    k->asks = false;
    d->asking--;
    a->truncated = o->ends ? o->truncated : !has_room(r, k, o->n + 1);
    if (o->ends || a->truncated) {
        finish(r, d, slot);
        return;
    }
    for (int i = 0; i < o->n; i++) {
        a->token[a->n] = o->token[i];
        a->logp[a->n++] = LOGP_OBSERVED;
    }
    a->observed += o->n;
    a->turns++;
    k->pos += o->n;
    k->token = a->token[a->n - 1];
}

static bool take(struct rollout *r, const struct observation *o)
{
    for (int i = 0; i < r->decoders; i++) {
        struct decoder *d = &r->decoder[i];
        int slots = d->first ? d->n_batches * d->batch_slots : 0;
        for (int s = 0; s < slots; s++) {
            if (!d->slot[s].asks || d->slot[s].answer != o->answer) continue;
            take_observation(r, d, s, o);
            return true;
        }
    }
    return false;
}

bool decoder_asks(const struct rollout *r)
{
    for (int i = 0; i < r->decoders; i++)
        if (r->decoder[i].first && r->decoder[i].asking > 0) return true;
    return false;
}

/* One that comes for an answer that a stop has dropped is nobody's. */
bool decoder_observe(struct rollout *r, int wait_ms)
{
    const struct rollout_environment *e = &r->job->environment;
    struct observation o;
    bool some = false;
    while (decoder_asks(r) && e->observe(e->context, some ? 0 : wait_ms, &o))
        some = take(r, &o) || some;
    return some;
}

int decoder_record(struct rollout *r, struct decoder *d)
{
    int i = d->outstanding[0];
    d->n_outstanding--;
    memmove(d->outstanding, d->outstanding + 1, (size_t)d->n_outstanding * sizeof *d->outstanding);
    const struct decode_batch *b = &d->batch[i];
    for (int t = 0; t < b->head->sampled; t++) record_token(r, d, &b->row[t], d->back[t]);
    d->in = TICKET_NONE;
    return i;
}

void decoder_clear(struct decoder *d)
{
    int P = d->n_batches * d->batch_slots;
    for (int s = 0; s < P; s++) d->slot[s] = (struct decode_slot){.answer = -1};
    room_clear(d);
    d->groups = d->group_from = d->n_outstanding = 0;
    d->n_free_prompt_slots = d->max_groups;
    for (int i = 0; i < d->max_groups; i++) d->free_prompt_slot[i] = P + d->max_groups - 1 - i;
    for (int i = 0; i < d->n_batches; i++) d->batch[i].idle = true;
}
