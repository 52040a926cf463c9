/* The rank's side of the grader server. */
#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */
#include "trainer/reward/server/server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "comm/base/die.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/nap.h"
#include "trainer/reward/server/packet.h"
#include "trainer/reward/server/serve.h"

enum slot_state { SLOT_FREE, SLOT_OPEN, SLOT_DONE, SLOT_LOST };

struct slot {
    enum slot_state state;
    uint64_t id, turn; /* turn: tells replies to this use of the slot from those to earlier ones */
    uint64_t came;     /* in which order replies came */
    char *bytes;       /* (REPLY_BYTES) */
    size_t n;
};

struct grade_server {
    int fd;
    pid_t keeper;
    bool gone; /* for good */
    struct outbox out;
    struct inbox in;
    uint64_t turn, came;
    struct slot slot[GRADE_KINDS][GRADE_WINDOW];
    int open[GRADE_KINDS]; /* slots that are not free */
    char *replies;         /* (kinds, window, REPLY_BYTES) */
    struct told {
        char *bytes;
        size_t n;
    } told[GRADE_KINDS];
    char message[REPLY_BYTES];
};

enum { REPLIES = GRADE_KINDS * GRADE_WINDOW };

static struct grade_server *the_server;

struct grade_server *grade_server(void)
{
    return the_server;
}

/* A slot's number and turn as they travel. */
static uint64_t wire_id(uint64_t turn, int slot)
{
    return turn << 16 | (uint64_t)slot;
}

