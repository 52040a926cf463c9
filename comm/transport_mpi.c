/* MPI on host memory. The open pieces stand in one dense array for MPI_Testsome, with what they
 * were posted as beside it. */
#include <stdio.h>
#include <stdlib.h>

#include "comm/base/descriptors.h"
#include "comm/base/environment.h"
#include "comm/base/memory.h"
#include "comm/base/nap.h"
#include "comm/base/startup.h"
#include "comm/roster.h"
#include "comm/transport.h"
#include "comm/world.h"

struct pieces {
    MPI_Comm comm;
    int n, most;
    MPI_Request *request; /* (most) the first n are open; the arrays below go with it */
    struct transport_piece *piece;
    int *index;                  /* (most) what MPI_Testsome found */
    MPI_Status *status;          /* (most) */
    struct transport_end *ended; /* (most) */
    char why[MPI_MAX_ERROR_STRING];
};

/* ---- connections ---- */

/* The numbers that messages give n ranks. */
static void job_ranks(int *there, MPI_Comm comm, const int *rank, int n)
{
    MPI_Group group, job;
    MPI_OK(MPI_Comm_group(comm, &group));
    MPI_OK(MPI_Comm_group(MPI_COMM_WORLD, &job));
    MPI_OK(MPI_Group_translate_ranks(group, n, rank, job, there));
    MPI_OK(MPI_Group_free(&group));
    MPI_OK(MPI_Group_free(&job));
}

static int job_rank(MPI_Comm comm, int rank)
{
    int there;
    job_ranks(&there, comm, &rank, 1);
    return there;
}

/* The host of a rank of the job; DUET_RANKS_PER_NODE=n stands in for hosts in tests. */
static int host_of(int rank)
{
    const int per_node = (int)environment_number("DUET_RANKS_PER_NODE", 0);
    return per_node > 0 ? rank / per_node : roster_node(rank);
}

/* Which of n ranks are on other hosts. Those of one host have shared memory, which needs no
 * connection. */
static int on_other_hosts(int *far, MPI_Comm comm, const int *rank, int n)
{
    int me, mine, k = 0;
    int *there = memory_take((size_t)n + 1, sizeof *there, "connections");
    MPI_OK(MPI_Comm_rank(comm, &me));
    mine = host_of(job_rank(comm, me));
    job_ranks(there, comm, rank, n);
    for (int i = 0; i < n; i++)
        if (host_of(there[i]) != mine) far[k++] = rank[i];
    free(there);
    return k;
}

/* world_wait, but that it says whom it waits for: a link that is not there shows here first. */
static void wait_connected(MPI_Comm comm, MPI_Request *request, int peer)
{
    struct nap nap = nap_begin();
    int done = 0;
    for (;;) {
        MPI_OK(MPI_Test(request, &done, MPI_STATUS_IGNORE));
        if (done) break;
        if (nap_take(&nap)) die_waiting("the connection with rank %d", job_rank(comm, peer));
    }
    if (nap.slept) die_waiting(NULL);
}

/* Calls n ranks, is called by m others, all at the same time, so that nobody waits for one that
 * waits; each call is answered. Of a pair one calls: were both to, two connections would be made
 * and one given up. */
static void greet(MPI_Comm comm, const int *to, int n, const int *from, int m)
{
    enum { CALL, ANSWER };
    char *in = memory_take((size_t)(n + m) + 1, 1, "connections"), out = 0;
    MPI_Request *call = memory_take(2 * (size_t)(n + m) + 1, sizeof(MPI_Request), "connections");
    MPI_Request *called = call + 2 * n;
    for (int i = 0; i < m; i++)
        MPI_OK(MPI_Irecv(&in[i], 1, MPI_BYTE, from[i], CALL, comm, &called[i]));
    for (int i = 0; i < n; i++) {
        MPI_OK(MPI_Irecv(&in[m + i], 1, MPI_BYTE, to[i], ANSWER, comm, &call[i]));
        MPI_OK(MPI_Isend(&out, 1, MPI_BYTE, to[i], CALL, comm, &call[n + i]));
    }
    for (int i = 0; i < m; i++) {
        wait_connected(comm, &called[i], from[i]);
        MPI_OK(MPI_Isend(&out, 1, MPI_BYTE, from[i], ANSWER, comm, &called[m + i]));
    }
    for (int i = 0; i < n; i++) wait_connected(comm, &call[i], to[i]);
    for (int i = 0; i < n; i++) wait_connected(comm, &call[n + i], to[i]);
    for (int i = 0; i < m; i++) wait_connected(comm, &called[m + i], from[i]);
    free(call);
    free(in);
}

