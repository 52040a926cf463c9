/* A row of a fixed table for every open reduction: its streams and how far it is. What a path does
 * is in reduce_flat.c, reduce_nodes.c and reduce_gather.c; here is who moves it.
 *
 * Sums must be formed between messages, so the progress thread of p2p is not enough: one more
 * (comm/background.h), for all groups of a rank, looks after the open reductions while nobody waits
 * for one. */
#include "comm/reduce.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "comm/background.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/nap.h"
#include "comm/mpi_ok.h"
#include "comm/reduce_op.h"

static bool reduce_is_wanted(void);
static bool move_all(void);

/* What the groups of this rank share. The background's lock guards them all, too; it is taken
 * before p2p's. */
static struct reduce_driver {
    struct background background;
    struct reduce *first;
    int open, waiters;
} driver = {.background = {.doing = "forming sums in the background",
                           .wanted = reduce_is_wanted,
                           .move = move_all,
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .wake = PTHREAD_COND_INITIALIZER}};

/* ---- who moves ---- */

/* What was through is not looked at again. */
static bool all_through(struct reduction *op)
{
    while (op->left < op->n_streams && stream_done(&op->stream[op->left])) op->left++;
    return op->left == op->n_streams;
}

/* A stream that is in no open reduction any more may still be told: nothing comes of it. */
static void wake_told(struct reduce *r)
{
    size_t each = (size_t)reduce_streams(&r->form);
    for (const struct p2p_owner *who; (who = p2p_told(r->p2p));) {
        size_t i = (size_t)(who - r->owner);
        struct stream *s = &r->stream[i];
        const struct reduction *op = &r->op[i / each];
        if (op->used && !op->done && s < op->stream + op->n_streams) stream_wake(s);
    }
}

/* Until nothing moves by itself any more. Called with the lock, as all below. */
static bool move_one(struct reduce *r, struct reduction *op)
{
    bool any = false;
    while (op->way->move(r, op)) any = true;
    if (all_through(op)) {
        op->done = true;
        r->n_open--;
        driver.open--;
    }
    return any;
}

static bool move_all(void)
{
    bool moved = false;
    if (driver.open == 0) return false;
    p2p_poll(NULL);
    for (struct reduce *r = driver.first; r; r = r->next) {
        if (r->n_open > 0) wake_told(r);
        for (int i = 0; r->n_open > 0 && i < r->max_open; i++)
            if (r->op[i].used && !r->op[i].done) moved |= move_one(r, &r->op[i]);
    }
    return moved;
}

static bool reduce_is_wanted(void)
{
    return driver.open > 0 && driver.waiters == 0;
}

static void join_driver(struct reduce *r)
{
    pthread_mutex_lock(&driver.background.lock);
    r->next = driver.first;
    driver.first = r;
    pthread_mutex_unlock(&driver.background.lock);
    background_join(&driver.background);
}

static void leave_driver(struct reduce *r)
{
    pthread_mutex_lock(&driver.background.lock);
    for (int i = 0; i < r->max_open; i++)
        INVARIANT(!r->op[i].used, "reduction %d was never waited for", i);
    struct reduce **at = &driver.first;
    while (*at != r) at = &(*at)->next;
    *at = r->next;
    pthread_mutex_unlock(&driver.background.lock);
    background_leave(&driver.background);
}

/* ---- making ---- */

static void name_tags(struct reduce *r)
{
    static const char *const kind[KINDS] = {"gradients", "a running sum", "a sum", "weights"};
    for (int i = 0; i < SEQUENCE * KINDS; i++) r->tag_name[i] = kind[i % KINDS];
    p2p_name(r->p2p, "the replicas", r->tag_name);
}

/* Room for max_open reductions, each with all the streams that either path may need: nothing is
 * allocated by a start. */
struct reduce *reduce_new(const struct transport *t, MPI_Comm comm, const struct reduce_form *f,
                          int max_open)
{
    int rank, size;
    MPI_OK(MPI_Comm_rank(comm, &rank));
    MPI_OK(MPI_Comm_size(comm, &size));
    INVARIANT(rank == f->me && size == f->members && size % f->inner == 0 && max_open < SEQUENCE,
              "member %d of %d by runs of %d in a group of %d", f->me, f->members, f->inner, size);
    struct reduce *r = memory_take(1, sizeof *r, "reductions");
    size_t rows = (size_t)max_open, members = (size_t)size, each = (size_t)reduce_streams(f);
    r->transport = t;
    r->form = *f;
    r->max_open = max_open;
    r->window = REDUCE_WINDOW;
    r->op = memory_take(rows, sizeof *r->op, "reductions");
    r->stream = memory_take(rows * each, sizeof *r->stream, "reductions");
    r->owner = memory_take(rows * each, sizeof *r->owner, "reductions");
    r->term = memory_take(rows * members, sizeof *r->term, "reductions");
    r->node = memory_take(members, sizeof *r->node, "reductions");
    for (int i = 0; f->node && i < size; i++) r->node[i] = f->node[i];
    r->form.node = f->node ? r->node : NULL;
    for (size_t i = 0; i < rows; i++) {
        r->op[i].stream = r->stream + i * each;
        r->op[i].term = r->term + i * members;
    }
    int *peer = memory_take(members, sizeof *peer, "peers of a reduction");
    const struct peers with = {peer, reduce_peers(f, peer)};
    r->p2p = p2p_new_near(t, comm, with.n + 1 < size ? &with : NULL,
                          (int)(rows * each * STREAM_WINDOW) + 1);
    free(peer);
    name_tags(r);
    join_driver(r);
    return r;
}

