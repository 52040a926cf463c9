/* A transport: how bytes get from rank to rank, and how sums over ranks are formed, in the memory
 * of one device. It is what p2p, exchange and reduce ask of a wire; MPI on host memory is the table
 * that is always there, NCCL on a GPU's memory is another one.
 *
 * Code above this table never reads or writes the memory of a message or of a sum. A table may be
 * partial while it grows: without the four rows of the wire its pieces travel over MPI by way of
 * host memory (transport_staged.c), without a row of the sums the host forms them, with copies
 * around it; both are counted and named in the log (base/missing.h). */
#ifndef DUET_COMM_TRANSPORT_H
#define DUET_COMM_TRANSPORT_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include "comm/base/device.h"
#include "comm/join.h"

/* A message, or a part of one: at most P2P_PIECE bytes (comm/p2p.h). */
struct transport_piece {
    bool send;
    int peer, tag;
    void *buf; /* of a send only read */
    size_t bytes;
    int owner; /* the poster's: says whose piece has ended */
};

/* The ranks that one exchanges messages with, of whatever number of them there are in all: each
 * once, not oneself, and whoever names a rank is named by it. */
struct peers {
    const int *rank;
    int n;
};

/* A piece that has ended. */
struct transport_end {
    int owner;
    size_t bytes, posted;   /* of a receive: what came, what there was room for */
    const char *what, *why; /* why: the call `what` failed; NULL: all is well */
};

struct transport {
    const char *name;            /* "mpi" */
    const struct device *device; /* in whose memory messages and sums lie */

    /* --- the wire: all four rows or none. One thread at a time calls them for one `self`. --- */
    /* Collective over comm (duplicates it): what connects this rank with its peers (NULL: with all
     * others), with room for `most` pieces under way. Nothing is allocated after it (the staged
     * one's buffers grow to the largest piece). */
    void *(*open)(const struct transport *t, MPI_Comm comm, const struct peers *with, int most);
    void (*close)(void *self);
    /* Posts and returns at once. What is sent is what `buf` holds when the work posted on the
     * device's stream before is done. Pieces of equal peer, tag and direction match in the order of
     * posting; a receive may be ended by a shorter piece. */
    void (*post)(void *self, const struct transport_piece *piece);
    /* One look, without waiting: how many pieces have ended, and which (the transport's, until the
     * next look). What a receive brought may be used by work posted on the device's stream from now
     * on. */
    int (*look)(void *self, const struct transport_end **list);

    /* --- sums; n and at count floats --- */
    /* join_host of comm/join.h */
    void (*join)(float *to, const struct join *j, size_t at, size_t n);
    /* codec_encode and codec_decode of comm/codec.h */
    void (*encode)(enum codec w, void *to, const float *x, float *residual, size_t n);
    void (*decode)(enum codec w, float *x, const void *from, size_t n);
};

/* All rows are there. */
extern const struct transport transport_mpi;
/* Pieces in another device's memory by way of the host's, over MPI: wire rows for a table that has
 * none. */
extern const struct transport transport_staged;

/* The table whose wire rows are used for t: t, or the staged one. Pure but for what it says in the
 * log. */
const struct transport *transport_wire(const struct transport *t);
/* The rows of the sums, the missing ones made up for (they allocate). Local. */
void transport_join(const struct transport *t, float *to, const struct join *j, size_t at,
                    size_t n);
/* to = a + b; to may be either. */
void transport_add(const struct transport *t, float *to, const float *a, const float *b, size_t n);
void transport_encode(const struct transport *t, enum codec w, void *to, const float *x,
                      float *residual, size_t n);
void transport_decode(const struct transport *t, enum codec w, float *x, const void *from,
                      size_t n);

#endif
