/* Who has messages with whom in a group of replicas. Small groups exchange slices between all
 * pairs. In a large one that lies on several nodes a member has messages with few others, however
 * many there are, with the same bits:
 *
 *   sums     by nodes (comm/reduce_nodes.c), or by runs of neighbours in their place where nodes do
 *            not allow it: with the other members of the run, with one of the run before and of the
 *            one behind; a column is what the owners behind one another own, and its finished sums
 *            go to them over a tree, REDUCE_FAN at a time
 *   gathers  by doubling (Bruck et al., IEEE TPDS 8(11), 1997): what one has of the slices before
 *            its own goes to the member (or, by nodes, to the counterpart on the node) 1, 2, 4, ...
 *            behind: two peers for each doubling, no byte more
 *
 * What crosses in a codec keeps its path and its columns, on which its bits depend: such sums are
 * between all pairs where they were. Functions of the form; local, and all but reduce_peers
 * allocate nothing. */
#ifndef DUET_COMM_REDUCE_FEW_H
#define DUET_COMM_REDUCE_FEW_H

#include "comm/reduce.h"

enum { REDUCE_FAN = 8 };        /* owners that a finished sum goes to from one member */
enum { REDUCE_ALL_PAIRS = 16 }; /* members of a small group */

/* Is the sum of such a group over few peers? Not asked for a gather. */
bool reduce_few(const struct reduce_form *f);
/* Members of a run that a running sum goes over: of a node, or of those in their place; 0: there is
 * no such path. */
int reduce_each(const struct reduce_form *f);
/* The divisor of `members` that is a multiple of inner, and nearest to their root from below. */
int reduce_near_root(int members, int inner);

/* Floats lo .. hi of an array of n whose slices begin at `offset`: column j. */
struct reduce_span {
    size_t lo, hi;
};
struct reduce_span reduce_column_of(const struct reduce_form *f, const size_t *offset, size_t n,
                                    int j);

/* ---- finished sums, in a group of few peers ---- */

/* The owners of a column but its root, the member of the last run that forms it: by number,
 * [first, end) of them at a time. */
struct reduce_owners {
    int first, root, n;
};
struct reduce_some {
    int first, end;
};
struct reduce_owners reduce_owners_of(const struct reduce_form *f, int j);
/* Its member with that number. */
int reduce_owner_at(const struct reduce_owners *o, int number);
/* Cut into parts, at most REDUCE_FAN; returns how many. The first of a part passes the others' on.
 */
int reduce_below(struct reduce_some of, struct reduce_some below[REDUCE_FAN]);
/* From whom member `to` gets its slice and those of `some`, whose first it is; -1: it is the root
 * of the column itself. */
int reduce_above(const struct reduce_form *f, int to, struct reduce_some *some);
/* Floats of all those slices. */
size_t reduce_some_floats(const struct reduce_owners *o, struct reduce_some some,
                          const size_t *count, const size_t *offset);

/* ---- gathers ---- */

/* Members of a node over which a gather of that many bytes goes; 1: by doubling over all members;
 * 0: between all pairs. */
int reduce_gather_each(const struct reduce_form *f, size_t bytes);
/* Do slices go from row to row by doubling? If not, each to all other rows. */
bool reduce_gather_doubles(const struct reduce_form *f, int each);
/* How many slices go from one of `rows` ranks or nodes to the one `distance` behind; 0: none. */
int reduce_doubling(int rows, int distance);

/* ---- peers ---- */

/* The members that this one has messages with in whatever sum or gather, in rising order, each
 * once: peer (members). Returns how many. */
int reduce_peers(const struct reduce_form *f, int *peer);

#endif
