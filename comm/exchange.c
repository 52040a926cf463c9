/* A row of a fixed table for every open exchange: its messages, and for a sum what is to be added
 * when they are through. Sums take one round, not two (slices, then a gather): for the two to eight
 * members of a tensor-parallel group the second start costs more than the bytes it saves, and
 * nobody would be there to start it. */
#include "comm/exchange.h"

#include <stdlib.h>

#include "comm/base/memory.h"
#include "comm/mpi_ok.h"
#include "comm/p2p.h"

enum exchange_kind { ALL_TO_ALL, ALL_REDUCE, ALL_GATHER, KINDS };

#define CHANNEL(n) \
    "all-to-all of channel " #n, "all-reduce of channel " #n, "all-gather of channel " #n
static const char *const tag_names[EXCHANGE_CHANNELS * KINDS] = {CHANNEL(0), CHANNEL(1), CHANNEL(2),
                                                                 CHANNEL(3)};

struct operation {
    bool used;
    int n;          /* messages */
    ticket *ticket; /* (2 * (size - 1)) TICKET_NONE where one is through */
    float *sum;     /* where it goes; NULL: nothing is added */
    size_t count;
    struct join join;
    struct join_term *term; /* (size) */
};

struct exchange {
    const struct transport *transport;
    struct p2p *p2p;
    int rank, size, max_open;
    struct operation *op; /* (max_open) */
    ticket *tickets;      /* of all rows */
    struct join_term *terms;
};

/* Everything for max_open operations is allocated here: posting one inside a step allocates nothing
 * (P7). */
struct exchange *exchange_new(const struct transport *t, MPI_Comm comm, int max_open)
{
    struct exchange *x = memory_take(1, sizeof *x, "open exchanges");
    MPI_OK(MPI_Comm_rank(comm, &x->rank));
    MPI_OK(MPI_Comm_size(comm, &x->size));
    int each = 2 * (x->size - 1), all = each * max_open;
    x->transport = t;
    x->max_open = max_open;
    x->op = memory_take((size_t)max_open, sizeof *x->op, "open exchanges");
    x->tickets = memory_take((size_t)all, sizeof *x->tickets, "open exchanges");
    x->terms = memory_take((size_t)(x->size * max_open), sizeof *x->terms, "open exchanges");
    for (int i = 0; i < max_open; i++) {
        x->op[i].ticket = x->tickets + i * each;
        x->op[i].term = x->terms + i * x->size;
    }
    x->p2p = p2p_new(t, comm, all > 0 ? all : 1);
    p2p_name(x->p2p, "the group", tag_names);
    return x;
}

void exchange_free(struct exchange *x)
{
    if (!x) return;
    for (int i = 0; i < x->max_open; i++)
        INVARIANT(!x->op[i].used, "exchange %d was never waited for", i);
    p2p_free(x->p2p);
    free(x->op);
    free(x->tickets);
    free(x->terms);
    free(x);
}

int exchange_rank(const struct exchange *x)
{
    return x ? x->rank : 0;
}

int exchange_size(const struct exchange *x)
{
    return x ? x->size : 1;
}

/* ---- posting ---- */

static struct operation *open_operation(struct exchange *x)
{
    int i = 0;
    while (i < x->max_open && x->op[i].used) i++;
    INVARIANT(i < x->max_open, "more than %d exchanges open", x->max_open);
    struct operation *o = &x->op[i];
    *o = (struct operation){.used = true, .ticket = o->ticket, .term = o->term};
    return o;
}

/* One round: the members start with different peers, so that not all send to one. Nothing is sent
 * of no bytes. */
static void post_receive(struct exchange *x, struct operation *o, int tag, int from, void *buf,
                         size_t bytes)
{
    if (bytes > 0) o->ticket[o->n++] = p2p_recv(x->p2p, from, tag, buf, bytes);
}

static void post_send(struct exchange *x, struct operation *o, int tag, int to, const void *buf,
                      size_t bytes)
{
    if (bytes > 0) o->ticket[o->n++] = p2p_send(x->p2p, to, tag, buf, bytes);
}

static int peer_before(const struct exchange *x, int k)
{
    return (x->rank + x->size - k) % x->size;
}
static int peer_after(const struct exchange *x, int k)
{
    return (x->rank + k) % x->size;
}

static int tag_of(int channel, enum exchange_kind kind)
{
    INVARIANT(channel >= 0 && channel < EXCHANGE_CHANNELS, "channel %d", channel);
    return channel * KINDS + (int)kind;
}

