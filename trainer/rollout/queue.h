/* Handing out questions to the first stages of all pipelines. */
#ifndef DUET_TRAINER_ROLLOUT_QUEUE_H
#define DUET_TRAINER_ROLLOUT_QUEUE_H

#include "trainer/rollout/inside.h"

enum { QUEUE_NONE = -1, QUEUE_WAIT = -2 };
void queue_place(struct queue **out, const struct rollout *r, struct arena *a);
void queue_start(struct rollout *r);
/* The next question for this decoder: a number, QUEUE_NONE (no more), QUEUE_WAIT (asked, not
 * answered yet). */
int queue_take(struct rollout *r, struct decoder *d);
/* Tickets to wait on besides the decoders': requests (on the queue's rank) and answers.
 * Appends to t, returns how many. */
int queue_tickets(struct rollout *r, ticket *t);
/* The i-th of those tickets is done. */
void queue_arrived(struct rollout *r, int i);
/* No other rank will ask any more. */
bool queue_done(const struct rollout *r);
/* In lockstep: this decoder will get a question yet. */
bool queue_left(const struct rollout *r, const struct decoder *d);
/* Sends still under way end. */
void queue_close(struct rollout *r);
int queue_most_tickets(const struct rollout *r);

#endif
