#include "trainer/rollout/turns.h"
#include "trainer/rollout/queue.h"
#include "trainer/rollout/follow.h"
#include "trainer/rollout/lane.h"

/* --- the first stage of a direction --- */

static void launch(struct rollout *r, struct lane *l, int i)
{
    struct wave *w = &l->wave[i];
    w->parked = !lane_fill(r, l, w);
    if (!w->parked) follow_lead(r, l, w, NULL);
}

/* The sampled tokens of the oldest wave come from the last stage; on one stage they are there
 * already. */
static void expect_return(struct rollout *r, struct lane *l)
{
    if (l->last || l->n_outstanding == 0 || l->in != TICKET_NONE) return;
    const struct wave *w = &l->wave[l->outstanding[0]];
    l->in = p2p_recv(r->p2p, l->tail_rank, TAG_BACK + l->dir, l->back, wave_back_bytes(w));
}

/* Tries the parked waves; ends the direction when there is nothing left. */
static void advance(struct rollout *r, struct lane *l)
{
    for (int i = 0; i < l->n_waves; i++)
        if (l->wave[i].parked) launch(r, l, i);
    expect_return(r, l);
    bool more = l->n_outstanding > 0 || l->groups > 0;
    if (more || l->done) return;
    /* Everything is parked: either the queue has not answered yet, or there is nothing
     * left. */
    int q = queue_take(r, l);
    INVARIANT(q < 0 || r->stopping, "question %d came when all waves were parked", q);
    if (q != QUEUE_NONE) return;
    if (!l->last) wave_send_end(r, l);
    l->done = true;
}

/* Sampled tokens of the oldest wave under way are in l->back. */
static void returned(struct rollout *r, struct lane *l)
{
    launch(r, l, lane_book(r, l));
    advance(r, l);
}

static void start(struct rollout *r, struct lane *l)
{
    lane_clear(l);
    advance(r, l);
}

/* --- the others --- */

/* A wave is in l->arrived. */
static void carry_on(struct rollout *r, struct lane *l)
{
    struct wave *w = wave_take(r, l, l->arrived);
    if (w->head->end) {
        l->in = TICKET_NONE;
        if (!l->last) wave_send_end(r, l);
        l->done = true;
        return;
    }
    wave_receive(r, l, w);
    l->in = wave_expect(r, l);
    follow_lead(r, l, w, l->act_in);
}

/* --- the loop --- */

static void lane_open(struct rollout *r, struct lane *l)
{
    l->done = false;
    l->in = TICKET_NONE;
    if (l->first)
        start(r, l);
    else
        l->in = wave_expect(r, l);
}

static bool all_done(const struct rollout *r)
{
    for (int i = 0; i < r->lanes; i++)
        if (!r->lane[i].done) return false;
    return queue_done(r);
}

/* On one stage a wave's tokens are there when wave_run returns: no message to wait for. */
static bool is_alone(const struct lane *l)
{
    return l->first && l->last && l->n_outstanding > 0;
}

static void arrived(struct rollout *r, int i)
{
    if (i >= r->lanes) {
        queue_arrived(r, i - r->lanes);
        for (int k = 0; k < r->lanes; k++)
            if (r->lane[k].first && !r->lane[k].done) advance(r, &r->lane[k]);
        return;
    }
    struct lane *l = &r->lane[i];
    l->in = TICKET_NONE;
    if (l->first)
        returned(r, l);
    else
        carry_on(r, l);
}

enum { MOST_TICKETS = 4096 };

static void turn(struct rollout *r)
{
    ticket t[MOST_TICKETS];
    int n = 0;
    for (; n < r->lanes; n++) t[n] = r->lane[n].in;
    n += queue_tickets(r, t + n);
    if (!is_alone(&r->lane[0])) {
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
    returned(r, &r->lane[0]);
}

void turns_run(struct rollout *r)
{
    for (int i = 0; i < r->lanes; i++) lane_open(r, &r->lane[i]);
    while (!all_done(r)) {
        watchdog_feed();
        turn(r);
    }
}
