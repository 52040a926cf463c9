/* What the parts of dealing share: bins, and heaps of them (deal_inside.c). Bins are filled in
 * deal.c; they and groups of them are evened out by single sequences in deal_even.c, spread over
 * pipelines and directions in deal_spread.c. */
#ifndef DUET_TRAINER_DATA_DEAL_INSIDE_H
#define DUET_TRAINER_DATA_DEAL_INSIDE_H

#include <stdbool.h>
#include "trainer/data/deal.h"

/* Bins of a pipeline and direction are equally many. */
static inline int deal_multiple(const struct deal_shape *s)
{
    return s->pipelines * s->directions;
}

/* Sequence i of that many rows, into a bin or out of the one that it is in. */
void deal_bin_add(struct deal *d, int b, int i, int rows);
void deal_bin_remove(struct deal *d, int i, int rows);

/* Does x come before y? An order of numbers without equals. */
typedef bool deal_before(const struct deal *d, int x, int y);
/* Numbers of which the first by that order is at[0]. */
struct deal_heap {
    struct deal *d;
    deal_before *before;
    int *at, n;
};
/* What stands at `at` may have come to stand too far in front. */
void deal_heap_down(struct deal_heap *h, int at);
void deal_heap_push(struct deal_heap *h, int x);
int deal_heap_pop(struct deal_heap *h);
/* at (n) in the opposite of that order: whatever is last by it comes first. Allocates nothing. */
void deal_sort(struct deal *d, int *at, int n, deal_before *last);
/* The cheaper of two bins, of equals the later. */
deal_before deal_less_costly;

/* Single sequences between bins, until none is made cheaper by it. */
void deal_even_out(struct deal *d, const struct deal_shape *s, const int *rows);
/* n rounded up to a power of 2: d->rest and d->sums have twice as many. */
int deal_leaves(int n);
/* d->number of each bin of d->by_cost, which gives it a pipeline and a direction. */
void deal_spread(struct deal *d, const struct deal_shape *s);
/* Single sequences once more, between pipelines, then between directions. No bin may come to cost
 * more than the ceiling. */
void deal_level(struct deal *d, const struct deal_shape *s, const int *rows, int64_t ceiling);

#endif
