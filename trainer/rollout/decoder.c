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

static void add_event(struct decoder *d, struct wave *w, struct event e)
{
    INVARIANT(w->head->events < d->events_max, "%d events", w->head->events);
    w->event[w->head->events++] = e;
}

static void add_row(struct decoder *d, struct wave *w, struct wave_row row, int token)
{
    INVARIANT(w->head->rows < d->rows_max, "%d rows", w->head->rows);
    w->token[w->head->rows] = token;
    w->row[w->head->rows++] = row;
}

/* --- starting answers --- */

/* The oldest question whose prompt is wholly in the cache; the ring drops it with its last
 * answer. */
static bool start_answer(struct rollout *r, struct decoder *d, struct wave *w, int slot)
{
    if (d->groups == 0) return false;
    struct group *g = group_at(d, 0);
    int shared = shared_positions(r, g);
    if (g->filled < shared) return false;
    if (shared > 0) add_event(d, w, (struct event){EVENT_FORK, slot, g->slot, shared});
    int answer = g->question * r->job->samples + g->next_sample++;
    d->slot[slot] = (struct slot){answer, shared, question_of(r, g)->token[shared]};
    r->answer[answer].n = 0;
    r->answer[answer].truncated = false;
    r->mine[answer] = true;
    if (g->next_sample == r->job->samples) {
        add_event(d, w, (struct event){.kind = EVENT_RELEASE, .slot = g->slot});
        d->free_prompt_slot[d->n_free_prompt_slots++] = g->slot;
        d->group_from = (d->group_from + 1) % d->max_groups;
        d->groups--;
    }
    return true;
}

static void refill(struct rollout *r, struct decoder *d, struct wave *w)
{
    int base = w->head->wave * d->wave_slots;
    for (int s = base; s < base + d->wave_slots; s++)
        if (d->slot[s].answer < 0 && !start_answer(r, d, w, s)) return;
}

static void add_sampled_rows(struct rollout *r, struct decoder *d, struct wave *w)
{
    int base = w->head->wave * d->wave_slots, G = r->job->samples;
    for (int s = base; s < base + d->wave_slots; s++) {
        const struct slot *k = &d->slot[s];
        if (k->answer < 0) continue;
        add_row(d, w, (struct wave_row){s, k->pos, k->answer / G, k->answer % G}, k->token);
    }
    w->head->sampled = w->head->rows;
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

static void read_prompt(struct rollout *r, struct decoder *d, struct wave *w, struct group *g)
{
    const struct question *q = question_of(r, g);
    while (g->filled < q->n - 1 && w->head->rows < d->rows_max) {
        add_row(d, w, (struct wave_row){g->slot, g->filled, g->question, -1}, q->token[g->filled]);
        g->filled++;
    }
}

static void read_ahead(struct rollout *r, struct decoder *d, struct wave *w)
{
    while (answers_ahead(r, d) < d->wave_slots && take_question(r, d)) {
    }
    for (int i = 0; i < d->groups && w->head->rows < d->rows_max; i++)
        read_prompt(r, d, w, group_at(d, i));
}

/* --- waves --- */

/* A job that stops: what this wave was answering is given up, and no question is under way any
 * more. */
static void drop(struct rollout *r, struct decoder *d, const struct wave *w)
{
    int base = w->head->wave * d->wave_slots;
    for (int s = base; s < base + d->wave_slots; s++) {
        if (d->slot[s].answer >= 0) r->mine[d->slot[s].answer] = false;
        d->slot[s].answer = -1;
    }
    d->groups = 0;
}

bool decoder_fill(struct rollout *r, struct decoder *d, struct wave *w)
{
    wave_reuse(r, w);
    /* releases booked by decoder_book stay in front */
    w->head->wave = (int)(w - d->wave);
    w->head->rows = w->head->sampled = w->head->end = 0;
    if (rollout_stops(r)) {
        drop(r, d, w);
        return false;
    }
    refill(r, d, w);
    add_sampled_rows(r, d, w);
    read_ahead(r, d, w);
    if (w->head->rows == 0) { /* prompts of one token are read by their answers: those may start */
        refill(r, d, w);
        add_sampled_rows(r, d, w);
    }
    if (w->head->rows == 0) return false;
    d->outstanding[d->n_outstanding++] = w->head->wave;
    return true;
}

static void book(struct rollout *r, struct decoder *d, struct wave *w, const struct wave_row *row,
                 struct sampled s)
{
    struct slot *k = &d->slot[row->slot];
    struct answer *a = &r->answer[k->answer];
    a->token[a->n] = s.token;
    a->logp[a->n++] = s.logp;
    k->pos++;
    k->token = s.token;
    bool ended = s.token == r->job->eos;
    a->truncated = !ended && (a->n == r->job->max_new || k->pos + 1 >= r->actor->dims.max_context);
    if (!ended && !a->truncated) return;
    const struct rollout_listener *who = &r->job->listener;
    if (who->finished) who->finished(who->context, k->answer, a);
    k->answer = -1;
    add_event(d, w, (struct event){.kind = EVENT_RELEASE, .slot = row->slot});
}

int decoder_book(struct rollout *r, struct decoder *d)
{
    int i = d->outstanding[0];
    d->n_outstanding--;
    memmove(d->outstanding, d->outstanding + 1, (size_t)d->n_outstanding * sizeof *d->outstanding);
    struct wave *w = &d->wave[i];
    w->head->events = 0;
    for (int t = 0; t < w->head->sampled; t++) book(r, d, w, &w->row[t], d->back[t]);
    d->in = TICKET_NONE;
    return i;
}

void decoder_clear(struct decoder *d)
{
    int P = d->n_waves * d->wave_slots;
    for (int s = 0; s < P; s++) d->slot[s].answer = -1;
    d->groups = d->group_from = d->n_outstanding = 0;
    d->n_free_prompt_slots = d->max_groups;
    for (int i = 0; i < d->max_groups; i++) d->free_prompt_slot[i] = P + d->max_groups - 1 - i;
    for (int i = 0; i < d->n_waves; i++) {
        d->wave[i].head->events = 0;
        d->wave[i].parked = true;
    }
}
