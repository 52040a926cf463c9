/* Which of a generator's draws are its held-out problems: each problem once, in the order in which
 * they are drawn first. */
#ifndef DUET_TRAINER_DATA_HELDOUT_H
#define DUET_TRAINER_DATA_HELDOUT_H

#include "trainer/data/task.h"

/* Hashes that have been met. Zeroed: none. */
struct hashes {
    uint64_t *slot; /* (room), a power of two; 0: free */
    size_t n, room;
};
/* true when it was not there yet. */
bool hashes_add(struct hashes *h, uint64_t hash);
void hashes_free(struct hashes *h);

struct heldout {
    uint32_t *draw; /* (n) the draw that makes problem 0, 1, ... */
    int n, room;
    uint32_t drawn; /* draws looked at */
    bool all;       /* there are no more */
    struct hashes met;
};

/* Looks until `want` distinct problems are known or there are no more; returns how many are known,
 * at most `want`. A generator cannot say how many problems it has: it counts as exhausted when 1000
 * draws and 16 for each problem known, all in a row, brought nothing new (with n equally likely
 * problems one is overlooked with a chance of n e^-16), or after 2^24 draws. A pure function of
 * (task, options, want); local. */
int heldout_find(struct heldout *h, const struct task *t, const struct task_options *o, int want);
void heldout_free(struct heldout *h);

#endif
