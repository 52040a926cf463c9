/* In how many rounds the rows of a rank's experts are worked off, and which rows a round has.
 *
 * With ep ranks that share the experts, one of them may get everybody's rows: ep times the even
 * share. There is room for a few shares only (setting mesh.expert_room). What a router sends beyond
 * that goes in further rounds, of which each has the rows behind those of the round before, in the
 * order of expert rows (by expert, then rank, then home row).
 *
 * Bits do not depend on rounds. An expert's output row depends on its own input alone (P1). A
 * weight gradient is summed in pieces of the expert's rows, counted from its first (ops.h:
 * linear_backward_weight), and a round ends within an expert only at a multiple of ROUND_UNIT rows
 * from there, so pieces, and their order, are those of a single round.
 *
 * What is kept for backward is the first round, which in balanced routing is all of it. Rows of
 * further rounds leave nothing behind: backward-input and backward-weight get them from home again,
 * where they are kept anyway, and compute gate and up once more. So memory is bounded whatever the
 * router does, nothing is dropped, and no run ends for lack of room; what is paid is time, and only
 * by passes that were sent more.
 *
 * All members know all counts (dispatch.c), so all go the same number of rounds: that of the member
 * that got most. */
#ifndef DUET_MODEL_ROUNDS_H
#define DUET_MODEL_ROUNDS_H

#include <stddef.h>

/* Gradient pieces (matmul_gradient_rows) divide it. */
enum { ROUND_UNIT = 256 };

/* Rows that there is room for: in the first round, in each further one (0: all fit the first). */
struct row_room {
    int first, further;
};
/* For micro-batches of T rows, each to K experts; a rank has `held`, ep share them. share: room in
 * multiples of the even share, T * K; 0: for all that may come. */
struct row_room row_room_of(int T, int K, int held, int ep, double share);

/* Expert rows [from, to). */
struct row_range {
    int from, to;
};
static inline int range_size(struct row_range r)
{
    return r.to > r.from ? r.to - r.from : 0;
}
static inline struct row_range range_both(struct row_range a, struct row_range b)
{
    return (struct row_range){a.from > b.from ? a.from : b.from, a.to < b.to ? a.to : b.to};
}

/* The rows of round `round`, counted from 0, of a member whose held expert i has expert rows
 * [first[i], first[i + 1]); none behind the last. */
struct row_range round_rows(const int *first, int held, struct row_room room, int round);
/* Its number of rounds, at least one. */
int round_count(const int *first, int held, struct row_room room);

/* The most that a pass of the chunk needed for a layer since chunk_load_clear: 1 while all rows fit
 * the first; 0 when no pass met experts. Local. */
struct chunk;
int chunk_rounds(const struct chunk *c);

#endif
