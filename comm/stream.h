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

struct stream;
/* Streams that may be able to move, in the order in which that was found. */
struct stream_list {
    struct stream *first, *last;
};

struct stream {
    struct p2p_owner *owner; /* told when a piece is through; it stays when the stream ends */
    int peer, tag;
    bool send;
    unsigned char *buf;
    size_t bytes, piece_bytes; /* piece_bytes at most 2 MiB; the last piece may be shorter */
    unsigned long long *count; /* bytes sent are added here; NULL: nowhere */
    struct stream_list *list;  /* where it waits for its next move */
    struct stream *next;       /* stream_ring; NULL: no other has this peer, tag and direction */
    bool turn;                 /* in a ring: the next piece is this one's */

    size_t pieces, ready, posted, done; /* done <= posted <= ready <= pieces */
    ticket open[STREAM_WINDOW];         /* of pieces done .. posted */
    const struct stream *after;         /* stream_follow; NULL: `ready` says how far */
    struct stream *followers, *beside;  /* those after this one; the next of those after `after` */
    struct stream *behind;              /* in the list */
    bool listed;

    size_t at, used; /* its owner's: where it belongs, pieces worked on */
};

/* Sets what is below the gap, and lists it; all of it ready, or none. */
void stream_begin(struct stream *s, bool ready);
/* n neighbours of one peer, tag and direction, which have begun: their pieces take turns, in the
 * same order at sender and receiver, by which they match. */
void stream_ring(struct stream *first, size_t n);
/* It passes on what `after`, a stream that receives into the same memory, has. */
void stream_follow(struct stream *s, struct stream *after);
/* To be called when `ready` was raised, and for an owner that p2p_told names: lists it, unless it
 * is listed. */
void stream_wake(struct stream *s);
/* The first of the list, which leaves it; NULL: none. */
struct stream *stream_next(struct stream_list *l);
/* Takes what is through, posts what may go, lists those that may go on now. true: something was
 * taken, or the turn passed on. p2p_poll moves, this does not. */
bool stream_move(struct stream *s, struct p2p *p);
static inline bool stream_done(const struct stream *s)
{
    return s->done == s->pieces;
}

#endif
