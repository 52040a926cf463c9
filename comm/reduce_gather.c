/* Gathers: every slice from its owner to all. Flat, between all pairs; or by nodes: member j of a
 * node gets the slices of the members j of other nodes and passes each piece on inside its node as
 * it comes, so that a slice crosses to a node once. In a large group by doubling, over nodes or
 * over all members (comm/reduce_few.h). */
#include "comm/reduce_op.h"

#include "comm/base/die.h"

/* The slice of `owner`, to or from `peer`. */
static struct stream *add_slice(struct reduce *r, struct reduction *op, int owner, int peer,
                                bool send)
{
    INVARIANT(op->stream, "a gather without streams");
    struct stream *s = &op->stream[op->n_streams++];
    *s = (struct stream){.owner = reduce_owner(r, s),
                         .list = &op->awake,
                         .peer = peer,
                         .tag = reduce_tag(op, KIND_SLICE),
                         .send = send,
                         .buf =
                             (unsigned char *)op->gathered + op->job.offset[owner] * op->elem_bytes,
                         .bytes = op->job.count[owner] * op->elem_bytes,
                         .piece_bytes = (size_t)1 << 20,
                         .count = reduce_crosses(r, peer) ? &r->crossed : NULL};
    stream_begin(s, true);
    return s;
}

static void begin_flat(struct reduce *r, struct reduction *op)
{
    int me = r->form.me, R = r->form.members;
    for (int k = 1; k < R; k++) {
        int from = (me + R - k) % R;
        add_slice(r, op, from, from, false);
    }
    for (int k = 1; k < R; k++) add_slice(r, op, me, (me + k) % R, true);
    reduce_pairs(r, op);
}

/* From or to a member of my node: the sender's own slice, then those that it gets from other nodes
 * (crossing: my streams of those). One tag, so a ring. */
static void add_ring(struct reduce *r, struct reduction *op, int peer, struct stream *crossing)
{
    int R = r->form.members, from = crossing ? r->form.me : peer;
    struct stream *first = &op->stream[op->n_streams];
    for (int k = 0; k < R; k += r->form.map.each) {
        struct stream *s = add_slice(r, op, (from + R - k) % R, peer, crossing != NULL);
        if (crossing && k > 0) stream_follow(s, crossing++);
    }
    stream_ring(first, (size_t)r->form.map.nodes);
}

/* Between all nodes: a slice crosses to each once, its owner sends it to its counterparts. */
static struct stream *cross_to_all(struct reduce *r, struct reduction *op, int K)
{
    int R = r->form.members, me = r->form.me;
    struct stream *crossing = &op->stream[op->n_streams];
    for (int k = K; k < R; k += K) add_slice(r, op, (me + R - k) % R, (me + R - k) % R, false);
    for (int k = K; k < R; k += K) add_slice(r, op, me, (me + k) % R, true);
    return crossing;
}

/* By doubling: the slice of the k-th node before comes from the node that is the largest power of
 * two up to k before, and leaves to those that are larger powers behind. */
static struct stream *cross_by_doubling(struct reduce *r, struct reduction *op, int K)
{
    int R = r->form.members, rows = R / K, me = r->form.me;
    struct stream *crossing = &op->stream[op->n_streams];
    for (int b = 1; b < rows; b *= 2) {
        struct stream *first = &op->stream[op->n_streams];
        const int n = reduce_doubling(rows, b), peer = (me + R - b * K) % R;
        for (int d = 0; d < n; d++) add_slice(r, op, (peer + R - d * K) % R, peer, false);
        stream_ring(first, (size_t)n);
    }
    for (int b = 1; b < rows; b *= 2) {
        struct stream *first = &op->stream[op->n_streams];
        const int n = reduce_doubling(rows, b);
        for (int d = 0; d < n; d++) {
            struct stream *s = add_slice(r, op, (me + R - d * K) % R, (me + b * K) % R, true);
            if (d > 0) stream_follow(s, &crossing[d - 1]);
        }
        stream_ring(first, (size_t)n);
    }
    return crossing;
}

/* A slice crosses to a node once: to the counterpart of its owner, who shares it within that node.
 */
static void begin_nodes(struct reduce *r, struct reduction *op, int K)
{
    int me = r->form.me, first = me - me % K;
    for (int k = 1; k < K; k++) add_ring(r, op, first + (me + K - k) % K, NULL);
    const bool doubles = reduce_gather_doubles(&r->form, K);
    struct stream *crossing = (doubles ? cross_by_doubling : cross_to_all)(r, op, K);
    for (int k = 1; k < K; k++) add_ring(r, op, first + (me + k) % K, crossing);
}

/* The slices of n owners up to `last`, which stand one behind the other or, round the end of the
 * group, in two pieces. */
static void add_owners(struct reduce *r, struct reduction *op, int last, int n, int peer, bool send)
{
    const size_t *count = op->job.count, *offset = op->job.offset;
    struct stream *begin = &op->stream[op->n_streams];
    const int first = last + 1 - n, bound[2][2] = {{first < 0 ? 0 : first, last},
                                                   {first + r->form.members, r->form.members - 1}};
    for (int i = 0; i < (first < 0 ? 2 : 1); i++) {
        struct stream *s = add_slice(r, op, bound[i][0], peer, send);
        const int end = bound[i][1];
        s->bytes = (offset[end] + count[end] - offset[bound[i][0]]) * op->elem_bytes;
        stream_begin(s, !send);
    }
    if (first < 0) stream_ring(begin, 2);
}

/* By doubling over all members: b of them send what they have, the slices of b owners, to the b-th
 * behind, when all that comes from nearer is there. `at` is b. */
static void begin_doubling(struct reduce *r, struct reduction *op)
{
    const int R = r->form.members, me = r->form.me;
    for (int i = 1; i < R; i++)
        INVARIANT(op->job.offset[i] == op->job.offset[i - 1] + op->job.count[i - 1],
                  "slice %d is at %zu", i, op->job.offset[i]);
    for (int send = 0; send < 2; send++) {
        if (send) op->sends = op->told = op->n_streams;
        for (int b = 1; b < R; b *= 2) {
            const int before = op->n_streams, from = (me + R - b) % R;
            add_owners(r, op, send ? me : from, reduce_doubling(R, b), send ? (me + b) % R : from,
                       send);
            for (int i = before; i < op->n_streams; i++) op->stream[i].at = (size_t)b;
        }
    }
}

static void gather_begin(struct reduce *r, struct reduction *op)
{
    const int each = reduce_gather_each(&r->form, op->n * op->elem_bytes);
    if (each > 1)
        begin_nodes(r, op, each);
    else if (each == 1)
        begin_doubling(r, op);
    else
        begin_flat(r, op);
}

/* By doubling: what waited for slices from nearer goes when they are there. */
static bool tell_more(struct reduction *op)
{
    bool any = false;
    while (op->heard < op->sends && stream_done(&op->stream[op->heard])) op->heard++;
    const bool all = op->heard == op->sends;
    for (; op->sends > 0 && op->told < op->n_streams; op->told++, any = true) {
        struct stream *s = &op->stream[op->told];
        if (!all && s->at > op->stream[op->heard].at) return any;
        s->ready = s->pieces;
        stream_wake(s);
    }
    return any;
}

static bool gather_move(struct reduce *r, struct reduction *op)
{
    const bool moved = reduce_move_streams(r, op);
    return tell_more(op) || moved;
}

const struct reduce_way reduce_gathers = {gather_begin, gather_move};
