#include "trainer/rollout/decoder.h"
#include <string.h>
#include "trainer/rollout/queue.h"

static const struct question *question_of(const struct rollout *r, const struct group *g)
{
    return &r->job->question[g->question];
}

/* Positions of the prompt that all answers share: all but its last token, which every answer
 * reads itself. */
static int shared_positions(const struct rollout *r, const struct group *g)
{
    return question_of(r, g)->n - 1;
}

static struct group *group_at(struct decoder *d, int i)
{
    return &d->group[(d->group_from + i) % d->max_groups];
}

static void add_event(struct decoder *d, struct decode_batch *b, struct event e)
{
    INVARIANT(b->head->events < d->events_max, "%d events", b->head->events);
    b->event[b->head->events++] = e;
}

static void add_row(struct decoder *d, struct decode_batch *b, struct decode_batch_row row,
                    int token)
{
    INVARIANT(b->head->rows < d->rows_max, "%d rows", b->head->rows);
    b->token[b->head->rows] = token;
    b->row[b->head->rows++] = row;
}

/* --- starting answers --- */

/* The oldest question whose prompt is wholly in the cache; the ring drops it with its last
 * answer. */
static bool start_answer(struct rollout *r, struct decoder *d, struct decode_batch *b, int slot)
{
    if (d->groups == 0) return false;
    struct group *g = group_at(d, 0);
    int shared = shared_positions(r, g);
    if (g->filled < shared) return false;
    if (shared > 0) add_event(d, b, (struct event){EVENT_FORK, slot, g->slot, shared});
    int answer = g->question * r->job->samples + g->next_sample++;
    d->slot[slot] = (struct decode_slot){answer, shared, question_of(r, g)->token[shared]};
    r->answer[answer].n = 0;
    r->answer[answer].truncated = false;
    r->mine[answer] = true;
    if (g->next_sample == r->job->samples) {
        add_event(d, b, (struct event){.kind = EVENT_RELEASE, .slot = g->slot});
        d->free_prompt_slot[d->n_free_prompt_slots++] = g->slot;
        d->group_from = (d->group_from + 1) % d->max_groups;
        d->groups--;
    }
    return true;
}

static void refill(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    int base = b->head->batch * d->batch_slots;
    for (int s = base; s < base + d->batch_slots; s++)
        if (d->slot[s].answer < 0 && !start_answer(r, d, b, s)) return;
}

static void add_sampled_rows(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    int base = b->head->batch * d->batch_slots, G = r->job->samples;
    for (int s = base; s < base + d->batch_slots; s++) {
        const struct decode_slot *k = &d->slot[s];
        if (k->answer < 0) continue;
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
    *group_at(d, d->groups) =
        (struct group){q, d->free_prompt_slot[--d->n_free_prompt_slots], 0, 0};
    d->groups++;
    return true;
}

static void read_prompt(struct rollout *r, struct decoder *d, struct decode_batch *b,
                        struct group *g)
{
    const struct question *q = question_of(r, g);
    while (g->filled < q->n - 1 && b->head->rows < d->rows_max) {
        add_row(d, b, (struct decode_batch_row){g->slot, g->filled, g->question, -1},
                q->token[g->filled]);
        g->filled++;
    }
}

static void read_ahead(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    while (answers_ahead(r, d) < d->batch_slots && take_question(r, d)) {
    }
    for (int i = 0; i < d->groups && b->head->rows < d->rows_max; i++)
        read_prompt(r, d, b, group_at(d, i));
}

/* --- batches --- */

/* A job that stops: what this batch was answering is given up, and no question is under way any
 * more. */
static void drop(struct rollout *r, struct decoder *d, const struct decode_batch *b)
{
    int base = b->head->batch * d->batch_slots;
    for (int s = base; s < base + d->batch_slots; s++) {
        if (d->slot[s].answer >= 0) r->mine[d->slot[s].answer] = false;
        d->slot[s].answer = -1;
    }
    d->groups = 0;
}

bool decoder_fill(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    decode_batch_reuse(r, b);
    /* releases recorded by decoder_record stay in front */
    b->head->batch = (int)(b - d->batch);
    b->head->rows = b->head->sampled = b->head->end = 0;
    if (rollout_stops(r)) {
        drop(r, d, b);
        return false;
    }
    refill(r, d, b);
    add_sampled_rows(r, d, b);
    read_ahead(r, d, b);
    if (b->head->rows == 0) { /* prompts of one token are read by their answers: those may start */
        refill(r, d, b);
        add_sampled_rows(r, d, b);
    }
    if (b->head->rows == 0) return false;
    d->outstanding[d->n_outstanding++] = b->head->batch;
    return true;
}

static void record_token(struct rollout *r, struct decoder *d, struct decode_batch *b,
                         const struct decode_batch_row *row, struct sampled s)
{
    struct decode_slot *k = &d->slot[row->slot];
    struct answer *a = &r->answer[k->answer];
    a->token[a->n] = s.token;
    a->logp[a->n++] = s.logp;
    k->pos++;
    k->token = s.token;
    bool ended = s.token == r->job->eos;
    a->truncated = !ended && (a->n == r->job->max_new || k->pos + 1 >= r->stage->dims.max_context);
    if (!ended && !a->truncated) return;
    const struct rollout_listener *who = &r->job->listener;
    if (who->finished) who->finished(who->context, k->answer, a);
    k->answer = -1;
    add_event(d, b, (struct event){.kind = EVENT_RELEASE, .slot = row->slot});
}

int decoder_record(struct rollout *r, struct decoder *d)
{
    int i = d->outstanding[0];
    d->n_outstanding--;
    memmove(d->outstanding, d->outstanding + 1, (size_t)d->n_outstanding * sizeof *d->outstanding);
    struct decode_batch *b = &d->batch[i];
    b->head->events = 0;
    for (int t = 0; t < b->head->sampled; t++) record_token(r, d, b, &b->row[t], d->back[t]);
    d->in = TICKET_NONE;
    return i;
}

void decoder_clear(struct decoder *d)
{
    int P = d->n_batches * d->batch_slots;
    for (int s = 0; s < P; s++) d->slot[s].answer = -1;
    d->groups = d->group_from = d->n_outstanding = 0;
    d->n_free_prompt_slots = d->max_groups;
    for (int i = 0; i < d->max_groups; i++) d->free_prompt_slot[i] = P + d->max_groups - 1 - i;
    for (int i = 0; i < d->n_batches; i++) {
        d->batch[i].head->events = 0;
        d->batch[i].idle = true;
    }
}
