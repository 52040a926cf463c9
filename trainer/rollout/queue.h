/* Handing out questions to the first stages of all pipelines. */
#ifndef DUET_TRAINER_ROLLOUT_QUEUE_H
#define DUET_TRAINER_ROLLOUT_QUEUE_H

#include "trainer/rollout/handout.h"
#include "trainer/rollout/inside.h"

enum { QUEUE_NONE = -1, QUEUE_WAIT = -2 };
enum {
    QUEUE_TICKETS = HANDOUT_FAN + 1, /* that queue_tickets offers, at most */
    QUEUE_OPEN = 2 * QUEUE_TICKETS,  /* messages open at once */
    QUEUE_PEERS = HANDOUT_FAN + 1
};
void queue_place(struct queue **out, const struct rollout *r, struct arena *a);
/* World ranks that this one asks, or that ask it; returns how many. */
int queue_peers(const struct stage *s, int out[QUEUE_PEERS]);
/* Questions that a first stage takes at most, of a job's: twice the even share, so that a rank
 * needs no room for the answers to all. Local. */
int queue_most(const struct stage *s, int questions);
void queue_start(struct rollout *r);
/* The next question for this decoder: a number, QUEUE_NONE (no more), QUEUE_WAIT (asked, not
 * answered yet). */
int queue_take(struct rollout *r, struct decoder *d);
/* Tickets to wait on besides the decoders': requests of others and the answer to our own. Appends
 * to t, returns how many. */
int queue_tickets(struct rollout *r, ticket *t);
/* The i-th of those tickets is done. */
void queue_arrived(struct rollout *r, int i);
/* No other rank will ask any more. */
bool queue_done(const struct rollout *r);
/* In lockstep: this decoder will get a question yet. */
bool queue_left(const struct rollout *r, const struct decoder *d);
/* Sends still under way end. */
void queue_close(struct rollout *r);

#endif
