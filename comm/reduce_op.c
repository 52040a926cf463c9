/* What the paths of a reduction share: its scratch, its streams. */
#include "comm/reduce_op.h"

bool reduce_crosses(const struct reduce *r, int member)
{
    return r->form.node && r->form.node[member] != r->form.node[r->form.me];
}

float *reduce_take(struct reduction *op, size_t floats)
{
    float *at = op->room;
    op->room += floats;
    return at;
}

/* The operation's number modulo SEQUENCE, so that messages of several open reductions cannot be
 * confused. */
int reduce_tag(const struct reduction *op, enum reduce_kind kind)
{
    return op->sequence % SEQUENCE * KINDS + (int)kind;
}

int reduce_stream(struct reduce *r, struct reduction *op, enum reduce_kind kind, int peer,
                  bool send, enum codec wire, void *buf, size_t n)
{
    struct stream *s = &op->stream[op->n_streams];
    *s = (struct stream){.peer = peer,
                         .tag = reduce_tag(op, kind),
                         .send = send,
                         .buf = buf,
                         .bytes = codec_bytes(wire, n),
                         .piece_bytes = codec_bytes(wire, op->piece),
                         .count = reduce_crosses(r, peer) ? &r->crossed : NULL};
    stream_begin(s, true);
    return op->n_streams++;
}

size_t reduce_through(const struct reduction *op, int first, int n)
{
    size_t least = op->stream[first].done;
    for (int i = first; i < first + n; i++)
        if (op->stream[i].done < least) least = op->stream[i].done;
    return least;
}

bool reduce_move_streams(struct reduce *r, struct reduction *op)
{
    bool moved = false;
    for (int i = 0; i < op->n_streams; i++) moved |= stream_move(&op->stream[i], r->p2p);
    return moved;
}
