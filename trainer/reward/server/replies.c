#include "trainer/reward/server/replies.h"

#include <stdlib.h>
#include <unistd.h>
#include "trainer/reward/server/kind.h"
#include "trainer/reward/server/packet.h"

static struct outbox out; /* of the one server of this process */

void replies_open(void)
{
    const size_t one = REPLY_BYTES + sizeof(struct packet_head);
    outbox_open(&out, GRADE_KINDS * GRADE_WINDOW * one);
}

bool replies_wait(void)
{
    return out.end > out.begin;
}

bool replies_send(int fd)
{
    return outbox_send(&out, fd);
}

/* All replies that the windows allow fit: a full buffer means a rank that sends more than it may,
 * and it hears no more. */
static void end_request(struct grade_request *r, enum packet_what what, const void *bytes, size_t n)
{
    const struct packet_head head = {.what = (uint32_t)what,
                                     .kind = (uint32_t)r->kind,
                                     .id = r->id,
                                     .total = n < REPLY_BYTES ? n : REPLY_BYTES};
    const struct iovec whole = {(char *)(uintptr_t)bytes, head.total};
    if (!outbox_add(&out, head, &whole, 1)) _exit(0);
    free((char *)(uintptr_t)r->bytes);
    free(r);
}

void grade_reply(struct grade_request *r, const void *bytes, size_t n)
{
    end_request(r, PACKET_REPLY, bytes, n);
}

void grade_lose(struct grade_request *r)
{
    end_request(r, PACKET_LOST, NULL, 0);
}
