#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */
#include "trainer/reward/server/packet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"

/* Pages that no message has reached cost nothing. */
void outbox_open(struct outbox *o, size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
    SYS_OK(at != MAP_FAILED, "raise the limit on memory (ulimit -v)",
           "no room for %zu bytes of messages to graders: %s", size, strerror(errno));
    *o = (struct outbox){.at = at, .size = size};
}

void outbox_close(struct outbox *o)
{
    if (o->at) munmap(o->at, o->size);
    *o = (struct outbox){0};
}

void outbox_clear(struct outbox *o)
{
    o->begin = o->end = o->offset = 0;
}

/* What is unsent moves to the front only where the end has no room: most is gone before. */
bool outbox_add(struct outbox *o, struct packet_head head, const struct iovec *piece, int pieces)
{
    const size_t need = sizeof head + head.total;
    if (need > o->size - (o->end - o->begin)) return false;
    if (need > o->size - o->end) {
        memmove(o->at, o->at + o->begin, o->end - o->begin);
        o->end -= o->begin;
        o->begin = 0;
    }
    memcpy(o->at + o->end, &head, sizeof head);
    o->end += sizeof head;
    for (int i = 0; i < pieces; i++) {
        if (piece[i].iov_len > 0) memcpy(o->at + o->end, piece[i].iov_base, piece[i].iov_len);
        o->end += piece[i].iov_len;
    }
    return true;
}

/* The next packet of the first message; false: the socket takes none now, *gone: nor ever. */
static bool send_packet(struct outbox *o, int fd, bool *gone)
{
    struct packet_head head;
    memcpy(&head, o->at + o->begin, sizeof head);
    const size_t left = head.total - o->offset, n = left < PACKET_BYTES ? left : PACKET_BYTES;
    head.offset = o->offset;
    struct iovec part[2] = {{&head, sizeof head}, {o->at + o->begin + sizeof head + o->offset, n}};
    const struct msghdr m = {.msg_iov = part, .msg_iovlen = 2};
    if (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        *gone = errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ENOBUFS;
        return false;
    }
    o->offset += n;
    if (o->offset < head.total) return true;
    o->begin += sizeof head + head.total;
    o->offset = 0;
    if (o->begin == o->end) o->begin = o->end = 0;
    return true;
}

bool outbox_send(struct outbox *o, int fd)
{
    bool gone = false;
    while (o->begin < o->end && send_packet(o, fd, &gone)) continue;
    return !gone;
}

/* Room for a message whose first packet is here. */
static bool begin_message(struct inbox *in, struct packet_head head, size_t limit)
{
    if (head.total > limit || (!in->heap && head.total > in->room)) return false;
    if (in->heap) {
        free(in->bytes);
        in->bytes = memory_take(head.total + 1, 1, "a message to a grader");
        in->room = head.total;
    }
    in->head = head;
    in->have = 0;
    in->open = true;
    return true;
}

/* No packet is without a head: 0 bytes are the end of the connection. */
enum inbox_got inbox_read(struct inbox *in, int fd, size_t limit)
{
    const ssize_t got = recv(fd, in->packet, sizeof in->packet, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? INBOX_NOTHING
                                                                         : INBOX_GONE;
    if (got == 0) return INBOX_GONE;
    struct packet_head head;
    if ((size_t)got < sizeof head) return INBOX_PART;
    memcpy(&head, in->packet, sizeof head);
    const size_t n = (size_t)got - sizeof head;
    if (head.offset == 0 && !begin_message(in, head, limit)) in->open = false;
    if (!in->open || head.id != in->head.id || head.offset != in->have ||
        n > in->head.total - in->have) {
        in->open = false; /* the rest of a message that an earlier server had begun to read */
        return INBOX_PART;
    }
    memcpy(in->bytes + in->have, in->packet + sizeof head, n);
    in->have += n;
    if (in->have < in->head.total) return INBOX_PART;
    in->open = false;
    return INBOX_MESSAGE;
}