/* Receives are posted before sends, so that messages arrive in posted buffers. */
int exchange_all_to_all(struct exchange *x, int channel, void *recv, const size_t *recv_count,
                        const size_t *recv_offset, const void *send, const size_t *send_count,
                        const size_t *send_offset)
{
    unsigned char *in = recv;
    const unsigned char *out = send;
    int me = exchange_rank(x), tag = tag_of(channel, ALL_TO_ALL);
    INVARIANT(recv_count[me] == send_count[me], "this rank sends itself %zu bytes and expects %zu",
              send_count[me], recv_count[me]);
    if (recv_count[me] > 0)
        device_copy(x ? x->transport->device : &device_host, in + recv_offset[me],
                    out + send_offset[me], recv_count[me]);
    if (exchange_size(x) == 1) return EXCHANGE_NONE;
    struct operation *o = open_operation(x);
    for (int k = 1; k < x->size; k++) {
        int from = peer_before(x, k);
        post_receive(x, o, tag, from, in + recv_offset[from], recv_count[from]);
    }
    for (int k = 1; k < x->size; k++) {
        int to = peer_after(x, k);
        post_send(x, o, tag, to, out + send_offset[to], send_count[to]);
    }
    return (int)(o - x->op);
}

/* Every rank gets all terms and sums them itself in rank order (P4). For small arrays only: it
 * sends n floats to each other rank. */
static int all_reduce(struct exchange *x, int channel, float *buf, size_t n, float *scratch,
                      enum join_op join)
{
    int tag = tag_of(channel, ALL_REDUCE);
    if (exchange_size(x) == 1) return EXCHANGE_NONE;
    struct operation *o = open_operation(x);
    o->sum = buf, o->count = n;
    o->join = (struct join){.op = join, .term = o->term, .terms = x->size, .inner = 1};
    for (int i = 0; i < x->size; i++)
        o->term[i] = (struct join_term){CODEC_FP32, i == x->rank ? buf : scratch + n * (size_t)i};
    for (int k = 1; k < x->size; k++) {
        int from = peer_before(x, k);
        post_receive(x, o, tag, from, scratch + n * (size_t)from, n * sizeof *buf);
    }
    for (int k = 1; k < x->size; k++) post_send(x, o, tag, peer_after(x, k), buf, n * sizeof *buf);
    return (int)(o - x->op);
}

int exchange_all_reduce(struct exchange *x, int channel, float *buf, size_t n, float *scratch)
{
    return all_reduce(x, channel, buf, n, scratch, JOIN_SUM);
}

int exchange_all_reduce_max(struct exchange *x, int channel, float *buf, size_t n, float *scratch)
{
    return all_reduce(x, channel, buf, n, scratch, JOIN_MAX);
}

/* In place: the caller's slice is already in buf. */
int exchange_all_gather(struct exchange *x, int channel, void *buf, const size_t *count,
                        const size_t *offset)
{
    unsigned char *slices = buf;
    int tag = tag_of(channel, ALL_GATHER);
    if (exchange_size(x) == 1) return EXCHANGE_NONE;
    struct operation *o = open_operation(x);
    for (int k = 1; k < x->size; k++) {
        int from = peer_before(x, k);
        post_receive(x, o, tag, from, slices + offset[from], count[from]);
    }
    for (int k = 1; k < x->size; k++)
        post_send(x, o, tag, peer_after(x, k), slices + offset[x->rank], count[x->rank]);
    return (int)(o - x->op);
}

/* ---- completing ---- */

static struct operation *operation_of(struct exchange *x, int op)
{
    INVARIANT(x && op >= 0 && op < x->max_open && x->op[op].used, "exchange %d is not open", op);
    return &x->op[op];
}

static void finish(struct exchange *x, struct operation *o)
{
    if (o->sum) transport_join(x->transport, o->sum, &o->join, 0, o->count);
    o->used = false;
}

/* Tickets that are done are forgotten one by one; the sum is formed once all are, in finish. */
bool exchange_test(struct exchange *x, int op)
{
    if (op == EXCHANGE_NONE) return true;
    struct operation *o = operation_of(x, op);
    bool done = true;
    for (int i = 0; i < o->n; i++) {
        if (!p2p_test(x->p2p, o->ticket[i]))
            done = false;
        else
            o->ticket[i] = TICKET_NONE;
    }
    if (done) finish(x, o);
    return done;
}

void exchange_wait(struct exchange *x, int op)
{
    if (op == EXCHANGE_NONE) return;
    struct operation *o = operation_of(x, op);
    for (int i = 0; i < o->n; i++) p2p_wait(x->p2p, o->ticket[i]);
    finish(x, o);
}

double exchange_waited(struct exchange *x)
{
    return x ? p2p_waited(x->p2p) : 0;
}
