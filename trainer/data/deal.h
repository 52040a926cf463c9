/* Deals the sequences of a step over micro-batches, and those over pipelines and directions: as few
 * micro-batches as hold them, costing as nearly the same as can be found, and so do pipelines and
 * directions.
 *
 * A pure function of the lengths (whole numbers throughout, ties by number), so every rank makes
 * the same one. Micro-batch b goes to pipeline b % pipelines as its micro-batch b / pipelines, and
 * that one flows in direction (b / pipelines) % directions. */
#ifndef DUET_TRAINER_DATA_DEAL_H
#define DUET_TRAINER_DATA_DEAL_H

#include <stddef.h>
#include <stdint.h>
#include "comm/base/arena.h"
#include "model/dims.h"

struct deal_shape {
    int T_max; /* rows of a micro-batch, at most */
    int pipelines, directions;
    int least;   /* micro-batches of a pipeline, at least */
    long linear; /* keys that a query attends to for the price of a row's linear layers */
};

/* Over all layers and the head. Attention is paid by the key: a sequence of n rows costs n*linear +
 * n(n+1)/2. */
long deal_linear(const struct dims *d);
int64_t deal_cost(const struct deal_shape *s, int rows);

/* Micro-batches of all pipelines that sequences of `rows` rows in all may need at most: what memory
 * is planned for. */
int deal_bound(const struct deal_shape *s, size_t rows);

struct bin {
    int rows, first; /* its sequences are first, next[first], ... -1 */
    int64_t cost;
};
struct deal {
    int bins;    /* micro-batches of all pipelines: a multiple of pipelines * directions */
    int *bin_of; /* (n) */
    struct bin *bin;
    /* the largest cost over the mean: of micro-batches, of pipelines, of directions of a pipeline
     */
    double imbalance, pipelines_imbalance, directions_imbalance;
    /* scratch: of sequences, then of bins */
    int *order, *next, *best;
    int64_t *cost; /* deal_cost of each */
    int *by_cost, *item, *group, *number, *members, *heap, *list;
    int64_t *sum, *rest, *sums;
    long long steps; /* of inner loops, in the last deal: the work it took */
};
/* Room for max_n sequences in max_bins micro-batches (deal_bound). */
void deal_place(struct deal *d, int max_n, int max_bins, struct arena *a);
/* rows (n), each at most T_max. Local; allocates nothing. */
void deal_run(struct deal *d, const struct deal_shape *s, const int *rows, int n);
/* The plain way, which deal_run is measured against: the longest first into the emptiest, more
 * micro-batches until they fit, dealt in turn. Never fewer micro-batches than deal_run makes. */
void deal_plainly(struct deal *d, const struct deal_shape *s, const int *rows, int n);

#endif
