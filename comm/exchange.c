/* A row of a fixed table for every open exchange: its messages, and for a sum what is to be added
 * when they are through. Sums take one round, not two (slices, then a gather): for the two to eight
 * members of a tensor-parallel group the second start costs more than the bytes it saves, and
 * nobody would be there to start it. */
#include "comm/exchange.h"

#include <stdlib.h>

#include "comm/base/memory.h"
#include "comm/mpi_ok.h"
#include "comm/p2p.h"

enum exchange_kind { ALL_TO_ALL, ALL_REDUCE, ALL_GATHER, SUMS, KINDS };

#define CHANNEL(n)                                                                         \
    "all-to-all of channel " #n, "all-reduce of channel " #n, "all-gather of channel " #n, \
        "sums of the all-reduce of channel " #n
static const char *const tag_names[EXCHANGE_CHANNELS * KINDS] = {CHANNEL(0), CHANNEL(1), CHANNEL(2),
                                                                 CHANNEL(3)};

struct operation {
    struct p2p_step step; /* of a sum in two rounds */
    bool used;
    int n;                    /* messages */
    ticket *ticket, *after;   /* (4 * (size - 1)) TICKET_NONE where one is through; step.after */
    const struct exchange *x; /* whose */
    /* What is summed here: count floats in the memory of one of the terms, from there into `to`, in
     * the form of `wire`. to NULL: nothing is. */
    void *to;
    enum codec wire;
    float *sum;
    size_t count, summed;
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
    int others = x->size - 1, each = 4 * others, all = each * max_open;
    x->transport = t;
    x->max_open = max_open;
    x->op = memory_take((size_t)max_open, sizeof *x->op, "open exchanges");
    x->tickets =
        memory_take((size_t)(all + others * max_open), sizeof *x->tickets, "open exchanges");
    x->terms = memory_take((size_t)(x->size * max_open), sizeof *x->terms, "open exchanges");
    for (int i = 0; i < max_open; i++) {
        x->op[i].ticket = x->tickets + i * each;
        x->op[i].after = x->tickets + all + i * others;
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
    *o = (struct operation){
        .used = true, .ticket = o->ticket, .after = o->after, .x = x, .term = o->term};
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

/* ---- sums ---- */

/* Sums [from, from + n) of what is summed here. */
static void sum_part(struct operation *o, size_t from, size_t n)
{
    const struct transport *t = o->x->transport;
    float *sum = o->wire == CODEC_FP32 ? o->to : o->sum;
    unsigned char *to = o->to;
    transport_join(t, sum + from, &o->join, from, n);
    if (o->wire != CODEC_FP32)
        transport_encode(t, o->wire, to + codec_bytes(o->wire, from), o->sum + from, NULL, n);
}

/* In scratch the terms of the others lie one behind the other. */
static float *room_for(const struct exchange *x, float *scratch, size_t count, int from)
{
    return scratch + count * (size_t)(from < x->rank ? from : from - 1);
}

/* The terms of all members for `count` floats, which this one has at `mine`. */
static void list_terms(struct operation *o, float *mine, size_t count, float *scratch)
{
    const struct exchange *x = o->x;
    o->sum = mine, o->count = count;
    o->join = (struct join){.op = JOIN_SUM, .term = o->term, .terms = x->size, .inner = 1};
    for (int i = 0; i < x->size; i++)
        o->term[i].at = i == x->rank ? mine : room_for(x, scratch, count, i);
}

/* Every rank gets all terms and sums them itself in rank order (P4), when it waits for them. */
static struct operation *all_terms(struct exchange *x, int channel, const struct exchange_sum *s)
{
    int tag = tag_of(channel, ALL_REDUCE);
    size_t bytes = s->n * sizeof *s->in;
    struct operation *o = open_operation(x);
    o->to = s->to, o->wire = s->wire;
    list_terms(o, s->in, s->n, s->scratch);
    for (int k = 1; k < x->size; k++) {
        int from = peer_before(x, k);
        post_receive(x, o, tag, from, room_for(x, s->scratch, s->n, from), bytes);
    }
    for (int k = 1; k < x->size; k++) post_send(x, o, tag, peer_after(x, k), s->in, bytes);
    return o;
}

static int all_reduce(struct exchange *x, int channel, float *buf, size_t n, float *scratch,
                      enum join_op join)
{
    if (exchange_size(x) == 1) return EXCHANGE_NONE;
    struct exchange_sum s = {buf, CODEC_FP32, buf, n, scratch};
    struct operation *o = all_terms(x, channel, &s);
    o->join.op = join;
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

/* ---- sums in two rounds ---- */

enum { SHARE_UNIT = 32 };       /* floats: shares begin where wide loads do */
enum { SMALL_SUM = 512 << 10 }; /* bytes: 3 to 8 ranks of a host take as long either way */
enum { SUM_AT_ONCE = 1 << 17 }; /* floats, while p2p's lock is held */

/* Floats that each of `size` members sums of n; the last ones may have fewer. */
static size_t share_size(int size, size_t n)
{
    size_t each = (n + (size_t)size - 1) / (size_t)size;
    return (each + SHARE_UNIT - 1) / SHARE_UNIT * SHARE_UNIT;
}

/* Small sums are faster in one round, whatever it carries: what counts is how often one waits. */
int exchange_sum_rounds(int size, enum codec wire, size_t n)
{
    size_t all = n * sizeof(float), share = share_size(size, n);
    bool fewer = share * sizeof(float) + codec_bytes(wire, share) < all;
    return size > 2 && all > SMALL_SUM && fewer ? 2 : 1;
}

size_t exchange_sum_sends(int size, enum codec wire, size_t n)
{
    size_t share = share_size(size, n);
    if (exchange_sum_rounds(size, wire, n) == 1) return n * sizeof(float);
    return share * sizeof(float) + codec_bytes(wire, share);
}

/* Also for those that are small enough for one round. */
size_t exchange_sum_room(int size, enum codec wire, size_t n)
{
    size_t others = (size_t)size - 1, small = SMALL_SUM / sizeof(float);
    if (exchange_sum_rounds(size, wire, n) == 1) return others * n;
    size_t share = share_size(size, n);
    return others * (share > small ? share : small);
}

struct share_span {
    size_t from, n;
};

static struct share_span share_at(const struct exchange *x, size_t n, int member)
{
    size_t each = share_size(x->size, n), from = each * (size_t)member;
    if (from > n) from = n;
    return (struct share_span){from, n - from < each ? n - from : each};
}

/* A part of my share each time: p2p's lock is held. */
static bool sum_some(struct p2p_step *s)
{
    struct operation *o = (struct operation *)(void *)s;
    size_t left = o->count - o->summed, n = left < SUM_AT_ONCE ? left : SUM_AT_ONCE;
    sum_part(o, o->summed, n);
    o->summed += n;
    return o->summed == o->count;
}

/* Terms for my share; once it is summed it goes to all others. */
static void post_own_share(struct exchange *x, struct operation *o, int channel,
                           const struct exchange_sum *s)
{
    struct share_span own = share_at(x, s->n, x->rank);
    if (own.n == 0) return;
    o->to = (unsigned char *)s->to + codec_bytes(s->wire, own.from), o->wire = s->wire;
    list_terms(o, s->in + own.from, own.n, s->scratch);
    o->step = (struct p2p_step){.work = sum_some, .after = o->after, .held = o->ticket + o->n};
    for (int k = 1; k < x->size; k++) {
        int from = peer_before(x, k);
        o->after[o->step.n_after++] =
            p2p_recv(x->p2p, from, tag_of(channel, ALL_REDUCE),
                     room_for(x, s->scratch, own.n, from), own.n * sizeof(float));
    }
    for (int k = 1; k < x->size; k++, o->step.n_held++)
        o->ticket[o->n++] = p2p_send_held(x->p2p, &o->step, peer_after(x, k), tag_of(channel, SUMS),
                                          o->to, codec_bytes(s->wire, own.n));
    p2p_then(x->p2p, &o->step);
}

/* Shares are summed by one member each, in rank order, and are known to all then: the bits of one
 * round. All receives are posted at once. */
static struct operation *shared_terms(struct exchange *x, int channel, const struct exchange_sum *s)
{
    struct operation *o = open_operation(x);
    post_own_share(x, o, channel, s);
    for (int k = 1; k < x->size; k++) {
        int from = peer_before(x, k);
        struct share_span h = share_at(x, s->n, from);
        post_receive(x, o, tag_of(channel, SUMS), from,
                     (unsigned char *)s->to + codec_bytes(s->wire, h.from),
                     codec_bytes(s->wire, h.n));
    }
    for (int k = 1; k < x->size; k++) {
        struct share_span h = share_at(x, s->n, peer_after(x, k));
        post_send(x, o, tag_of(channel, ALL_REDUCE), peer_after(x, k), s->in + h.from,
                  h.n * sizeof *s->in);
    }
    return o;
}

int exchange_sum(struct exchange *x, int channel, const struct exchange_sum *s)
{
    INVARIANT(x && s->wire != CODEC_INT8, "a sum of one member, or in blocks");
    bool once = exchange_sum_rounds(x->size, s->wire, s->n) == 1;
    return (int)((once ? all_terms : shared_terms)(x, channel, s) - x->op);
}

/* Nobody but its member needs a slice: half of a sum in two rounds. */
int exchange_sum_slices(struct exchange *x, int channel, const struct exchange_sum *s,
                        const size_t *from)
{
    INVARIANT(x && s->wire != CODEC_INT8, "slices of a sum of one member, or in blocks");
    INVARIANT(from[0] == 0 && from[x->size] == s->n, "slices end at %zu of %zu", from[x->size],
              s->n);
    struct operation *o = open_operation(x);
    size_t first = from[x->rank], own = from[x->rank + 1] - first;
    int tag = tag_of(channel, ALL_REDUCE);
    o->to = own > 0 ? s->to : NULL, o->wire = s->wire;
    list_terms(o, s->in + first, own, s->scratch);
    for (int k = 1; k < x->size; k++) {
        int peer = peer_before(x, k);
        post_receive(x, o, tag, peer, room_for(x, s->scratch, own, peer), own * sizeof *s->in);
    }
    for (int k = 1; k < x->size; k++) {
        int peer = peer_after(x, k);
        post_send(x, o, tag, peer, s->in + from[peer],
                  (from[peer + 1] - from[peer]) * sizeof *s->in);
    }
    return (int)(o - x->op);
}

/* ---- gathers ---- */

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

static void finish(struct operation *o)
{
    if (o->to && !o->step.work) sum_part(o, 0, o->count);
    o->used = false;
}

/* Tickets that are done are forgotten one by one; a sum of one round is formed once all are. */
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
    if (done) finish(o);
    return done;
}

void exchange_wait(struct exchange *x, int op)
{
    if (op == EXCHANGE_NONE) return;
    struct operation *o = operation_of(x, op);
    for (int i = 0; i < o->n; i++) p2p_wait(x->p2p, o->ticket[i]);
    finish(o);
}

double exchange_waited(struct exchange *x)
{
    return x ? p2p_waited(x->p2p) : 0;
}
