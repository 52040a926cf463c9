/* The server's loop. */
#include "trainer/reward/server/serve.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/memory.h"
#include "trainer/reward/server/kind.h"
#include "trainer/reward/server/packet.h"
#include "trainer/reward/server/replies.h"

enum { POLL_MAX = 512 };

/* There is one server in a process. */
static struct serving {
    int fd;
    struct inbox in;
    size_t waiting_bytes; /* of requests that no kind has taken */
    struct line {
        void *state;
        bool configured;
        struct grade_request *first, **last; /* not taken yet */
    } line[GRADE_KINDS];
} serving;

/* A kind is opened when it is first spoken to. */
static void configure(const struct packet_head *head, char *bytes)
{
    struct line *l = &serving.line[head->kind];
    const struct grade_kind *kind = grade_kinds[head->kind];
    if (kind->open) {
        if (!l->state) l->state = kind->open();
        kind->configure(l->state, bytes, head->total);
        l->configured = true;
    }
    free(bytes);
}

/* A request from before a restart, whose kind knows nothing yet, is lost. */
static void enter(const struct packet_head *head, char *bytes)
{
    struct line *l = &serving.line[head->kind];
    struct grade_request *r = memory_take(1, sizeof *r, "a request to a grader");
    *r = (struct grade_request){
        .id = head->id, .bytes = bytes, .n = head->total, .kind = head->kind};
    if (!l->configured) {
        grade_lose(r);
        return;
    }
    if (!l->first) l->last = &l->first;
    *l->last = r;
    l->last = &r->next;
    serving.waiting_bytes += r->n;
}

static void take_message(void)
{
    struct inbox *in = &serving.in;
    char *bytes = in->bytes;
    in->bytes = NULL;
    if (in->head.kind >= GRADE_KINDS)
        free(bytes);
    else if (in->head.what == PACKET_CONFIGURE)
        configure(&in->head, bytes);
    else
        enter(&in->head, bytes);
}

/* What waits here is bounded: beyond it the socket fills, and then the rank's buffer. */
static bool has_room(void)
{
    return serving.waiting_bytes < 4 * (size_t)REQUEST_BYTES;
}

static void read_messages(void)
{
    enum inbox_got got = INBOX_PART;
    while (has_room() && got != INBOX_NOTHING) {
        got = inbox_read(&serving.in, serving.fd, REQUEST_BYTES);
        if (got == INBOX_GONE) _exit(0);
        if (got == INBOX_MESSAGE) take_message();
    }
}

/* A request may be over and freed when take returns: what is needed of it is read before. */
static void step_kind(int k)
{
    struct line *l = &serving.line[k];
    const struct grade_kind *kind = grade_kinds[k];
    if (!l->configured) return;
    kind->step(l->state);
    while (l->first) {
        struct grade_request *r = l->first, *next = r->next;
        const size_t n = r->n;
        r->next = NULL;
        if (!kind->take(l->state, r)) {
            r->next = next;
            return;
        }
        l->first = next;
        serving.waiting_bytes -= n;
    }
}

static void wait_for_anything(void)
{
    struct pollfd fd[POLL_MAX];
    int n = 1, timeout_ms = -1;
    const bool unsent = replies_wait();
    fd[0] =
        (struct pollfd){serving.fd, (short)((has_room() ? POLLIN : 0) | (unsent ? POLLOUT : 0)), 0};
    for (int k = 0; k < GRADE_KINDS; k++)
        if (serving.line[k].configured)
            n += grade_kinds[k]->wait(serving.line[k].state, fd + n, POLL_MAX - n, &timeout_ms);
    poll(fd, (nfds_t)n, timeout_ms);
}

_Noreturn void serve(int fd)
{
    serving = (struct serving){.fd = fd, .in.heap = true};
    replies_open();
    for (;;) {
        wait_for_anything();
        read_messages();
        for (int k = 0; k < GRADE_KINDS; k++) step_kind(k);
        if (!replies_send(fd)) _exit(0);
    }
}
