/* Messages between stages. A message is a row of a fixed table; it travels in pieces, at most
 * WINDOW of them open, and the open pieces of all messages stand in one dense array for MPI_Testsome.
 *
 * Who drives: a thread that waits for a message drives all messages of all p2ps of the rank. While nobody waits and a
 * message is open that MPI cannot finish by itself (above the eager limit), the progress thread does; there is
 * one for all p2ps, so that a rank with several groups does not wake up more often. Otherwise it sleeps on a
 * condition, so that the small messages of decoding never wake it. */
#include "comm/p2p.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "comm/background.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/nap.h"
#include "comm/world.h"

enum { WINDOW = 4, TAG_LIMIT = 1 << 20 };
static const size_t piece_bytes =
    P2P_PIECE;                          /* over shared memory larger ones go one way at a time */
static const size_t eager_bytes = 4096; /* of shared memory, Open MPI's smallest */

struct message {
    bool used, send, most; /* most: a receive that a shorter message may end */
    int peer, tag;
    unsigned char *buf;
    size_t bytes;
    size_t pieces, posted; /* of `pieces`, `posted` have been handed to MPI, in order */
    int open;              /* handed over and not complete */
    uint64_t order;        /* counts up with every message of this rank */
};

static bool is_wanted(void);
static bool drive(void);

/* What the p2ps of this rank share. The background's lock guards them all, too. */
static struct driver {
    struct background background;
    struct p2p *first;
    int heavy;   /* open messages that need driving */
    int waiters; /* threads in p2p_wait: they drive */
} driver = {.background = {.doing = "moving messages in the background",
                           .wanted = is_wanted,
                           .move = drive,
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .wake = PTHREAD_COND_INITIALIZER}};

struct p2p {
    struct p2p *next;
    MPI_Comm comm;
    const char *group, *const *tag_name; /* p2p_name */
    int max_open, n_used;
    struct message *message; /* (max_open) */
    MPI_Request
        *request; /* (max_open * WINDOW), the first n_open in use, with their owner and size */
    int *owner, *size, *index;
    MPI_Status *status;
    int n_open;
    int unposted; /* messages with pieces still to be handed over */
    uint64_t order;
    double waited;
};

static bool message_done(const struct message *m)
{
    return m->posted == m->pieces && m->open == 0;
}

/* Pieces of messages with equal peer, tag and direction match in the order of posting: a later message
 * must not hand over a piece before the earlier one has handed over all of its. */
static bool must_follow(const struct p2p *p, const struct message *m)
{
    if (p->unposted <= 1) return false; /* m itself */
    for (int i = 0; i < p->max_open; i++) {
        const struct message *o = &p->message[i];
        if (o->used && o->posted < o->pieces && o->order < m->order && o->peer == m->peer &&
            o->tag == m->tag && o->send == m->send)
            return true;
    }
    return false;
}

static void post_piece(struct p2p *p, struct message *m)
{
    size_t at = m->posted * piece_bytes, left = m->bytes - at;
    int n = (int)(left < piece_bytes ? left : piece_bytes), k = p->n_open++;
    if (m->send)
        MPI_OK(MPI_Isend(m->buf + at, n, MPI_BYTE, m->peer, m->tag, p->comm, &p->request[k]));
    else
        MPI_OK(MPI_Irecv(m->buf + at, n, MPI_BYTE, m->peer, m->tag, p->comm, &p->request[k]));
    p->owner[k] = (int)(m - p->message);
    p->size[k] = n;
    m->open++;
    m->posted++;
}

static void post_pieces(struct p2p *p, struct message *m)
{
    if (must_follow(p, m)) return;
    while (m->posted < m->pieces && m->open < WINDOW) post_piece(p, m);
    if (m->posted == m->pieces) p->unposted--;
}

/* "tag 5 from rank 3 of the pipeline" */
static void say_message(const struct p2p *p, const struct message *m, char *text, size_t n)
{
    char tag[32];
    snprintf(tag, sizeof tag, "tag %d", m->tag);
    snprintf(text, n, "%s %s rank %d of %s", p->tag_name ? p->tag_name[m->tag] : tag,
             m->send ? "to" : "from", m->peer, p->group);
}

/* A piece that failed or has another size than its receiver was told. */
static void piece_check(const struct p2p *p, int k, const MPI_Status *s, bool in_status)
{
    const struct message *m = &p->message[p->owner[k]];
    char text[96];
    int n = 0;
    if (in_status && s->MPI_ERROR != MPI_SUCCESS && s->MPI_ERROR != MPI_ERR_PENDING) {
        say_message(p, m, text, sizeof text);
        die_waiting("%s", text);
        mpi_die(__FILE__, __LINE__, m->send ? "MPI_Isend" : "MPI_Irecv", s->MPI_ERROR);
    }
    if (m->send) return;
    MPI_OK(MPI_Get_count(s, MPI_BYTE, &n));
    INVARIANT(n == p->size[k] || (m->most && n < p->size[k]),
              "tag %d from rank %d: %d bytes came, %d were awaited", m->tag, m->peer, n,
              p->size[k]);
}

