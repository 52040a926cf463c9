/* Messages between a rank and its grader server, over a socket of whole packets (SOCK_SEQPACKET):
 * a server that is started again in the middle of a message finds the next one by its first
 * packet. One end sends its messages one behind the other, never mixed. */
#ifndef DUET_TRAINER_REWARD_SERVER_PACKET_H
#define DUET_TRAINER_REWARD_SERVER_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    PACKET_BYTES = 32768,     /* of a message in one packet */
    REQUEST_BYTES = 16 << 20, /* longest message to the server */
    REPLY_BYTES = 64 << 10    /* longest answer of the server */
};

enum packet_what {
    PACKET_CONFIGURE, /* to the server: what a kind needs to know */
    PACKET_REQUEST,
    PACKET_REPLY, /* from it */
    PACKET_LOST,
    PACKET_RESTARTED /* from its keeper: what was open is lost */
};

struct packet_head {
    uint32_t what, kind;
    uint64_t id, total, offset; /* bytes of the message; where this packet's begin */
};

/* What waits to be sent: messages behind each other in one buffer, which is taken once. */
struct outbox {
    char *at;
    size_t size, begin, end; /* heads and bytes in [begin, end) are unsent */
    size_t offset;           /* bytes of the first message that are sent */
};

/* Room for `size` bytes of messages, taken when they are first used. Local, as all of these. */
void outbox_open(struct outbox *o, size_t size);
void outbox_close(struct outbox *o);
void outbox_clear(struct outbox *o);
/* Copies a message of head.total bytes, in pieces; false: no room now. */
bool outbox_add(struct outbox *o, struct packet_head head, const struct iovec *piece, int pieces);
/* Sends what the socket takes without waiting; false: the other end is gone. */
bool outbox_send(struct outbox *o, int fd);

/* A message on its way in. */
struct inbox {
    struct packet_head head;
    char *bytes;       /* (room) taken on the heap for each message, or the caller's */
    size_t room, have; /* have: bytes that are here */
    bool heap, open;   /* open: the first packet is here */
    char packet[sizeof(struct packet_head) + PACKET_BYTES];
};

enum inbox_got { INBOX_NOTHING, INBOX_PART, INBOX_MESSAGE, INBOX_GONE };
/* Reads one packet without waiting. INBOX_MESSAGE: head and bytes are a whole message; the caller
 * takes `bytes` over where they are on the heap. A message longer than the limit is dropped. */
enum inbox_got inbox_read(struct inbox *in, int fd, size_t limit);

#endif
