/* Decoding with tensor parallelism. Which decode batch runs when is decided by one rank, the first
 * of those that share a stage; it tells the others before each batch, so that all of them run the
 * same batches in the same order, and every exchange within the stage meets. The others get their
 * activations from the ranks with their own t of the stage before, and draw the same tokens from
 * the same logits; only the first records them. */
#include "trainer/rollout/tp_follow.h"
#include <string.h>

/* Followed in memory by the packed batch (room for the largest), and the input tokens. */
struct order {
    int decoder; /* on this rank; -1: this was all */
};

size_t tp_follow_bytes(const struct decoder *d)
{
    return sizeof(struct order) + d->packed_most + (size_t)d->rows_max * sizeof(int);
}

static size_t order_bytes(const struct rollout *r)
{
    size_t most = 0;
    for (int i = 0; i < r->decoders; i++) {
        size_t bytes = tp_follow_bytes(&r->decoder[i]);
        if (bytes > most) most = bytes;
    }
    return most;
}

void tp_follow_place(struct rollout *r, struct arena *a)
{
    if (r->stage->mesh->tp == 1) return;
    r->order = r->order_there = arena_take(arena_host(a), order_bytes(r));
    if (arena_host(a) != a) r->order_there = arena_take(a, order_bytes(r));
}

/* From the first rank to the others, by way of the stage's device, whose memory is exchanged. */
static void pass_on(struct rollout *r)
{
    struct exchange *x = r->stage->parallel.tp;
    const struct device *d = r->stage->device;
    const size_t count[MAX_TP] = {order_bytes(r)}, offset[MAX_TP] = {0};
    die_place("rollout: which decode batch comes next");
    if (r->order_there != r->order && rollout_leads(r))
        d->copy_in(r->order_there, r->order, count[0]);
    exchange_wait(x, exchange_all_gather(x, CHANNEL_DECODE, r->order_there, count, offset));
    if (r->order_there != r->order && !rollout_leads(r))
        d->copy_out(r->order, r->order_there, count[0]);
}

static void tell_batch(struct rollout *r, const struct decoder *d, const struct decode_batch *b)
{
    unsigned char *to = r->order + sizeof(struct order);
    *(struct order *)(void *)r->order = (struct order){d->number};
    decode_batch_pack(b, to);
    memcpy(to + d->packed_most, b->token, (size_t)b->head->rows * sizeof(int));
    pass_on(r);
}

void tp_follow_lead(struct rollout *r, struct decoder *d, struct decode_batch *b, const void *in)
{
    if (r->stage->mesh->tp > 1) tell_batch(r, d, b);
    decode_batch_run(r, d, b, in);
}

void tp_follow_end(struct rollout *r)
{
    if (r->stage->mesh->tp == 1) return;
    *(struct order *)(void *)r->order = (struct order){-1};
    pass_on(r);
}

static void run_told(struct rollout *r, struct decoder *d)
{
    const unsigned char *from = r->order + sizeof(struct order);
    struct decode_batch *b = decode_batch_take(r, d, from);
    memcpy(b->token, from + d->packed_most, (size_t)b->head->rows * sizeof(int));
    if (!d->first) decode_batch_receive(r, d, b);
    decode_batch_run(r, d, b, d->first ? NULL : d->act_in);
}

void tp_follow_run(struct rollout *r)
{
    for (;;) {
        watchdog_feed();
        pass_on(r);
        int decoder = ((const struct order *)(const void *)r->order)->decoder;
        if (decoder < 0) return;
        run_told(r, &r->decoder[decoder]);
    }
}
