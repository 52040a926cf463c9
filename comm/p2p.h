/* Point-to-point messages between pipeline stages, driven while we compute.
 *
 * Open MPI moves nothing between calls, so one progress thread a rank, for all its p2ps, keeps
 * calling into it while requests are open (with MPI_THREAD_MULTIPLE; otherwise p2p_poll, which the
 * engine calls between pass steps). A thread that waits for one message, or polls, moves all of the
 * rank's. Messages above P2P_PIECE travel in pieces. A ticket names an open message; tables are
 * fixed, nothing is allocated after p2p_new. */
#ifndef DUET_COMM_P2P_H
#define DUET_COMM_P2P_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include "comm/transport.h"

enum { P2P_PIECE = 2 << 20 }; /* bytes */
enum {
    P2P_EAGER = 4096
};                           /* bytes that travel although nobody drives: Open MPI's smallest limit,
                                that of shared memory */
enum { P2P_TAGS = 1 << 15 }; /* 0 .. P2P_TAGS - 1: those that every MPI has (MPI_TAG_UB) */
struct p2p;
typedef int ticket; /* >= 0; TICKET_NONE is "nothing to wait for" */
#define TICKET_NONE (-1)

/* Collective over comm (duplicates it). Messages lie in the memory of t's device (comm/transport.h;
 * t is kept). max_open: messages open at once on this rank. Every rank is connected with every
 * other: for groups whose members all talk to each other. */
struct p2p *p2p_new(const struct transport *t, MPI_Comm comm, int max_open);
/* The same, but that this rank has messages with its peers alone, and no more connections. */
struct p2p *p2p_new_near(const struct transport *t, MPI_Comm comm, const struct peers *with,
                         int max_open);
void p2p_free(struct p2p *p);

/* How waiting is told to the watchdog: "<tag_name[tag]> from rank 3 of <group>"; until then "tag 5
 * from rank 3 of the pipeline". Both are kept. Local. */
void p2p_name(struct p2p *p, const char *group, const char *const *tag_name);

/* Posts and returns at once; buf must stay until p2p_wait(ticket). Tags: below P2P_TAGS. The
 * receiver must know the size, or read it in the message (p2p_recv_most). Local. */
ticket p2p_send(struct p2p *p, int peer, int tag, const void *buf, size_t bytes);
ticket p2p_recv(struct p2p *p, int peer, int tag, void *buf, size_t bytes);
/* Receives a message that says itself how long it is: up to `most` bytes, which are at most a
 * piece. */
ticket p2p_recv_most(struct p2p *p, int peer, int tag, void *buf, size_t most);
/* Waits without burning the core; names peer and tag to the watchdog. Frees the ticket. TICKET_NONE
 * returns. */
void p2p_wait(struct p2p *p, ticket t);
/* true when done; then the ticket is freed. */
bool p2p_test(struct p2p *p, ticket t);
/* The same without moving anything: for who polls once and then looks at many. */
bool p2p_take(struct p2p *p, ticket t);
/* Waits until at least one of n tickets (TICKET_NONE skipped) is done, frees it, returns its index;
 * -1 if all are TICKET_NONE. */
int p2p_wait_any(struct p2p *p, const ticket *t, int n);
void p2p_poll(struct p2p *p);

/* Work between messages, by whichever thread moves them: once all receives of `after` are through,
 * `work` is called until it returns true, then what was held for it is sent. With p2p's lock: it
 * may not wait and does a part of what is long each time. */
struct p2p_step {
    bool (*work)(struct p2p_step *s);
    ticket *after, *held; /* (n_after) freed when through; (n_held) waited for by their owner */
    int n_after, n_held;
    struct p2p_step *next; /* p2p's own */
};
/* p2p_send, but that nothing goes before the step's work is done. */
ticket p2p_send_held(struct p2p *p, const struct p2p_step *until, int peer, int tag,
                     const void *buf, size_t bytes);
/* All messages of the step are posted: from now on it is p2p's, until those held are through. */
void p2p_then(struct p2p *p, struct p2p_step *s);

/* Who wants to be told that messages of its own are through. */
struct p2p_owner {
    struct p2p_owner *next; /* p2p's own, as `told` */
    bool told;
};
/* When the message is through its owner is listed, if it is not yet. */
void p2p_tell(struct p2p *p, ticket t, struct p2p_owner *who);
/* The next of those listed, which leaves the list; NULL: none. Messages are taken by ticket. */
struct p2p_owner *p2p_told(struct p2p *p);
/* Seconds this rank has spent in p2p_wait / p2p_wait_any since the last call (reset): exposed
 * communication. */
double p2p_waited(struct p2p *p);

#endif
