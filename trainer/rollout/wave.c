/* What every stage does with a wave: keep its cache in step, run its chunk, pass the rows on. */
#include "trainer/rollout/wave.h"
#include <string.h>
#include "trainer/rollout/inside.h"

size_t wave_pack(const struct wave *w, unsigned char *to)
{
    size_t rows = (size_t)w->head->rows * sizeof *w->row,
           events = (size_t)w->head->events * sizeof *w->event;
    memcpy(to, w->head, sizeof *w->head);
    memcpy(to + sizeof *w->head, w->row, rows);
    memcpy(to + sizeof *w->head + rows, w->event, events);
    return sizeof *w->head + rows + events;
}

static void unpack(struct wave *w, const unsigned char *from)
{
    memcpy(w->head, from, sizeof *w->head);
    size_t rows = (size_t)w->head->rows * sizeof *w->row,
           events = (size_t)w->head->events * sizeof *w->event;
    memcpy(w->row, from + sizeof *w->head, rows);
    memcpy(w->event, from + sizeof *w->head + rows, events);
}

static void keep_cache(struct decoder *d, const struct wave *w)
{
    for (int i = 0; i < w->head->events; i++) {
        const struct event *e = &w->event[i];
        if (e->kind == EVENT_RELEASE) cache_release(&d->cache, e->slot);
        if (e->kind == EVENT_FORK)
            INVARIANT(cache_fork(&d->cache, e->slot, e->from, e->positions),
                      "no cache block left for slot %d", e->slot);
    }
    for (int t = 0; t < w->head->rows; t++)
        INVARIANT(cache_extend(&d->cache, w->row[t].slot, w->row[t].pos),
                  "no cache block left for slot %d at position %d", w->row[t].slot, w->row[t].pos);
}

static void sample_rows(struct rollout *r, struct decoder *d, const struct wave *w,
                        struct sampled *out)
{
    const struct rollout_job *j = r->job;
    int V = r->actor->dims.V, n = w->head->sampled;
    for (int t = 0; t < n; t++) {
        const struct wave_row *row = &w->row[t];
        struct rng_at at = {j->purpose, j->step, (uint32_t)(j->first + row->question),
                            (uint32_t)row->sample, (uint32_t)row->pos + 1};
        d->target[t] = sample_token(d->logits + (size_t)t * (size_t)V, j->sampleable, &j->sampling,
                                    rng_uniform(j->seed, at), d->scratch);
    }
    float inv = j->sampling.temperature > 0 ? 1 / j->sampling.temperature : 1;
    struct decode_logits drawn = {n, d->number, d->logits, d->target, inv};
    chunk_logprob(d->local->model, &drawn, d->logp, d->entropy);
    for (int t = 0; t < n; t++) out[t] = (struct sampled){d->target[t], d->logp[t]};
}

size_t wave_back_bytes(const struct wave *w)
{
    /* a wave of prompts only returns one empty entry, so that every wave returns */
    return sizeof(struct sampled) * (size_t)(w->head->sampled > 0 ? w->head->sampled : 1);
}

static void finish_last(struct rollout *r, struct decoder *d, struct wave *w)
{
    int i = w->head->wave;
    struct sampled *out = d->first ? d->back : d->out + (size_t)i * (size_t)d->wave_slots;
    if (w->head->rows == 0) return;
    if (!d->first) p2p_wait(r->p2p, d->out_sent[i]);
    sample_rows(r, d, w, out);
    if (!d->first && rollout_leads(r))
        d->out_sent[i] = p2p_send(r->p2p, d->head_rank, TAG_BACK + d->dir, out, wave_back_bytes(w));
}

static void send_head(struct rollout *r, const struct decoder *d, struct wave *w)
{
    w->sent[0] =
        p2p_send(r->p2p, d->next, TAG_HEAD + d->next_number, w->packed, wave_pack(w, w->packed));
}

static void send_on(struct rollout *r, struct decoder *d, struct wave *w)
{
    size_t bytes = (size_t)w->head->rows * (size_t)r->actor->dims.C * r->actor->ops->real_bytes;
    if (rollout_leads(r)) send_head(r, d, w);
    if (bytes > 0) w->sent[1] = p2p_send(r->p2p, d->next, TAG_ACT + d->next_number, w->act, bytes);
}

void wave_run(struct rollout *r, struct decoder *d, struct wave *w, const void *in)
{
    keep_cache(d, w);
    for (int t = 0; t < w->head->rows; t++) {
        d->row_pos[t] = w->row[t].pos;
        d->row_table[t] = cache_table(&d->cache, w->row[t].slot);
    }
    struct decode_rows rows = {.T = w->head->rows,
                               .skip = w->head->rows - w->head->sampled,
                               .lane = d->number,
                               .token = w->token,
                               .kv = {d->row_pos, d->row_table}};
    chunk_decode(d->local->model, &rows, &d->cache, in, d->last ? NULL : w->act, d->logits);
    actor_pace(r->actor, 1);
    if (d->last)
        finish_last(r, d, w);
    else
        send_on(r, d, w);
}

void wave_reuse(struct rollout *r, struct wave *w)
{
    p2p_wait(r->p2p, w->sent[0]);
    p2p_wait(r->p2p, w->sent[1]);
    w->sent[0] = w->sent[1] = TICKET_NONE;
}

void wave_receive(struct rollout *r, struct decoder *d, const struct wave *w)
{
    size_t bytes = (size_t)w->head->rows * (size_t)r->actor->dims.C * r->actor->ops->real_bytes;
    if (bytes == 0) return; /* an empty wave, in rounds */
    p2p_wait(r->p2p, p2p_recv(r->p2p, d->prev, TAG_ACT + d->number, d->act_in, bytes));
}

struct wave *wave_take(struct rollout *r, struct decoder *d, const unsigned char *packed)
{
    struct wave_head head;
    memcpy(&head, packed, sizeof head);
    struct wave *w = &d->wave[head.wave];
    wave_reuse(r, w);
    unpack(w, packed);
    return w;
}

ticket wave_expect(struct rollout *r, struct decoder *d)
{
    return p2p_recv_most(r->p2p, d->prev, TAG_HEAD + d->number, d->arrived, d->packed_most);
}

void wave_send_end(struct rollout *r, struct decoder *d)
{
    struct wave *w = &d->wave[0];
    *w->head = (struct wave_head){.end = 1};
    send_head(r, d, w);
}
