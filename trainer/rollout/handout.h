/* Numbers handed out down a tree, so that nobody hears of more than a few: first stages are
 * numbered, stage 0 counts, and every other one asks the one above it, for itself and for those
 * below it together. Here is what a stage keeps in mind; messages are queue.c's. Local. */
#ifndef DUET_TRAINER_ROLLOUT_HANDOUT_H
#define DUET_TRAINER_ROLLOUT_HANDOUT_H

#include <stdbool.h>

enum { HANDOUT_FAN = 8 }; /* stages below one */

/* Above stage 0 there is none: -1. Below: out gets their numbers; returns how many of `stages`. */
int handout_above(int stage);
int handout_below(int stage, int stages, int out[HANDOUT_FAN]);

struct numbers { /* first, first + 1, ... */
    int first, n;
};
struct gift {
    int who;
    struct numbers numbers;
};

enum { HANDOUT_SELF, HANDOUT_FIRST_BELOW, HANDOUT_ASKERS = HANDOUT_FIRST_BELOW + HANDOUT_FAN };
struct handout {
    int wants[HANDOUT_ASKERS]; /* not asked for yet */
    int asked[HANDOUT_ASKERS]; /* what the open request is for */
    int open;                  /* its sum; 0: none is open */
    bool spent;                /* a request was granted in part: there are no more */
};

/* `who` asks for n >= 1, having no request open. */
void handout_want(struct handout *h, int who, int n);
/* Opens a request for all that is wanted, unless one is open: for how many; 0: none was opened. */
int handout_ask(struct handout *h);
/* The open request got these, fewer than asked for if there are no more: who gets what, each that
 * it was for once, maybe nothing. Returns how many gifts. */
int handout_share(struct handout *h, struct numbers got, struct gift out[HANDOUT_ASKERS]);

#endif
