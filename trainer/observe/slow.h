/* A rank that computes much slower than the others holds all of them up at every step, and
 * nothing fails: a throttled or shared processor, memory that pages. Each rank judges itself
 * from its own seconds of work and the sum over ranks. */
#ifndef DUET_TRAINER_OBSERVE_SLOW_H
#define DUET_TRAINER_OBSERVE_SLOW_H

#include <stdbool.h>

/* Slow: this many times as long as the mean of the others, on average over this many steps, of
 * which none counts for more than the cap: one that stalls once is not slow. Said again after
 * some minutes at most. */
enum { SLOW_TIMES = 2, SLOW_STEPS = 8, SLOW_CAP = 4, SLOW_SAID_SECONDS = 300 };

struct slow {            /* zeroed before the first step */
    int steps;           /* of SLOW_STEPS */
    double capped;       /* sum of their ratios */
    double mine, others; /* their seconds */
    double quiet_until;
};
/* After a step in which this rank worked `mine` seconds, all `ranks` together `sum`; now: a
 * clock in seconds. true: the moment to say that it is slow, *times as slow as the others.
 * Local. */
bool slow_look(struct slow *s, double mine, double sum, int ranks, double now, double *times);

#endif