static void close_gaps(struct p2p *p)
{
    int n = 0;
    for (int k = 0; k < p->n_open; k++) {
        if (p->request[k] == MPI_REQUEST_NULL) continue;
        p->request[n] = p->request[k];
        p->owner[n] = p->owner[k];
        p->size[n++] = p->size[k];
    }
    p->n_open = n;
}

/* One look at everything that is open in one p2p. Returns true if a piece has finished. Called with the lock. */
static bool drive_one(struct p2p *p)
{
    int n = 0;
    if (p->n_open > 0) {
        int rc = MPI_Testsome(p->n_open, p->request, &n, p->index, p->status);
        if (rc != MPI_SUCCESS && rc != MPI_ERR_IN_STATUS)
            mpi_die(__FILE__, __LINE__, "MPI_Testsome", rc);
        if (n == MPI_UNDEFINED) n = 0;
        for (int i = 0; i < n; i++) {
            int k = p->index[i];
            struct message *m = &p->message[p->owner[k]];
            piece_check(p, k, &p->status[i], rc == MPI_ERR_IN_STATUS);
            m->open--;
            if (m->bytes > eager_bytes && message_done(m)) driver.heavy--;
        }
    }
    if (n > 0) close_gaps(p);
    for (int i = 0; p->unposted > 0 && i < p->max_open; i++)
        if (p->message[i].used && p->message[i].posted < p->message[i].pieces)
            post_pieces(p, &p->message[i]);
    return n > 0;
}

static bool drive(void)
{
    bool moved = false;
    for (struct p2p *p = driver.first; p; p = p->next) moved |= drive_one(p);
    return moved;
}

static bool is_wanted(void)
{
    return driver.heavy > 0 && driver.waiters == 0;
}

/* Over TCP a connection is made at the first message and needs both sides' calls; so we make all of
 * them now, when nobody computes. */
static void connect_all(MPI_Comm comm)
{
    int me, n;
    char in = 0, out = 0;
    MPI_OK(MPI_Comm_rank(comm, &me));
    MPI_OK(MPI_Comm_size(comm, &n));
    for (int s = 1; s < n; s++) {
        MPI_Request r[2];
        MPI_OK(MPI_Irecv(&in, 1, MPI_BYTE, (me + n - s) % n, 0, comm, &r[0]));
        MPI_OK(MPI_Isend(&out, 1, MPI_BYTE, (me + s) % n, 0, comm, &r[1]));
        world_wait(r, 2);
    }
}

static void join_driver(struct p2p *p)
{
    pthread_mutex_lock(&driver.background.lock);
    p->next = driver.first;
    driver.first = p;
    pthread_mutex_unlock(&driver.background.lock);
    background_join(&driver.background);
}

static void leave_driver(struct p2p *p)
{
    pthread_mutex_lock(&driver.background.lock);
    INVARIANT(p->n_used == 0, "%d messages were never waited for", p->n_used);
    struct p2p **at = &driver.first;
    while (*at != p) at = &(*at)->next;
    *at = p->next;
    pthread_mutex_unlock(&driver.background.lock);
    background_leave(&driver.background);
}

struct p2p *p2p_new(MPI_Comm comm, int max_open)
{
    struct p2p *p = memory_take(1, sizeof *p, "open messages");
    size_t rows = (size_t)max_open, pieces = rows * WINDOW;
    p->max_open = max_open;
    p->group = "the pipeline";
    p->message = memory_take(rows, sizeof *p->message, "open messages");
    p->request = memory_take(pieces, sizeof(MPI_Request), "open messages");
    p->status = memory_take(pieces, sizeof *p->status, "open messages");
    p->owner = memory_take(pieces, sizeof *p->owner, "open messages");
    p->size = memory_take(pieces, sizeof *p->size, "open messages");
    p->index = memory_take(pieces, sizeof *p->index, "open messages");
    MPI_OK(MPI_Comm_dup(comm, &p->comm));
    MPI_OK(MPI_Comm_set_errhandler(p->comm, MPI_ERRORS_RETURN));
    connect_all(p->comm);
    join_driver(p);
    return p;
}

void p2p_free(struct p2p *p)
{
    if (!p) return;
    leave_driver(p);
    MPI_OK(MPI_Comm_free(&p->comm));
    free(p->message);
    free(p->request);
    free(p->status);
    free(p->owner);
    free(p->size);
    free(p->index);
    free(p);
}

