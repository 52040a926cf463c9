/* A long array on its way to or from one member: pieces of one size under one tag, a few of them
 * open at a time, so that code that works on pieces as they arrive needs neither all of the array
 * nor a message for each.
 *
 * A stream moves when stream_move is called; between two calls the open pieces progress by
 * themselves (comm/p2p.h). Its owner says how many pieces may go (`ready`) and sees how many are
 * through (`done`), in order. Local; nothing is allocated. */
#ifndef DUET_COMM_STREAM_H
#define DUET_COMM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include "comm/p2p.h"

enum { STREAM_WINDOW = 4 }; /* pieces open at once */

struct stream {
    int peer, tag;
    bool send;
    unsigned char *buf;
    size_t bytes, piece_bytes;  /* piece_bytes at most 2 MiB; the last piece may be shorter */
    const struct stream *after; /* passes on what this has; NULL: `ready` says how far */
    unsigned long long *count;  /* bytes sent are added here; NULL: nowhere */
    struct stream *next;        /* stream_ring; NULL: no other has this peer, tag and direction */
    bool turn;                  /* in a ring: the next piece is this one's */

    size_t pieces, ready, posted, done; /* done <= posted <= ready <= pieces */
    ticket open[STREAM_WINDOW];         /* of pieces done .. posted */

    size_t at, used; /* its owner's: where it belongs, pieces worked on */
};

/* Sets what is below the gap; all of it ready, or none. */
void stream_begin(struct stream *s, bool ready);
/* n neighbours of one peer, tag and direction, which have begun: their pieces take turns, in the
 * same order at sender and receiver, by which they match. */
void stream_ring(struct stream *first, size_t n);
/* Takes what is through, posts what may go. true: something was taken, or the turn passed on.
 * p2p_poll moves, this does not. */
bool stream_move(struct stream *s, struct p2p *p);
static inline bool stream_done(const struct stream *s)
{
    return s->done == s->pieces;
}

#endif
