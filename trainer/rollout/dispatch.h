/* Handing out questions to the first stages of all pipelines. */
#ifndef DUET_TRAINER_ROLLOUT_DISPATCH_H
#define DUET_TRAINER_ROLLOUT_DISPATCH_H

#include "trainer/rollout/inside.h"

enum { DISPATCH_NONE = -1, DISPATCH_WAIT = -2 };
void dispatch_place(struct dispatch **out, const struct rollout *r, struct arena *a);
void dispatch_start(struct rollout *r);
/* The next question for this lane: a number, DISPATCH_NONE (no more), DISPATCH_WAIT (asked, not
 * answered yet). */
int dispatch_take(struct rollout *r, struct lane *l);
/* Tickets to wait on besides the lanes': requests (on the dispatcher's rank) and answers.
 * Appends to t, returns how many. */
int dispatch_tickets(struct rollout *r, ticket *t);
/* The i-th of those tickets is done. */
void dispatch_arrived(struct rollout *r, int i);
/* No other rank will ask any more. */
bool dispatch_done(const struct rollout *r);
/* In rounds: this lane will get a question yet. */
bool dispatch_left(const struct rollout *r, const struct lane *l);
/* Sends still under way end. */
void dispatch_close(struct rollout *r);
int dispatch_most_tickets(const struct rollout *r);

#endif
