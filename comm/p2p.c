/* Messages between stages. A message is a row of a fixed table (message_table.h); it travels in
 * pieces, at most WINDOW of them open, over the rows of a transport.
 *
 * Who drives: a thread that waits for a message drives all messages of all p2ps of the rank. While
 * nobody waits and a message is open that MPI cannot finish by itself (above the eager limit), the
 * progress thread does; there is one for all p2ps, so that a rank with several groups does not wake
 * up more often. Otherwise it sleeps on a condition, so that the small messages of decoding never
 * wake it. */
#include "comm/p2p.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "comm/background.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/nap.h"
#include "comm/message_table.h"
#include "comm/mpi_ok.h"
#include "comm/transport.h"

enum { WINDOW = 4 };
static const size_t piece_bytes = P2P_PIECE; /* larger ones go one way at a time in shared memory */

static bool p2p_is_wanted(void);
static bool drive(void);

/* What the p2ps of this rank share. The background's lock guards them all, too. */
static struct p2p_driver {
    struct background background;
    struct p2p *first;
    int heavy;   /* open messages and steps that need driving */
    int waiters; /* threads in p2p_wait: they drive */
} driver = {.background = {.doing = "moving messages in the background",
                           .wanted = p2p_is_wanted,
                           .move = drive,
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .wake = PTHREAD_COND_INITIALIZER}};

struct p2p {
    struct p2p *next;
    const struct transport *wire;        /* whose rows carry the pieces */
    void *connection;                    /* theirs */
    const char *group, *const *tag_name; /* p2p_name */
    struct message_table table;
    struct p2p_step *step; /* open ones */
    struct p2p_owner *told, **told_end;
    int n_open; /* pieces */
    bool *near; /* (size) by rank: a peer, or this one itself; NULL: all are */
    double waited;
};

static bool message_done(const struct message *m)
{
    return m->posted == m->pieces && m->open == 0;
}

/* Called with the driver's lock held. Pieces of a message share its tag: MPI keeps their order. */
static void post_piece(struct p2p *p, int row)
{
    struct message *m = &p->table.row[row];
    size_t at = m->posted * piece_bytes, left = m->bytes - at;
    struct transport_piece piece = {
        .send = m->send, .peer = m->peer, .tag = m->tag, .buf = m->buf + at, .owner = row};
    piece.bytes = left < piece_bytes ? left : piece_bytes;
    p->wire->post(p->connection, &piece);
    p->n_open++;
    m->open++;
    m->posted++;
}

/* The first of a line hands over what the window lets it, unless it is held; behind its last piece
 * come those of the next. */
