/* What every stage does with a decode batch: keep its cache in step, run its chunk, pass the rows
 * on. */
#include "trainer/rollout/decode_batch.h"
#include <string.h>
#include "trainer/rollout/inside.h"
#include "trainer/rollout/there.h"

size_t decode_batch_pack(const struct decode_batch *b, unsigned char *to)
{
    size_t rows = (size_t)b->head->rows * sizeof *b->row,
           events = (size_t)b->head->events * sizeof *b->event;
    memcpy(to, b->head, sizeof *b->head);
    memcpy(to + sizeof *b->head, b->row, rows);
    memcpy(to + sizeof *b->head + rows, b->event, events);
    return sizeof *b->head + rows + events;
}

static void unpack(struct decode_batch *b, const unsigned char *from)
{
    memcpy(b->head, from, sizeof *b->head);
    size_t rows = (size_t)b->head->rows * sizeof *b->row,
           events = (size_t)b->head->events * sizeof *b->event;
    memcpy(b->row, from + sizeof *b->head, rows);
    memcpy(b->event, from + sizeof *b->head + rows, events);
}

/* What the rank that decides did to its own cache (room.h), which never had fewer blocks in use
 * than this one. */
static void keep_cache(struct decoder *d, const struct decode_batch *b)
{
    for (int i = 0; i < b->head->events; i++) {
        const struct event *e = &b->event[i];
        if (e->kind == EVENT_RELEASE) cache_release(&d->cache, e->slot);
        if (e->kind == EVENT_FORK)
            INVARIANT(cache_fork(&d->cache, e->slot, e->from, e->positions),
                      "no cache block left for slot %d", e->slot);
    }
    for (int t = 0; t < b->head->rows; t++)
        INVARIANT(cache_extend(&d->cache, b->row[t].slot, b->row[t].pos),
                  "no cache block left for slot %d at position %d", b->row[t].slot, b->row[t].pos);
}

/* A batch at the last stage. */
struct drawing {
    struct rollout *r;
    struct decoder *d;
    const struct decode_batch *b;
};

/* The draw of row i depends on what it is of alone (P3). */
static double uniform_of(const struct drawing *w, int i)
{
    const struct rollout_job *j = w->r->job;
    const struct decode_batch_row *row = &w->b->row[i];
    struct rng_at at = {j->purpose, j->step, (uint32_t)(j->first + row->question),
                        (uint32_t)row->sample, (uint32_t)row->pos + 1};
    return rng_uniform(j->seed, at);
}

/* The device first; the host those rows that it leaves. */
static void draw_rows(void *ctx, const float *logits, int from, int n)
{
    const struct drawing *w = ctx;
    const struct rollout_job *j = w->r->job;
    double *u = w->d->there.host_u;
    int *target = w->d->target + from, left = 0;
    for (int t = 0; t < n; t++) u[t] = uniform_of(w, from + t);
    there_draw(w->r, w->d, logits, from, n);
    for (int t = 0; t < n; t++) {
        if (target[t] >= 0) continue;
        left++;
        target[t] = sample_token(w->r->host_ops, there_logits(w->r, w->d, logits, t), j->sampleable,
                                 &j->sampling, u[t], w->d->scratch);
    }
    if (left > 0) there_drawn(w->r, w->d, from, n);
}

size_t decode_batch_back_bytes(const struct decode_batch *b)
{
    /* a batch of prompts only returns one empty entry, so that every batch returns */
    return sizeof(struct sampled) * (size_t)(b->head->sampled > 0 ? b->head->sampled : 1);
}

static void finish_last(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    int i = b->head->batch;
    struct sampled *out = d->first ? d->back : d->out + (size_t)i * (size_t)d->batch_slots;
    if (b->head->rows == 0) return;
    if (!d->first) p2p_wait(r->p2p, d->out_sent[i]);
    for (int t = 0; t < b->head->sampled; t++) out[t] = (struct sampled){d->target[t], d->logp[t]};
    if (!d->first && rollout_leads(r))
        d->out_sent[i] =
            p2p_send(r->p2p, d->head_rank, TAG_BACK + d->dir, out, decode_batch_back_bytes(b));
}

static void send_head(struct rollout *r, const struct decoder *d, struct decode_batch *b)
{
    b->sent[0] = p2p_send(r->p2p, d->next, TAG_HEAD + d->next_number, b->packed,
                          decode_batch_pack(b, b->packed));
}

static void send_on(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    size_t bytes = (size_t)b->head->rows * (size_t)r->stage->dims.C * r->stage->ops->real_bytes;
    if (rollout_leads(r)) send_head(r, d, b);
    if (bytes > 0) b->sent[1] = p2p_send(r->p2p, d->next, TAG_ACT + d->next_number, b->act, bytes);
}

/* Rows that only fill the cache come first: the head skips them. At temperature 0 nothing is drawn
 * and logits keep their scale. */
void decode_batch_run(struct rollout *r, struct decoder *d, struct decode_batch *b, const void *in)
{
    if (!d->first || !rollout_leads(r)) keep_cache(d, b); /* who decides has done so: room.c */
    for (int t = 0; t < b->head->rows; t++) {
        d->row_pos[t] = b->row[t].pos;
        d->row_table[t] = cache_table(&d->cache, b->row[t].slot);
    }
    there_send(r, d, b, in);
    struct decode_rows rows = {.T = b->head->rows,
                               .skip = b->head->rows - b->head->sampled,
                               .channel = d->number,
                               .token = d->there.token,
                               .kv = {d->there.pos, d->there.table}};
    float temperature = r->job->sampling.temperature;
    struct drawing batch = {r, d, b};
    const struct head_draw draw = {.draw = draw_rows,
                                   .ctx = &batch,
                                   .target = d->there.target,
                                   .logp = d->there.logp,
                                   .entropy = d->there.entropy,
                                   .inv_temperature = temperature > 0 ? 1 / temperature : 1};
    chunk_decode(d->local->model, &rows, &d->cache, d->there.in,
                 d->last ? NULL : there_out(r, d, b), &draw);
    there_fetch(r, d, b);
    stage_pace(r->stage, 1);
    if (d->last)
        finish_last(r, d, b);
    else
        send_on(r, d, b);
}

void decode_batch_reuse(struct rollout *r, struct decode_batch *b)
{
    p2p_wait(r->p2p, b->sent[0]);
    p2p_wait(r->p2p, b->sent[1]);
    b->sent[0] = b->sent[1] = TICKET_NONE;
}

void decode_batch_receive(struct rollout *r, struct decoder *d, const struct decode_batch *b)
{
    size_t bytes = (size_t)b->head->rows * (size_t)r->stage->dims.C * r->stage->ops->real_bytes;
    if (bytes == 0) return; /* an empty batch, in lockstep */
    p2p_wait(r->p2p, p2p_recv(r->p2p, d->prev, TAG_ACT + d->number, d->act_in, bytes));
}

struct decode_batch *decode_batch_take(struct rollout *r, struct decoder *d,
                                       const unsigned char *packed)
{
    struct decode_batch_head head;
    memcpy(&head, packed, sizeof head);
    struct decode_batch *b = &d->batch[head.batch];
    decode_batch_reuse(r, b);
    unpack(b, packed);
    return b;
}

ticket decode_batch_expect(struct rollout *r, struct decoder *d)
{
    return p2p_recv_most(r->p2p, d->prev, TAG_HEAD + d->number, d->arrived, d->packed_most);
}

void decode_batch_send_end(struct rollout *r, struct decoder *d)
{
    struct decode_batch *b = &d->batch[0];
    *b->head = (struct decode_batch_head){.end = 1};
    send_head(r, d, b);
}