/* The driver must let go of it before its memory goes. */
void reduce_free(struct reduce *r)
{
    if (!r) return;
    leave_driver(r);
    p2p_free(r->p2p);
    free(r->op);
    free(r->stream);
    free(r->owner);
    free(r->term);
    free(r->node);
    free(r);
}

/* ---- reducing ---- */

/* The sum of counts. */
static size_t check_slices(const struct reduce *r, const struct reduce_job *job)
{
    size_t n = 0, members = (size_t)r->form.members;
    for (size_t i = 0; i < members; i++) {
        INVARIANT(job->offset[i] == job->offset[0] + n, "slice %zu is at %zu", i, job->offset[i]);
        n += job->count[i];
    }
    for (size_t i = 0; i < members; i++)
        INVARIANT(job->count[i] <= (n + members - 1) / members + REDUCE_SLACK,
                  "slice %zu has %zu of %zu", i, job->count[i], n);
    return n;
}

/* Called with the lock. */
static int start_reduction(struct reduce *r, struct reduction given)
{
    int i = 0;
    while (i < r->max_open && r->op[i].used) i++;
    INVARIANT(i < r->max_open, "more than %d reductions open", r->max_open);
    struct reduction *op = &r->op[i];
    given.used = true;
    given.sequence = r->started++ % SEQUENCE;
    given.stream = op->stream;
    given.term = op->term;
    *op = given;
    r->n_open++;
    driver.open++;
    op->way->begin(r, op);
    move_one(r, op);
    background_wake(&driver.background);
    return i;
}

/* All members choose the same path: reduce_choose reads only the form and n, which are equal on
 * all. */
int reduce_start(struct reduce *r, const struct reduce_job *job)
{
    const char *why;
    size_t n = check_slices(r, job);
    INVARIANT(!r->form.gathers, "a sum in a group that only gathers");
    enum reduce_path path = reduce_choose(&r->form, n, &why);
    struct reduction op = {.way = path == REDUCE_NODES ? &reduce_nodes : &reduce_flat,
                           .job = *job,
                           .n = n,
                           .piece = reduce_piece(n),
                           .room = job->scratch};
    pthread_mutex_lock(&driver.background.lock);
    int i = start_reduction(r, op);
    pthread_mutex_unlock(&driver.background.lock);
    return i;
}

/* Always has the path of gathers, which itself goes node by node where the map allows it. */
int reduce_gather_start(struct reduce *r, void *buf, const size_t *count, const size_t *offset,
                        size_t elem_bytes)
{
    struct reduction op = {.way = &reduce_gathers,
                           .job = {.count = count, .offset = offset},
                           .gathered = buf,
                           .elem_bytes = elem_bytes};
    for (int i = 0; i < r->form.members; i++) op.n += count[i];
    pthread_mutex_lock(&driver.background.lock);
    int i = start_reduction(r, op);
    pthread_mutex_unlock(&driver.background.lock);
    return i;
}

/* true when it was done and is free now. */
static bool take_done(struct reduce *r, int op)
{
    INVARIANT(op >= 0 && op < r->max_open && r->op[op].used, "reduction %d is not open", op);
    if (!r->op[op].done) return false;
    r->op[op].used = false;
    return true;
}

bool reduce_test(struct reduce *r, int op)
{
    pthread_mutex_lock(&driver.background.lock);
    move_all();
    bool done = take_done(r, op);
    pthread_mutex_unlock(&driver.background.lock);
    return done;
}

static void say_waiting(const struct reduce *r, const struct reduction *op)
{
    int i = 0;
    while (i + 1 < op->n_streams && stream_done(&op->stream[i])) i++;
    const struct stream *s = &op->stream[i];
    die_waiting("%s %s rank %d of the replicas, piece %zu of %zu", r->tag_name[s->tag],
                s->send ? "to" : "from", s->peer, s->done + 1, s->pieces);
}

/* As p2p_wait_any: the waiting thread moves all reductions itself. */
void reduce_wait(struct reduce *r, int op)
{
    struct nap nap = nap_begin();
    double since = nap.since;
    bool slept = false, first_sleep = false;
    pthread_mutex_lock(&driver.background.lock);
    driver.waiters++;
    while (!take_done(r, op)) {
        if (first_sleep) say_waiting(r, &r->op[op]);
        bool moved = move_all();
        pthread_mutex_unlock(&driver.background.lock);
        if (moved) nap = nap_begin();
        first_sleep = nap_take(&nap);
        slept |= first_sleep;
        pthread_mutex_lock(&driver.background.lock);
    }
    driver.waiters--;
    r->waited += clock_now() - since;
    background_wake(&driver.background);
    pthread_mutex_unlock(&driver.background.lock);
    if (slept) die_waiting(NULL);
}

void reduce_poll(struct reduce *r)
{
    (void)r; /* who polls for one moves all */
    pthread_mutex_lock(&driver.background.lock);
    move_all();
    pthread_mutex_unlock(&driver.background.lock);
}

void reduce_gather(struct reduce *r, void *buf, const size_t *count, const size_t *offset,
                   size_t elem_bytes)
{
    reduce_wait(r, reduce_gather_start(r, buf, count, offset, elem_bytes));
}

double reduce_waited(struct reduce *r)
{
    pthread_mutex_lock(&driver.background.lock);
    double seconds = r->waited;
    r->waited = 0;
    pthread_mutex_unlock(&driver.background.lock);
    return seconds;
}

unsigned long long reduce_crossed(struct reduce *r)
{
    pthread_mutex_lock(&driver.background.lock);
    unsigned long long bytes = r->crossed;
    r->crossed = 0;
    pthread_mutex_unlock(&driver.background.lock);
    return bytes;
}
