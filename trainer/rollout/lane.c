#include "trainer/rollout/lane.h"
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

static struct group *group_at(struct lane *l, int i)
{
    return &l->group[(l->group_from + i) % l->max_groups];
}

static void add_event(struct lane *l, struct wave *w, struct event e)
{
    INVARIANT(w->head->events < l->events_max, "%d events", w->head->events);
    w->event[w->head->events++] = e;
}

static void add_row(struct lane *l, struct wave *w, struct wave_row row, int token)
{
    INVARIANT(w->head->rows < l->rows_max, "%d rows", w->head->rows);
    w->token[w->head->rows] = token;
    w->row[w->head->rows++] = row;
}

/* --- starting answers --- */

/* The oldest question whose prompt is wholly in the cache; the ring drops it with its last
 * answer. */
static bool start_answer(struct rollout *r, struct lane *l, struct wave *w, int slot)
{
    if (l->groups == 0) return false;
    struct group *g = group_at(l, 0);
    int shared = shared_positions(r, g);
    if (g->filled < shared) return false;
    if (shared > 0) add_event(l, w, (struct event){EVENT_FORK, slot, g->slot, shared});
    int answer = g->question * r->job->samples + g->next_sample++;
    l->slot[slot] = (struct slot){answer, shared, question_of(r, g)->token[shared]};
    r->answer[answer].n = 0;
    r->answer[answer].truncated = false;
    r->mine[answer] = true;
    if (g->next_sample == r->job->samples) {
        add_event(l, w, (struct event){.kind = EVENT_RELEASE, .slot = g->slot});
        l->free_prompt_slot[l->n_free_prompt_slots++] = g->slot;
        l->group_from = (l->group_from + 1) % l->max_groups;
        l->groups--;
    }
    return true;
}

static void refill(struct rollout *r, struct lane *l, struct wave *w)
{
    int base = w->head->wave * l->wave_slots;
    for (int s = base; s < base + l->wave_slots; s++)
        if (l->slot[s].answer < 0 && !start_answer(r, l, w, s)) return;
}

static void add_sampled_rows(struct rollout *r, struct lane *l, struct wave *w)
{
    int base = w->head->wave * l->wave_slots, G = r->job->samples;
    for (int s = base; s < base + l->wave_slots; s++) {
        const struct slot *k = &l->slot[s];
        if (k->answer < 0) continue;
        add_row(l, w, (struct wave_row){s, k->pos, k->answer / G, k->answer % G}, k->token);
    }
    w->head->sampled = w->head->rows;
}

/* --- reading prompts ahead --- */

/* Answers that could start at once, counting prompts on their way into the cache. */
static int answers_ahead(struct rollout *r, struct lane *l)
{
    int n = 0;
    for (int i = 0; i < l->groups; i++) n += r->job->samples - group_at(l, i)->next_sample;
    return n;
}

static bool take_question(struct rollout *r, struct lane *l)
{
    if (l->groups == l->max_groups || l->n_free_prompt_slots == 0) return false;
    int q = queue_take(r, l);
    if (q < 0) return false;
    *group_at(l, l->groups) =
        (struct group){q, l->free_prompt_slot[--l->n_free_prompt_slots], 0, 0};
    l->groups++;
    return true;
}

static void read_prompt(struct rollout *r, struct lane *l, struct wave *w, struct group *g)
{
    const struct question *q = question_of(r, g);
    while (g->filled < q->n - 1 && w->head->rows < l->rows_max) {
        add_row(l, w, (struct wave_row){g->slot, g->filled, g->question, -1}, q->token[g->filled]);
        g->filled++;
    }
}

static void read_ahead(struct rollout *r, struct lane *l, struct wave *w)
{
    while (answers_ahead(r, l) < l->wave_slots && take_question(r, l)) {
    }
    for (int i = 0; i < l->groups && w->head->rows < l->rows_max; i++)
        read_prompt(r, l, w, group_at(l, i));
}

/* --- waves --- */

/* A job that stops: what this wave was answering is given up, and no question is under way any
 * more. */
static void drop(struct rollout *r, struct lane *l, const struct wave *w)
{
    int base = w->head->wave * l->wave_slots;
    for (int s = base; s < base + l->wave_slots; s++) {
        if (l->slot[s].answer >= 0) r->mine[l->slot[s].answer] = false;
        l->slot[s].answer = -1;
    }
    l->groups = 0;
}

bool lane_fill(struct rollout *r, struct lane *l, struct wave *w)
{
    wave_reuse(r, w);
    /* releases booked by lane_book stay in front */
    w->head->wave = (int)(w - l->wave);
    w->head->rows = w->head->sampled = w->head->end = 0;
    if (rollout_stops(r)) {
        drop(r, l, w);
        return false;
    }
    refill(r, l, w);
    add_sampled_rows(r, l, w);
    read_ahead(r, l, w);
    if (w->head->rows == 0) { /* prompts of one token are read by their answers: those may start */
        refill(r, l, w);
        add_sampled_rows(r, l, w);
    }
    if (w->head->rows == 0) return false;
    l->outstanding[l->n_outstanding++] = w->head->wave;
    return true;
}

static void book(struct rollout *r, struct lane *l, struct wave *w, const struct wave_row *row,
                 struct sampled s)
{
    struct slot *k = &l->slot[row->slot];
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
    add_event(l, w, (struct event){.kind = EVENT_RELEASE, .slot = row->slot});
}

int lane_book(struct rollout *r, struct lane *l)
{
    int i = l->outstanding[0];
    l->n_outstanding--;
    memmove(l->outstanding, l->outstanding + 1, (size_t)l->n_outstanding * sizeof *l->outstanding);
    struct wave *w = &l->wave[i];
    w->head->events = 0;
    for (int t = 0; t < w->head->sampled; t++) book(r, l, w, &w->row[t], l->back[t]);
    l->in = TICKET_NONE;
    return i;
}

void lane_clear(struct lane *l)
{
    int P = l->n_waves * l->wave_slots;
    for (int s = 0; s < P; s++) l->slot[s].answer = -1;
    l->groups = l->group_from = l->n_outstanding = 0;
    l->n_free_prompt_slots = l->max_groups;
    for (int i = 0; i < l->max_groups; i++) l->free_prompt_slot[i] = P + l->max_groups - 1 - i;
    for (int i = 0; i < l->n_waves; i++) {
        l->wave[i].head->events = 0;
        l->wave[i].parked = true;
    }
}