/* Who of a pair calls depends on both, so that nobody is called by all: the lower one where their
 * sum is odd. */
static void connect_near(MPI_Comm comm, const struct peers *with)
{
    int me, to = 0, from = 0;
    int *far = memory_take(3 * (size_t)with->n + 1, sizeof *far, "connections");
    int *called = far + with->n, *callers = called + with->n;
    const int n = on_other_hosts(far, comm, with->rank, with->n);
    MPI_OK(MPI_Comm_rank(comm, &me));
    for (int i = 0; i < n; i++) {
        const bool odd = (me + far[i]) % 2 == 1;
        if ((me < far[i]) == odd)
            called[to++] = far[i];
        else
            callers[from++] = far[i];
    }
    greet(comm, called, to, callers, from);
    free(far);
}

/* What `peers` connections took, those that are left may take, too (over shared memory, or a
 * network of its own, none). MPI would fail at the first that it finds no descriptor for. */
static void check_descriptors(long took, int peers, int left)
{
    long need = took > 0 && peers > 0 && left > 0 ? (took * left + peers - 1) / peers : 0;
    if (need == 0 || descriptors_room(need)) return;
    char what[96], why[128];
    snprintf(what, sizeof what, "connections with %d more ranks, each a file descriptor", left);
    snprintf(why, sizeof why, "%ld are open and about %ld more are needed, but %ld are allowed",
             descriptors_open(), need, descriptors_most());
    die(__FILE__, __LINE__, EXIT_WORLD, what, why,
        "allow more on every host before the job is started: ulimit -n 65536 (in a container "
        "--ulimit nofile=65536, in a service LimitNOFILE=65536)");
}

/* In rounds, in each of which a rank calls those that are s and more behind it and is called by
 * those as far before it, a few at a time: a rank that is called by all at once would have some try
 * again a second later. The first rounds are small: they show what a connection takes. */
static void connect_all(MPI_Comm comm)
{
    enum { AT_ONCE = 16 };
    int me, size, to[AT_ONCE], from[AT_ONCE], far_to[AT_ONCE], far_from[AT_ONCE];
    MPI_OK(MPI_Comm_rank(comm, &me));
    MPI_OK(MPI_Comm_size(comm, &size));
    for (int s = 1, n; 2 * s <= size; s += n) {
        int calls = 0, callers = 0;
        n = s < AT_ONCE ? s : AT_ONCE;
        if (n > size / 2 + 1 - s) n = size / 2 + 1 - s;
        for (int k = s; k < s + n; k++) {
            const bool opposite = 2 * k == size; /* behind and before me is the same rank */
            if (!opposite || me < k) to[calls++] = (me + k) % size;
            if (!opposite || me >= k) from[callers++] = (me + size - k) % size;
        }
        const int far = on_other_hosts(far_to, comm, to, calls);
        const int far_callers = on_other_hosts(far_from, comm, from, callers);
        const int met = 2 * (s + n - 1); /* from both sides */
        long before = descriptors_open();
        greet(comm, far_to, far, far_from, far_callers);
        check_descriptors(descriptors_open() - before, far + far_callers, size - 1 - met);
    }
}

/* A duplicate of the communicator: its tags are ours alone. Over TCP a connection is made at the
 * first message and needs both sides' calls; so they are made now, when nobody computes. */
