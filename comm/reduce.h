/* Sums of gradients over a replica group that progress while we compute, and that know
 * which members share a node.
 *
 * The bits are those of coll_reduce_scatter (P4) on whatever path: the *flat* path exchanges slices
 * between all pairs; the *nodes* path collects a column (one K-th of the array) in each of a node's
 * K members, lets a running sum travel from node to node in rank order, a pipelined chain that
 * crosses each link once, and hands the slices to their owners. Only `wire`, which says how numbers
 * cross between nodes, changes bits: what rounding loses is kept by the sender and added to its
 * next message (error feedback, arXiv 1901.09847).
 *
 * Built on p2p: moved by a thread of its own (with MPI_THREAD_MULTIPLE), by threads that wait, and
 * by reduce_poll. Members start the same reductions in the same order. Nothing is allocated after
 * reduce_new.
 *
 * What leaves a node of K members, of N nodes, for n floats (w bytes each on the wire):
 *   flat    w K n (N-1)/N                as much arrives
 *   nodes   w n                          from the last: w n (N-1)/N. Arrives: w n/N at the first,
 *                                        w n at the last, w n (1 + 1/N) between
 *   gather  e K n (N-1)/N flat, e n (N-1)/N on nodes, for elements of e bytes; as much arrives
 * A reduction takes the nodes path where its busiest link carries less, the time to fill the chain
 * (one piece a hop) included; in groups of more than 16 members on several nodes always, so that a
 * member has few peers (comm/reduce_few.h). */
#ifndef DUET_COMM_REDUCE_H
#define DUET_COMM_REDUCE_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include "comm/transport.h"
#include "comm/codec.h"

enum reduce_path { REDUCE_AUTO, REDUCE_FLAT, REDUCE_NODES };
enum { REDUCE_SLACK = 64 }; /* no slice is larger than the mean, rounded up, by more than this */

/* Members by nodes, as the nodes path needs it: member i is number i % each of node i / each. */
struct reduce_map {
    int nodes, each; /* each 0: members do not lie like that, and `why` */
    const char *why;
    long looks; /* at members, to find this out */
    int run;    /* members of a run, where a large group is cut without regard to nodes */
};

/* A group: how its sums are formed and travel. */
struct reduce_form {
    int members, me;
    int inner;       /* comm/coll.h: runs that are summed first, 1 or 2 */
    const int *node; /* (members) which node each is on; NULL: all on one. Copied. */
    enum reduce_path path;
    enum codec wire;
    bool gathers;          /* nothing is summed: fewer connections are made */
    struct reduce_map map; /* reduce_map_of: made once a group, read by every question below */
};
/* From members, inner and node: the form's map, to be put there by whoever makes the form. Looks at
 * every member; where nodes do not come in rising order it allocates. Local. */
struct reduce_map reduce_map_of(const struct reduce_form *f);

/* The path that reductions of n floats take, and why ("members of a node are not neighbours"): text
 * of a table, never NULL. Pure. */
enum reduce_path reduce_choose(const struct reduce_form *f, size_t n, const char **why);
/* Floats that a reduction of n elements (the sum of counts) needs beside `in`: room for what
 * arrives, and what rounding left (residual; part of the job's state: zero at first, saved with
 * it). Pure. */
size_t reduce_scratch(const struct reduce_form *f, size_t n);
size_t reduce_residual(const struct reduce_form *f, size_t n);

/* Bytes that member f->me sends to other nodes in a reduction of slices of these counts, and in a
 * gather of them; and to one member (0 when it is on the same node). Pure. */
unsigned long long reduce_sends(const struct reduce_form *f, const size_t *count);
unsigned long long reduce_sends_to(const struct reduce_form *f, const size_t *count, int to);
unsigned long long reduce_gather_sends(const struct reduce_form *f, const size_t *count,
                                       size_t elem_bytes);
unsigned long long reduce_gather_sends_to(const struct reduce_form *f, const size_t *count,
                                          size_t elem_bytes, int to);

struct reduce;
/* Collective over comm (duplicates it). Connects a member with those that it has messages with: in
 * a large group few (comm/reduce_few.h). Arrays lie in the memory of t's device, counts and offsets
 * in the host's (t is kept). max_open: reductions under way at once. */
struct reduce *reduce_new(const struct transport *t, MPI_Comm comm, const struct reduce_form *f,
                          int max_open);
void reduce_free(struct reduce *r);

struct reduce_job {
    float *out;      /* (count[me]) my slice of the sum; may be in + offset[me] */
    const float *in; /* slices of all members, slice i at offset[i], where slice i-1 ends */
    const size_t *count, *offset; /* (members) kept until the reduction is done */
    float *scratch, *residual;    /* reduce_scratch, reduce_residual floats of the sum of counts */
};
/* Posts and returns at once. All buffers belong to the reduction until it is done. Returns its name
 * for test and wait. */
int reduce_start(struct reduce *r, const struct reduce_job *job);
/* true when done; then the name is free again, as after reduce_wait. */
bool reduce_test(struct reduce *r, int op);
/* Waits without burning the core; names peer and operation to the watchdog. */
void reduce_wait(struct reduce *r, int op);
/* Moves all that are open as far as they go without waiting. */
void reduce_poll(struct reduce *r);
/* Slices (elements of elem_bytes) from their owners to all; elements cross as they are. Posts and
 * returns at once, like reduce_start; started in one order with the reductions, and counted among
 * them (max_open). */
int reduce_gather_start(struct reduce *r, void *buf, const size_t *count, const size_t *offset,
                        size_t elem_bytes);
/* The same, and waits. */
void reduce_gather(struct reduce *r, void *buf, const size_t *count, const size_t *offset,
                   size_t elem_bytes);
/* Seconds in reduce_wait and reduce_gather since the last call: exposed communication. */
double reduce_waited(struct reduce *r);
/* Bytes this rank has sent to members on other nodes since the last call. */
unsigned long long reduce_crossed(struct reduce *r);

#endif
