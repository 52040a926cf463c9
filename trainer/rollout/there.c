#include "trainer/rollout/there.h"

static bool is_host(const struct stage *s)
{
    return s->device == &device_host;
}

/* On the host they are the decoder's own, and the batch's (there_send). */
void there_place(struct decoder *d, const struct stage *s, size_t act, struct arena *a)
{
    size_t rows = (size_t)d->rows_max, n = (size_t)d->batch_slots;
    d->there = (struct decoder_there){.pos = d->row_pos,
                                      .table = d->row_table,
                                      .target = d->target,
                                      .logp = d->logp,
                                      .entropy = d->entropy,
                                      .host_u = arena_take_n(arena_host(a), n, sizeof(double))};
    if (arena_host(a) == a) return;
    double *host_u = d->there.host_u;
    d->there = (struct decoder_there){
        .token = arena_take_n(a, rows, sizeof(int)),
        .pos = arena_take_n(a, rows, sizeof(int)),
        .table = arena_take_n(a, rows, sizeof *d->row_table),
        .target = arena_take_n(a, n, sizeof(int)),
        .logp = arena_take_n(a, n, sizeof(float)),
        .entropy = arena_take_n(a, n, sizeof(float)),
        .u = arena_take_n(a, n, sizeof(double)),
        .host_u = host_u,
        .in = arena_take(a, act),
        .out = arena_take(a, act),
        .logits = arena_take_n(arena_host(a), (size_t)s->dims.V, sizeof(float))};
}

static size_t act_bytes(const struct rollout *r, const struct decode_batch *b)
{
    return (size_t)b->head->rows * (size_t)r->stage->dims.C * r->stage->ops->real_bytes;
}

/* Tokens are read by the first stage alone. */
void there_send(struct rollout *r, struct decoder *d, const struct decode_batch *b, const void *in)
{
    const struct device *to = r->stage->device;
    size_t rows = (size_t)b->head->rows;
    if (is_host(r->stage)) {
        union {
            const void *in;
            void *out;
        } at = {.in = in};
        d->there.token = b->token;
        d->there.in = at.out;
        return;
    }
    if (d->first) to->copy_in(d->there.token, b->token, rows * sizeof(int));
    to->copy_in(d->there.pos, d->row_pos, rows * sizeof(int));
    to->copy_in(d->there.table, d->row_table, rows * sizeof *d->row_table);
    if (in) to->copy_in(d->there.in, in, act_bytes(r, b));
}

void *there_out(struct rollout *r, const struct decoder *d, const struct decode_batch *b)
{
    return is_host(r->stage) ? b->act : d->there.out;
}

/* The host's tables do not have the row, since sample_token is no slower. */
void there_draw(struct rollout *r, struct decoder *d, const float *logits, int from, int n)
{
    const struct ops *ops = r->stage->ops;
    const struct device *on = r->stage->device;
    for (int t = 0; t < n; t++) d->target[from + t] = -1;
    if (!ops->sample_rows) return;
    on->copy_in(d->there.u, d->there.host_u, (size_t)n * sizeof(double));
    ops->sample_rows(d->there.target + from, logits, d->there.u, &r->job->sampling, n,
                     r->stage->dims.V, r->job->sampleable);
    on->copy_out(d->target + from, d->there.target + from, (size_t)n * sizeof(int));
}

/* One row after the other: there is room for one. */
const float *there_logits(struct rollout *r, struct decoder *d, const float *logits, int t)
{
    size_t V = (size_t)r->stage->dims.V;
    const float *row = logits + (size_t)t * V;
    if (is_host(r->stage)) return row;
    r->stage->device->copy_out(d->there.logits, row, V * sizeof *row);
    return d->there.logits;
}

void there_drawn(struct rollout *r, struct decoder *d, int from, int n)
{
    if (is_host(r->stage)) return;
    r->stage->device->copy_in(d->there.target + from, d->target + from, (size_t)n * sizeof(int));
}

void there_fetch(struct rollout *r, struct decoder *d, const struct decode_batch *b)
{
    const struct device *from = r->stage->device;
    if (is_host(r->stage)) return;
    if (d->last)
        from->copy_out(d->logp, d->there.logp, (size_t)b->head->sampled * sizeof(float));
    else
        from->copy_out(b->act, d->there.out, act_bytes(r, b));
}
