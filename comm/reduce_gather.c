/* Gathers: every slice from its owner to all. Flat, between all pairs; or by nodes: member j of a
 * node gets the slices of the members j of other nodes and passes each piece on inside its node as
 * it comes, so that a slice crosses to a node once. */
#include "comm/reduce_op.h"

/* The slice of `owner`, to or from `peer`. */
static struct stream *add_slice(struct reduce *r, struct reduction *op, int owner, int peer,
                                bool send, const struct stream *after)
{
    struct stream *s = &op->stream[op->n_streams++];
    *s = (struct stream){.peer = peer,
                         .tag = SEQUENCE * KINDS + op->sequence * r->form.members + owner,
                         .send = send,
                         .buf =
                             (unsigned char *)op->gathered + op->job.offset[owner] * op->elem_bytes,
                         .bytes = op->job.count[owner] * op->elem_bytes,
                         .piece_bytes = (size_t)1 << 20,
                         .after = after,
                         .count = reduce_crosses(r, peer) ? &r->crossed : NULL};
    stream_begin(s, true);
    return s;
}

static void begin_flat(struct reduce *r, struct reduction *op)
{
    int me = r->form.me, R = r->form.members;
    for (int k = 1; k < R; k++) {
        int from = (me + R - k) % R;
        add_slice(r, op, from, from, false, NULL);
    }
    for (int k = 1; k < R; k++) add_slice(r, op, me, (me + k) % R, true, NULL);
}

/* The slice of `owner` to the others of my node, as far as `after` has it. */
static void share(struct reduce *r, struct reduction *op, int owner, const struct stream *after)
{
    int K = r->form.map.each, me = r->form.me, first = me - me % K;
    for (int k = 1; k < K; k++) add_slice(r, op, owner, first + (me + k) % K, true, after);
}

/* A slice crosses between each pair of nodes once: its owner sends it to its counterpart on every
 * other node, who shares it within that node. */
static void begin_nodes(struct reduce *r, struct reduction *op)
{
    int K = r->form.map.each, R = r->form.members, me = r->form.me, first = me - me % K;
    for (int i = 0; i < R; i++) {
        int from = first + i % K;
        if (from != me) add_slice(r, op, i, from, false, NULL);
    }
    share(r, op, me, NULL);
    for (int k = K; k < R; k += K) {
        int from = (me + R - k) % R;
        add_slice(r, op, me, (me + k) % R, true, NULL);
        share(r, op, from, add_slice(r, op, from, from, false, NULL));
    }
}

static void gather_begin(struct reduce *r, struct reduction *op)
{
    bool nodes = reduce_gather_over_nodes(&r->form, op->n * op->elem_bytes);
    (nodes ? begin_nodes : begin_flat)(r, op);
}

const struct reduce_way reduce_gathers = {gather_begin, reduce_move_streams};