/* Rooms for replies lie beside each other; pages that no reply has reached cost nothing. */
static struct grade_server *server_new(int fd, pid_t keeper)
{
    struct grade_server *s = memory_take(1, sizeof *s, "the grader server");
    s->fd = fd;
    s->keeper = keeper;
    outbox_open(&s->out, 2 * (size_t)REQUEST_BYTES);
    s->in.bytes = s->message;
    s->in.room = sizeof s->message;
    s->replies = mmap(NULL, (size_t)REPLIES * REPLY_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SYS_OK(s->replies != MAP_FAILED, "raise the limit on memory (ulimit -v)",
           "no room for replies of graders: %s", strerror(errno));
    for (int i = 0; i < REPLIES; i++)
        s->slot[i / GRADE_WINDOW][i % GRADE_WINDOW].bytes = s->replies + (size_t)i * REPLY_BYTES;
    return s;
}

/* The keeper lets signals in again once it ignores those to all (grade_signals). */
struct grade_server *grade_server_fork(void)
{
    int pair[2];
    SYS_OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0,
           "raise the limit on open files (ulimit -n)", "no socket for the grader server: %s",
           strerror(errno));
    const pid_t rank = getpid();
    sigset_t all, before; /* a signal to all that comes now is not the keeper's either */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    const pid_t keeper = fork();
    SYS_OK(keeper >= 0, "raise the limit on processes (ulimit -u)",
           "the grader server cannot be forked: %s", strerror(errno));
    if (keeper == 0) {
        close(pair[0]);
        keep_server(pair[1], rank);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(pair[1]);
    return the_server = server_new(pair[0], keeper);
}

/* The server ends when its socket is closed; one that does not is killed. */
void grade_server_close(struct grade_server *s)
{
    if (!s) return;
    close(s->fd);
    const double since = clock_now();
    struct nap n = nap_begin();
    while (waitpid(s->keeper, NULL, WNOHANG) == 0) {
        if (clock_now() - since > 5) kill(s->keeper, SIGKILL);
        nap_take(&n);
    }
    outbox_close(&s->out);
    munmap(s->replies, (size_t)REPLIES * REPLY_BYTES);
    for (int k = 0; k < GRADE_KINDS; k++) free(s->told[k].bytes);
    if (s == the_server) the_server = NULL;
    free(s);
}

/* What is open gets no verdict any more. */
static void lose_open(struct grade_server *s)
{
    for (int k = 0; k < GRADE_KINDS; k++)
        for (int i = 0; i < GRADE_WINDOW; i++) {
            struct slot *slot = &s->slot[k][i];
            if (slot->state != SLOT_OPEN) continue;
            slot->state = SLOT_LOST;
            slot->came = ++s->came;
        }
    outbox_clear(&s->out);
    s->in.open = false;
}

static void tell(struct grade_server *s, int kind)
{
    const struct told *t = &s->told[kind];
    const struct packet_head head = {
        .what = PACKET_CONFIGURE, .kind = (uint32_t)kind, .total = t->n};
    const struct iovec whole = {t->bytes, t->n};
    if (t->bytes && !outbox_add(&s->out, head, &whole, 1)) lose_open(s);
}

static void restarted(struct grade_server *s)
{
    log_warn("the grader server died and was started again: open verdicts are lost");
    lose_open(s);
    for (int k = 0; k < GRADE_KINDS; k++) tell(s, k);
}

static void server_gone(struct grade_server *s)
{
    if (!s->gone)
        log_warn(
            "the grader server is gone for good: verdicts are lost until the job is restarted");
    s->gone = true;
    lose_open(s);
}

/* A reply to a slot that has been used again since, or to a request before a restart, is old. */
static void take_reply(struct grade_server *s, const struct packet_head *head, const char *bytes)
{
    const size_t i = head->id & 0xffff;
    if (head->kind >= GRADE_KINDS || i >= GRADE_WINDOW) return;
    struct slot *slot = &s->slot[head->kind][i];
    if (slot->state != SLOT_OPEN || slot->turn != head->id >> 16) return;
    slot->state = head->what == PACKET_REPLY ? SLOT_DONE : SLOT_LOST;
    slot->came = ++s->came;
    slot->n = head->total;
    memcpy(slot->bytes, bytes, head->total);
}

/* Sends and receives what can be now. */
static void pump(struct grade_server *s)
{
    if (s->gone) return;
    enum inbox_got got;
    while ((got = inbox_read(&s->in, s->fd, REPLY_BYTES)) != INBOX_NOTHING && got != INBOX_GONE) {
        if (got != INBOX_MESSAGE) continue;
        if (s->in.head.what == PACKET_RESTARTED)
            restarted(s);
        else
            take_reply(s, &s->in.head, s->message);
    }
    if (got == INBOX_GONE || !outbox_send(&s->out, s->fd)) server_gone(s);
}

void grade_server_configure(struct grade_server *s, enum grade_kind_number kind, const void *bytes,
                            size_t n)
{
    INVARIANT(n <= REQUEST_BYTES, "%zu bytes of settings for a grader", n);
    struct told *t = &s->told[kind];
    free(t->bytes);
    *t = (struct told){memory_take(n + 1, 1, "settings of a grader"), n};
    if (n > 0) memcpy(t->bytes, bytes, n);
    tell(s, (int)kind);
    pump(s);
}

static struct slot *free_slot(struct grade_server *s, int kind)
{
    for (int i = 0; i < GRADE_WINDOW; i++)
        if (s->slot[kind][i].state == SLOT_FREE) return &s->slot[kind][i];
    return NULL;
}

/* What can never be sent takes a slot all the same: it comes back as lost in its turn, as others
 * do. */
bool grade_server_send_pieces(struct grade_server *s, enum grade_kind_number kind, uint64_t id,
                              const struct iovec *piece, int pieces)
{
    size_t n = 0;
    for (int i = 0; i < pieces; i++) n += piece[i].iov_len;
    pump(s);
    struct slot *slot = free_slot(s, (int)kind);
    if (!slot) return false;
    const uint64_t turn = s->turn + 1;
    const struct packet_head head = {.what = PACKET_REQUEST,
                                     .kind = (uint32_t)kind,
                                     .id = wire_id(turn, (int)(slot - s->slot[kind])),
                                     .total = n};
    const bool never = s->gone || n > REQUEST_BYTES;
    if (!never && !outbox_add(&s->out, head, piece, pieces)) return false;
    s->turn = turn;
    slot->state = never ? SLOT_LOST : SLOT_OPEN;
    slot->id = id;
    slot->turn = turn;
    slot->came = never ? ++s->came : 0;
    s->open[kind]++;
    pump(s);
    return true;
}

bool grade_server_send(struct grade_server *s, enum grade_kind_number kind, uint64_t id,
                       const void *bytes, size_t n)
{
    const struct iovec whole = {(char *)(uintptr_t)bytes, n};
    return grade_server_send_pieces(s, kind, id, &whole, 1);
}

/* The one that came first. */
static struct slot *first_reply(struct grade_server *s, int kind)
{
    struct slot *first = NULL;
    for (int i = 0; i < GRADE_WINDOW; i++) {
        struct slot *slot = &s->slot[kind][i];
        if ((slot->state == SLOT_DONE || slot->state == SLOT_LOST) &&
            (!first || slot->came < first->came))
            first = slot;
    }
    return first;
}

/* The slot is free at once, but its bytes stay until a request takes it again: so long the reply
 * holds. */
bool grade_server_poll(struct grade_server *s, enum grade_kind_number kind,
                       struct grade_reply *reply, int timeout_ms)
{
    const double since = clock_now();
    struct slot *slot;
    for (;;) {
        pump(s);
        slot = first_reply(s, (int)kind);
        const double left = timeout_ms < 0 ? 1000 : timeout_ms - 1e3 * (clock_now() - since);
        if (slot || left <= 0 || s->open[kind] == 0) break;
        const short events = (short)(POLLIN | (s->out.end > s->out.begin ? POLLOUT : 0));
        struct pollfd fd = {.fd = s->fd, .events = events};
        poll(&fd, 1, left < 1000 ? (int)left + 1 : 1000);
    }
    if (!slot) return false;
    const bool lost = slot->state == SLOT_LOST;
    *reply = (struct grade_reply){slot->id, lost, slot->bytes, lost ? 0 : slot->n};
    slot->state = SLOT_FREE;
    s->open[kind]--;
    return true;
}

int grade_server_open(const struct grade_server *s, enum grade_kind_number kind)
{
    return s->open[kind];
}
