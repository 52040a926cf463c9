#include "trainer/rollout/turns.h"
#include "trainer/rollout/queue.h"
#include "trainer/rollout/tp_follow.h"
#include "trainer/rollout/decoder.h"

/* --- the first stage of a direction --- */

static void launch(struct rollout *r, struct decoder *d, int i)
{
    struct decode_batch *b = &d->batch[i];
    b->idle = !decoder_fill(r, d, b);
    if (!b->idle) tp_follow_lead(r, d, b, NULL);
}

/* The sampled tokens of the oldest batch come from the last stage; on one stage they are there
 * already. */
static void expect_return(struct rollout *r, struct decoder *d)
{
    if (d->last || d->n_outstanding == 0 || d->in != TICKET_NONE) return;
    const struct decode_batch *b = &d->batch[d->outstanding[0]];
    d->in = p2p_recv(r->p2p, d->tail_rank, TAG_BACK + d->dir, d->back, decode_batch_back_bytes(b));
}

/* Tries the idle batches; ends the direction when there is nothing left. */
static void advance(struct rollout *r, struct decoder *d)
{
    for (int i = 0; i < d->n_batches; i++)
        if (d->batch[i].idle) launch(r, d, i);
    expect_return(r, d);
    if (d->n_outstanding > 0 || d->asking > 0 || d->done) return;
    INVARIANT(d->groups == 0 && d->waiting == 0, "%d questions, %d answers wait, and nothing moves",
              d->groups, d->waiting);
    /* Everything is idle: either the queue has not answered yet, or there is nothing left. A job
     * that stops drops a question that has come. */
    int q = queue_take(r, d);
    INVARIANT(q < 0 || r->stopping, "question %d came when all batches were idle", q);
    if (q >= 0) q = queue_take(r, d);
    if (q != QUEUE_NONE) return;
    if (!d->last) decode_batch_send_end(r, d);
    d->done = true;
}

/* Sampled tokens of the oldest batch under way are in d->back. */
static void returned(struct rollout *r, struct decoder *d)
{
    launch(r, d, decoder_record(r, d));
    advance(r, d);
}

/* --- the others --- */

/* A batch is in d->arrived. */
static void carry_on(struct rollout *r, struct decoder *d)
{
    struct decode_batch *b = decode_batch_take(r, d, d->arrived);
    if (b->head->end) {
        d->in = TICKET_NONE;
        if (!d->last) decode_batch_send_end(r, d);
        d->done = true;
        return;
    }
    decode_batch_receive(r, d, b);
    d->in = decode_batch_expect(r, d);
    tp_follow_lead(r, d, b, d->act_in);
}

/* --- the loop --- */

static void decoder_open(struct rollout *r, struct decoder *d)
{
    d->done = false;
    d->in = TICKET_NONE;
    if (d->first) {
        decoder_clear(d);
        advance(r, d);
    } else {
        d->in = decode_batch_expect(r, d);
    }
}

static bool all_done(const struct rollout *r)
{
    for (int i = 0; i < r->decoders; i++)
        if (!r->decoder[i].done) return false;
    return queue_done(r);
}

/* On one stage a batch's tokens are there when decode_batch_run returns: no message. */
static bool is_alone(const struct decoder *d)
{
    return d->first && d->last && d->n_outstanding > 0;
}

static void arrived(struct rollout *r, struct decoder *d)
{
    d->in = TICKET_NONE;
    if (d->first)
        returned(r, d);
    else
        carry_on(r, d);
}

/* What has come may serve whichever first stage of this rank has idle batches. */
static void advance_all(struct rollout *r)
{
    for (int k = 0; k < r->decoders; k++)
        if (r->decoder[k].first && !r->decoder[k].done) advance(r, &r->decoder[k]);
}

static void queue_came(struct rollout *r, int i)
{
    queue_arrived(r, i);
    advance_all(r);
}

/* A pipeline of one stage never waits: its tokens are there, and what came for the queue is only
 * looked for. */
static void turn_alone(struct rollout *r)
{
    ticket t[QUEUE_TICKETS];
    int n = queue_tickets(r, t);
    for (int i = 0; i < n; i++) /* those behind one that came stay what they are */
        if (p2p_take(r->p2p, t[i])) queue_came(r, i);
    returned(r, &r->decoder[0]);
}

/* A message will come in which a batch of this rank returns: no observation need be looked for. */
static bool is_under_way(const struct rollout *r)
{
    for (int k = 0; k < r->decoders; k++)
        if (r->decoder[k].first && r->decoder[k].n_outstanding > 0) return true;
    return false;
}

/* Which of the messages is there; -1: none, but an observation. No message tells of that, so each
 * is looked for in turn. A stop is heard of, too: it drops the answers that wait. */
static int wait_for_either(struct rollout *r, const ticket *t, int n)
{
    enum { WAIT_MS = 1 };
    die_place("rollout: waiting for an environment's observation");
    for (;;) {
        watchdog_feed();
        p2p_poll(r->p2p);
        for (int i = 0; i < n; i++)
            if (t[i] != TICKET_NONE && p2p_take(r->p2p, t[i])) return i;
        if (rollout_stops(r) || decoder_observe(r, WAIT_MS)) return -1;
    }
}

/* The queue first: others wait for it, while this rank may always have a decode batch to work on.
 */
static void turn(struct rollout *r)
{
    ticket t[QUEUE_TICKETS + 2];
    int questions = queue_tickets(r, t), n = questions;
    for (int k = 0; k < r->decoders; k++) t[n++] = r->decoder[k].in;
    bool either = decoder_asks(r) && !is_under_way(r);
    die_place("rollout: waiting for a decode batch or a question");
    int i = either ? wait_for_either(r, t, n) : p2p_wait_any(r->p2p, t, n);
    INVARIANT(i >= 0 || either, "%d tickets, none open", n);
    if (i < 0)
        advance_all(r);
    else if (i < questions)
        queue_came(r, i);
    else
        arrived(r, &r->decoder[i - questions]);
}

void turns_run(struct rollout *r)
{
    for (int i = 0; i < r->decoders; i++) decoder_open(r, &r->decoder[i]);
    while (!all_done(r)) {
        watchdog_feed();
        p2p_poll(r->p2p);
        if (decoder_observe(r, 0))
            advance_all(r);
        else
            (is_alone(&r->decoder[0]) ? turn_alone : turn)(r);
    }
}
