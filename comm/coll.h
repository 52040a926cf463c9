/* Collectives whose sums are formed in rank order (promise P4): exchange slices, add in order,
 * gather. All are collective over `comm`; none but coll_gather_bytes allocates: scratch is handed
 * in.
 *
 * "Rank order" with `inner` (1 or 2): members are summed in runs of `inner` first, then the runs in
 * order, ((m0+m1) + (m2+m3)) + ...; with inner = 1 that is ((m0+m1)+m2)+...  The runs are the two
 * directions of one pipeline, so that a mirrored mesh and a plain one form the same sum. */
#ifndef DUET_COMM_COLL_H
#define DUET_COMM_COLL_H

#include <mpi.h>
#include <stddef.h>

/* out[0..count[me]) = sum over members of their in[offset[me] .. +count[me]).
 *   in       (sum of counts) floats laid out slice by slice: slice i at offset[i]
 *   out      may be in + offset[me]
 *   scratch  at least size * count[me] floats
 * Pieces of at most 2 MiB travel: over shared memory larger ones go one way at a time. */
void coll_reduce_scatter(float *out, const float *in, const size_t *count, const size_t *offset,
                         int inner, float *scratch, MPI_Comm comm);

/* buf holds all slices (elements of elem_bytes), one behind the other; on entry mine is filled, on
 * return all are. In ceil(log2(members)) rounds, with two peers in each. */
void coll_all_gather(void *buf, const size_t *count, const size_t *offset, size_t elem_bytes,
                     MPI_Comm comm);

/* In place; scratch: size * ceil(n / size) floats. */
void coll_all_reduce(float *buf, size_t n, int inner, float *scratch, MPI_Comm comm);

/* Unequal pieces of bytes, both ways. count/offset in bytes, one an member. */
void coll_all_to_all_v(void *recv, const size_t *recv_count, const size_t *recv_offset,
                       const void *send, const size_t *send_count, const size_t *send_offset,
                       MPI_Comm comm);

/* Bytes of every member, as many as each has, one behind the other at member `root`, which gets
 * memory of the heap and, in offset (size + 1), where each begins; the others get NULL. */
void *coll_gather_bytes(const void *mine, size_t n, size_t *offset, int root, MPI_Comm comm);

void coll_bcast(void *buf, size_t bytes, int root, MPI_Comm comm);
/* From member `from` to member `to`, which is another: for all others nothing is to be done. */
void coll_pass(void *buf, size_t bytes, int from, int to, MPI_Comm comm);
/* The exact sums of base/exact.h, over members, in place. n <= 256. */
struct exact_sum;
void coll_exact_sum(struct exact_sum *s, int n, MPI_Comm comm);

#endif