static void *mpi_open(const struct transport *t, MPI_Comm comm, const struct peers *with, int most)
{
    static const char what[] = "open messages";
    struct pieces *p = memory_take(1, sizeof *p, what);
    size_t rows = (size_t)most;
    (void)t;
    const enum startup_part former = startup_enter(STARTUP_CONNECTIONS);
    p->most = most;
    p->request = memory_take(rows, sizeof(MPI_Request), what);
    p->piece = memory_take(rows, sizeof *p->piece, what);
    p->index = memory_take(rows, sizeof *p->index, what);
    p->status = memory_take(rows, sizeof *p->status, what);
    p->ended = memory_take(rows, sizeof *p->ended, what);
    MPI_OK(MPI_Comm_dup(comm, &p->comm));
    MPI_OK(MPI_Comm_set_errhandler(p->comm, MPI_ERRORS_RETURN));
    descriptors_room(with ? with->n : 0);
    if (with)
        connect_near(p->comm, with);
    else
        connect_all(p->comm);
    startup_enter(former);
    return p;
}

static void mpi_close(void *self)
{
    struct pieces *p = self;
    MPI_OK(MPI_Comm_free(&p->comm));
    free(p->request);
    free(p->piece);
    free(p->index);
    free(p->status);
    free(p->ended);
    free(p);
}

/* Requests fill a dense array, since MPI_Testsome takes one; close_gaps keeps it dense. */
static void mpi_post(void *self, const struct transport_piece *piece)
{
    struct pieces *p = self;
    int n = (int)piece->bytes, k = p->n++;
    INVARIANT(k < p->most, "more than %d pieces open", p->most);
    if (piece->send)
        MPI_OK(
            MPI_Isend(piece->buf, n, MPI_BYTE, piece->peer, piece->tag, p->comm, &p->request[k]));
    else
        MPI_OK(
            MPI_Irecv(piece->buf, n, MPI_BYTE, piece->peer, piece->tag, p->comm, &p->request[k]));
    p->piece[k] = *piece;
}

/* An error is handed up with what was posted: p2p.c can say which message, of whom. */
static struct transport_end end_of(struct pieces *p, int k, const MPI_Status *s, bool in_status)
{
    const struct transport_piece *piece = &p->piece[k];
    struct transport_end e = {.owner = piece->owner, .posted = piece->bytes, .bytes = piece->bytes};
    int n = 0;
    if (in_status && s->MPI_ERROR != MPI_SUCCESS && s->MPI_ERROR != MPI_ERR_PENDING) {
        e.what = piece->send ? "MPI_Isend" : "MPI_Irecv";
        e.why = mpi_why(s->MPI_ERROR, p->why);
    } else if (!piece->send) {
        MPI_OK(MPI_Get_count(s, MPI_BYTE, &n));
        e.bytes = (size_t)n;
    }
    return e;
}

static void close_gaps(struct pieces *p)
{
    int n = 0;
    for (int k = 0; k < p->n; k++) {
        if (p->request[k] == MPI_REQUEST_NULL) continue;
        p->request[n] = p->request[k];
        p->piece[n++] = p->piece[k];
    }
    p->n = n;
}

/* MPI_Testsome also drives MPI's progress. */
static int mpi_look(void *self, const struct transport_end **list)
{
    struct pieces *p = self;
    int n = 0;
    *list = p->ended;
    if (p->n == 0) return 0;
    int rc = MPI_Testsome(p->n, p->request, &n, p->index, p->status);
    if (rc != MPI_SUCCESS && rc != MPI_ERR_IN_STATUS)
        mpi_die(__FILE__, __LINE__, "MPI_Testsome", rc);
    if (n == MPI_UNDEFINED) n = 0;
    for (int i = 0; i < n; i++)
        p->ended[i] = end_of(p, p->index[i], &p->status[i], rc == MPI_ERR_IN_STATUS);
    if (n > 0) close_gaps(p);
    return n;
}

const struct transport transport_mpi = {.name = "mpi",
                                        .device = &device_host,
                                        .open = mpi_open,
                                        .close = mpi_close,
                                        .post = mpi_post,
                                        .look = mpi_look,
                                        .join = join_host,
                                        .encode = codec_encode,
                                        .decode = codec_decode};
