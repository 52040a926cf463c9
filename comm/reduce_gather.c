/* Gathers: every slice from its owner to all. Flat, between all pairs; or by nodes: member j of a
 * node gets the slices of the members j of other nodes and passes each piece on inside its node as
 * it comes, so that a slice crosses to a node once. */
#include "comm/reduce_op.h"

/* The slice of `owner`, to or from `peer`. */
static struct stream *add_slice(struct reduce *r, struct reduction *op, int owner, int peer,
                                bool send)
{
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

/* A slice crosses between each pair of nodes once: its owner sends it to its counterpart on every
 * other node, who shares it within that node. */
static void begin_nodes(struct reduce *r, struct reduction *op)
{
    int K = r->form.map.each, R = r->form.members, me = r->form.me, first = me - me % K;
    for (int k = 1; k < K; k++) add_ring(r, op, first + (me + K - k) % K, NULL);
    struct stream *crossing = &op->stream[op->n_streams];
    for (int k = K; k < R; k += K) add_slice(r, op, (me + R - k) % R, (me + R - k) % R, false);
    for (int k = K; k < R; k += K) add_slice(r, op, me, (me + k) % R, true);
    for (int k = 1; k < K; k++) add_ring(r, op, first + (me + k) % K, crossing);
}

static void gather_begin(struct reduce *r, struct reduction *op)
{
    bool nodes = reduce_gather_over_nodes(&r->form, op->n * op->elem_bytes);
    (nodes ? begin_nodes : begin_flat)(r, op);
}

const struct reduce_way reduce_gathers = {gather_begin, reduce_move_streams};