static void post_pieces(struct p2p *p, int row)
{
    while (row != NO_ROW) {
        const struct message *m = &p->table.row[row];
        while (!m->until && m->posted < m->pieces && m->open < WINDOW) post_piece(p, row);
        if (m->posted < m->pieces) return;
        row = message_line_next(&p->table, row);
    }
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
static void piece_check(const struct p2p *p, const struct transport_end *e)
{
    const struct message *m = &p->table.row[e->owner];
    if (e->why) {
        char text[96];
        say_message(p, m, text, sizeof text);
        die_waiting("%s", text);
        die(__FILE__, __LINE__, EXIT_WORLD, e->what, e->why, mpi_fix);
    }
    if (m->send) return;
    INVARIANT(e->bytes == e->posted || (m->most && e->bytes < e->posted),
              "tag %d from rank %d: received %zu bytes, expected %zu", m->tag, m->peer, e->bytes,
              e->posted);
}

/* In the order in which messages end. */
static void tell(struct p2p *p, struct p2p_owner *who)
{
    if (!who || who->told) return;
    who->told = true;
    who->next = NULL;
    *p->told_end = who;
    p->told_end = &who->next;
}

/* One look at everything that is open in one p2p. Returns true if a piece has finished. Only then
 * may another one follow: of its message, which is the first of its line if it has any left. Called
 * with the lock. */
static bool drive_one(struct p2p *p)
{
    const struct transport_end *ended;
    int n = p->n_open > 0 ? p->wire->look(p->connection, &ended) : 0;
    for (int i = 0; i < n; i++) {
        struct message *m = &p->table.row[ended[i].owner];
        piece_check(p, &ended[i]);
        p->n_open--;
        m->open--;
        if (!message_done(m)) continue;
        driver.heavy -= m->bytes > P2P_EAGER;
        tell(p, m->owner);
    }
    for (int i = 0; i < n; i++) {
        const struct message *m = &p->table.row[ended[i].owner];
        if (m->posted < m->pieces) post_pieces(p, ended[i].owner);
    }
    return n > 0;
}

/* ---- steps ---- */

static bool receives_through(struct p2p *p, struct p2p_step *s)
{
    while (s->n_after > 0 && message_done(&p->table.row[s->after[s->n_after - 1]]))
        message_drop(&p->table, s->after[--s->n_after]);
    return s->n_after == 0;
}

/* A message whose turn in its line has not come goes with the one before it. */
static void send_held(struct p2p *p, const struct p2p_step *s)
{
    for (int i = 0; i < s->n_held; i++) {
        p->table.row[s->held[i]].until = NULL;
        if (message_is_first(&p->table, s->held[i])) post_pieces(p, s->held[i]);
    }
}

/* Called with the lock. true: some work was done. */
static bool drive_steps(struct p2p *p)
{
    bool moved = false;
    for (struct p2p_step **at = &p->step; *at;) {
        struct p2p_step *s = *at;
        bool begun = receives_through(p, s), done = begun && s->work(s);
        moved |= begun;
        if (!done) {
            at = &s->next;
            continue;
        }
        *at = s->next; /* its owner may have it again as soon as the last message is through */
        driver.heavy--;
        send_held(p, s);
    }
    return moved;
}

/* ---- all ---- */

static bool drive(void)
{
    bool moved = false;
    for (struct p2p *p = driver.first; p; p = p->next) {
        moved |= drive_one(p);
        if (p->step) moved |= drive_steps(p);
    }
    return moved;
}

static bool p2p_is_wanted(void)
{
    return driver.heavy > 0 && driver.waiters == 0;
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
    INVARIANT(!p->step, "the work between two messages was not done");
    INVARIANT(p->table.used == 0, "%d messages were never waited for", p->table.used);
    struct p2p **at = &driver.first;
    while (*at != p) at = &(*at)->next;
    *at = p->next;
    pthread_mutex_unlock(&driver.background.lock);
    background_leave(&driver.background);
}

static bool *mark_near(MPI_Comm comm, const struct peers *with)
{
    int me, size;
    MPI_OK(MPI_Comm_rank(comm, &me));
    MPI_OK(MPI_Comm_size(comm, &size));
    bool *near = memory_take((size_t)size, sizeof *near, "peers");
    near[me] = true;
    for (int i = 0; i < with->n; i++) near[with->rank[i]] = true;
    return near;
}

struct p2p *p2p_new_near(const struct transport *t, MPI_Comm comm, const struct peers *with,
                         int max_open)
{
    struct p2p *p = memory_take(1, sizeof *p, "open messages");
    p->group = "the pipeline";
    p->told_end = &p->told;
    message_table_make(&p->table, max_open);
    p->wire = transport_wire(t);
    p->near = with ? mark_near(comm, with) : NULL;
    p->connection = p->wire->open(t, comm, with, max_open * WINDOW);
    join_driver(p);
    return p;
}

struct p2p *p2p_new(const struct transport *t, MPI_Comm comm, int max_open)
{
    return p2p_new_near(t, comm, NULL, max_open);
}

void p2p_free(struct p2p *p)
{
    if (!p) return;
    leave_driver(p);
    p->wire->close(p->connection);
    message_table_free(&p->table);
    free(p->near);
    free(p);
}

void p2p_name(struct p2p *p, const char *group, const char *const *tag_name)
{
    pthread_mutex_lock(&driver.background.lock);
    p->group = group;
    p->tag_name = tag_name;
    pthread_mutex_unlock(&driver.background.lock);
}

/* Tickets are rows of a fixed table: no allocation inside a step. */
static ticket post(struct p2p *p, struct message m)
{
    bool first;
    INVARIANT(m.tag >= 0 && m.tag < P2P_TAGS, "tag %d", m.tag);
    INVARIANT(!p->near || p->near[m.peer], "rank %d is no peer of this one", m.peer);
    m.pieces = m.bytes ? (m.bytes + piece_bytes - 1) / piece_bytes : 1;
    pthread_mutex_lock(&driver.background.lock);
    ticket t = message_add(&p->table, m, &first);
    INVARIANT(t != NO_ROW, "more than %d messages open", p->table.rows);
    driver.heavy += m.bytes > P2P_EAGER;
    if (first) post_pieces(p, t);
    background_wake(&driver.background);
    pthread_mutex_unlock(&driver.background.lock);
    return t;
}

ticket p2p_send_held(struct p2p *p, const struct p2p_step *until, int peer, int tag,
                     const void *buf, size_t bytes)
{
    union {
        const void *in;
        void *out;
    } b = {.in = buf}; /* one table for both ways; a send only reads */
    struct message m = {.send = true, .peer = peer, .tag = tag, .buf = b.out, .bytes = bytes};
    m.until = until;
    return post(p, m);
}

ticket p2p_send(struct p2p *p, int peer, int tag, const void *buf, size_t bytes)
{
    return p2p_send_held(p, NULL, peer, tag, buf, bytes);
}

/* It counts among what needs driving: the messages that it waits for may be small. */
void p2p_then(struct p2p *p, struct p2p_step *s)
{
    pthread_mutex_lock(&driver.background.lock);
    s->next = p->step;
    p->step = s;
    driver.heavy++;
    background_wake(&driver.background);
    pthread_mutex_unlock(&driver.background.lock);
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
    INVARIANT(t >= 0 && t < p->table.rows && p->table.row[t].used, "ticket %d is not open", t);
    return &p->table.row[t];
}

/* Index of the first finished one of the tickets, whose row is freed; -1 if none. Called with the
 * lock. */
static int take_done(struct p2p *p, const ticket *t, int n)
{
    for (int i = 0; i < n; i++) {
        if (t[i] == TICKET_NONE || !message_done(message_of(p, t[i]))) continue;
        message_drop(&p->table, t[i]);
        return i;
    }
    return -1;
}

/* Who waits for what is held waits for what holds it. */
static void say_waiting(struct p2p *p, ticket t, int n)
{
    const struct message *m = message_of(p, t);
    char text[96];
    if (m->until && m->until->n_after > 0) m = message_of(p, m->until->after[0]);
    say_message(p, m, text, sizeof text);
    die_waiting("%s, %zu bytes (%d expected, %d open)", text, m->bytes, n, p->table.used);
}

/* The waiting thread drives all messages itself, and the background thread stays out of its way
 * while `waiters` is above 0. */
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
        bool moved = drive();
        done = take_done(p, t, n);
        if (done >= 0) break;
        if (first_sleep) say_waiting(p, t[first], n);
        pthread_mutex_unlock(&driver.background.lock);
        first_sleep = !(moved && p->step) && nap_take(&nap);
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

static bool look_at_ticket(struct p2p *p, ticket t, bool moving)
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
    return look_at_ticket(p, t, true);
}

bool p2p_take(struct p2p *p, ticket t)
{
    return look_at_ticket(p, t, false);
}

/* It may be through already: another thread moves messages, too. */
void p2p_tell(struct p2p *p, ticket t, struct p2p_owner *who)
{
    pthread_mutex_lock(&driver.background.lock);
    struct message *m = message_of(p, t);
    m->owner = who;
    if (message_done(m)) tell(p, who);
    pthread_mutex_unlock(&driver.background.lock);
}

struct p2p_owner *p2p_told(struct p2p *p)
{
    pthread_mutex_lock(&driver.background.lock);
    struct p2p_owner *who = p->told;
    if (who) {
        p->told = who->next;
        who->told = false;
        if (!p->told) p->told_end = &p->told;
    }
    pthread_mutex_unlock(&driver.background.lock);
    return who;
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
