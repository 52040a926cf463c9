/* Exchanges between the members of a group that are posted, progress while we compute,
 * and are completed later: the all-to-all of experts, the sums of tensor parallelism.
 *
 * Built on p2p: pieces of 2 MiB, moved by the progress thread (or by any thread that waits,
 * p2p_poll included). An exchange is one round of messages between all pairs; a large
 * sum over three or more members is two, the second begun by whatever thread moves
 * messages.
 *
 * Channels keep order apart: the members post the same exchanges of one channel in the same order,
 * with sizes that agree; exchanges of different channels may be posted in any order. A rank that
 * waits must not be what another member's exchange waits for: post and wait in the same order on
 * all members, or test. Nothing is allocated after exchange_new. */
#ifndef DUET_COMM_EXCHANGE_H
#define DUET_COMM_EXCHANGE_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include "comm/transport.h"

struct exchange;
enum { EXCHANGE_NONE = -1, EXCHANGE_CHANNELS = 4 };

/* Collective over comm (duplicates it). Buffers lie in the memory of t's device, counts and offsets
 * in the host's (t is kept). max_open: exchanges open at once on this rank. */
struct exchange *exchange_new(const struct transport *t, MPI_Comm comm, int max_open);
void exchange_free(struct exchange *x);
/* This rank among the members; a group of none (NULL) is one of one. */
int exchange_rank(const struct exchange *x);
int exchange_size(const struct exchange *x);

/* Each posts, returns at once, and names the exchange until it is done; EXCHANGE_NONE: it is done
 * already. All buffers belong to the exchange until then. x NULL is a group of one, on the host. */

/* Counts and offsets in bytes, one a member; what goes to itself is copied at once. */
int exchange_all_to_all(struct exchange *x, int channel, void *recv, const size_t *recv_count,
                        const size_t *recv_offset, const void *send, const size_t *send_count,
                        const size_t *send_offset);
/* In place: sums in rank order (promise P4), ((m0 + m1) + m2) + ..., so every member gets the same
 * bits. scratch ((size - 1) * n). For small arrays: every member gets all terms. */
int exchange_all_reduce(struct exchange *x, int channel, float *buf, size_t n, float *scratch);
/* The same with the larger of each two. */
int exchange_all_reduce_max(struct exchange *x, int channel, float *buf, size_t n, float *scratch);

/* A sum in the same order, of any size, whose result is wanted in its own memory and rounded: once,
 * from the float sum. */
struct exchange_sum {
    void *to;        /* (n) in the form of `wire` */
    enum codec wire; /* CODEC_FP32 or CODEC_BF16 */
    float *in;       /* (n) this member's terms; not kept */
    size_t n;
    float *scratch; /* exchange_sum_room floats */
};
int exchange_sum(struct exchange *x, int channel, const struct exchange_sum *s);
/* The same sum where each member wants a slice of it alone, in one round: member m elements
 * [from[m], from[m + 1]), which lie at the beginning of its `to`.
 *
 *   from   (size + 1) rises from 0 to s->n, the same on all members; not kept. A slice may be empty
 *
 * s->scratch: (size - 1) times the own slice. A slice goes out as 4 bytes an element to its member.
 */
int exchange_sum_slices(struct exchange *x, int channel, const struct exchange_sum *s,
                        const size_t *from);

/* Members that sum n floats send each other, in this many rounds: 1: all of them; 2: of each a
 * share, then the rounded sum of the own share. With 1 a result waits for one message, with 2 fewer
 * bytes travel, 2 (4 + bytes of wire) n / size for each other member. Pure, as the two below. */
int exchange_sum_rounds(int size, enum codec wire, size_t n);
/* Bytes to one other member, at most. */
size_t exchange_sum_sends(int size, enum codec wire, size_t n);
/* Floats of scratch that are enough for all sums of up to n. */
size_t exchange_sum_room(int size, enum codec wire, size_t n);
/* Slice i of buf (count[i] bytes at offset[i]) is member i's: on entry mine is filled, when done
 * all are. */
int exchange_all_gather(struct exchange *x, int channel, void *buf, const size_t *count,
                        const size_t *offset);

/* true when done; then the exchange is complete, as after exchange_wait. */
bool exchange_test(struct exchange *x, int op);
/* Waits without burning the core; names peer, channel and operation to the watchdog. */
void exchange_wait(struct exchange *x, int op);
/* Seconds spent in exchange_wait since the last call: exposed communication. */
double exchange_waited(struct exchange *x);

#endif