void p2p_name(struct p2p *p, const char *group, const char *const *tag_name)
{
    pthread_mutex_lock(&driver.background.lock);
    p->group = group;
    p->tag_name = tag_name;
    pthread_mutex_unlock(&driver.background.lock);
}

static ticket post(struct p2p *p, struct message m)
{
    INVARIANT(m.tag >= 0 && m.tag < TAG_LIMIT, "tag %d", m.tag);
    m.used = true;
    m.pieces = m.bytes ? (m.bytes + piece_bytes - 1) / piece_bytes : 1;
    pthread_mutex_lock(&driver.background.lock);
    ticket t = 0;
    while (t < p->max_open && p->message[t].used) t++;
    INVARIANT(t < p->max_open, "more than %d messages open", p->max_open);
    m.order = p->order++;
    p->message[t] = m;
    p->n_used++;
    p->unposted++;
    driver.heavy += m.bytes > eager_bytes;
    post_pieces(p, &p->message[t]);
    background_wake(&driver.background);
    pthread_mutex_unlock(&driver.background.lock);
    return t;
}

ticket p2p_send(struct p2p *p, int peer, int tag, const void *buf, size_t bytes)
{
    union {
        const void *in;
        void *out;
    } b = {.in = buf}; /* one table for both ways; a send only reads */
    return post(
        p, (struct message){.send = true, .peer = peer, .tag = tag, .buf = b.out, .bytes = bytes});
}

ticket p2p_recv(struct p2p *p, int peer, int tag, void *buf, size_t bytes)
{
    return post(p, (struct message){.peer = peer, .tag = tag, .buf = buf, .bytes = bytes});
}

ticket p2p_recv_most(struct p2p *p, int peer, int tag, void *buf, size_t most)
{
    INVARIANT(most <= piece_bytes, "%zu bytes travel in pieces", most);
    return post(
        p, (struct message){.most = true, .peer = peer, .tag = tag, .buf = buf, .bytes = most});
}

static struct message *message_of(struct p2p *p, ticket t)
{
    INVARIANT(t >= 0 && t < p->max_open && p->message[t].used, "ticket %d is not open", t);
    return &p->message[t];
}

/* Index of the first finished one of the tickets, whose row is freed; -1 if none. Called with the lock. */
static int take_done(struct p2p *p, const ticket *t, int n)
{
    for (int i = 0; i < n; i++) {
        if (t[i] == TICKET_NONE || !message_done(message_of(p, t[i]))) continue;
        p->message[t[i]].used = false;
        p->n_used--;
        return i;
    }
    return -1;
}

static void say_waiting(struct p2p *p, ticket t, int n)
{
    const struct message *m = message_of(p, t);
    char text[96];
    say_message(p, m, text, sizeof text);
    die_waiting("%s, %zu bytes (%d awaited, %d open)", text, m->bytes, n, p->n_used);
}

int p2p_wait_any(struct p2p *p, const ticket *t, int n)
{
    int first = 0;
    while (first < n && t[first] == TICKET_NONE) first++;
    if (first == n) return -1;
    struct nap nap = nap_begin();
    bool first_sleep = false;
    pthread_mutex_lock(&driver.background.lock);
    int done = take_done(p, t, n);
    driver.waiters++;
    while (done < 0) {
        drive();
        done = take_done(p, t, n);
        if (done >= 0) break;
        if (first_sleep) say_waiting(p, t[first], n);
        pthread_mutex_unlock(&driver.background.lock);
        first_sleep = nap_take(&nap);
        pthread_mutex_lock(&driver.background.lock);
    }
    driver.waiters--;
    p->waited += clock_now() - nap.since;
    background_wake(&driver.background);
    pthread_mutex_unlock(&driver.background.lock);
    if (nap.slept) die_waiting(NULL);
    return done;
}

void p2p_wait(struct p2p *p, ticket t)
{
    p2p_wait_any(p, &t, 1);
}

static bool look(struct p2p *p, ticket t, bool moving)
{
    if (t == TICKET_NONE) return true;
    pthread_mutex_lock(&driver.background.lock);
    if (moving && !message_done(message_of(p, t))) drive();
    bool done = take_done(p, &t, 1) == 0;
    pthread_mutex_unlock(&driver.background.lock);
    return done;
}

bool p2p_test(struct p2p *p, ticket t)
{
    return look(p, t, true);
}

bool p2p_take(struct p2p *p, ticket t)
{
    return look(p, t, false);
}

void p2p_poll(struct p2p *p)
{
    (void)p; /* who polls for one moves all */
    pthread_mutex_lock(&driver.background.lock);
    drive();
    pthread_mutex_unlock(&driver.background.lock);
}

double p2p_waited(struct p2p *p)
{
    pthread_mutex_lock(&driver.background.lock);
    double seconds = p->waited;
    p->waited = 0;
    pthread_mutex_unlock(&driver.background.lock);
    return seconds;
}
