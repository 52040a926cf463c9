/* Bytes that every rank reads and none changes, once for each host. The memory has no name: it is
 * gone with the last rank that has it, however that one ends. */
#ifndef DUET_COMM_HOST_COPY_H
#define DUET_COMM_HOST_COPY_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>

enum { HOST_COPY_EACH = -1 };

struct host_copy {
    void *at; /* (n) aligned to 16 at least; may be written to by nobody */
    size_t n;
    bool shared; /* with the other ranks of the host; false: this rank's own */
};

/* n bytes that `fill` writes, called on rank 0 of comm alone, whose n counts. Ranks that give the
 * same `node` are on one host and map the same memory; where that cannot be had, each of them has a
 * copy; so has each rank with HOST_COPY_EACH, which all must give then. Collective over comm. Free
 * with host_copy_free. */
void host_copy_make(struct host_copy *c, size_t n, void (*fill)(const void *ctx, void *to),
                    const void *ctx, MPI_Comm comm, int node);
/* Local; zeroed: nothing. */
void host_copy_free(struct host_copy *c);

#endif
