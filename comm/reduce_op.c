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

struct p2p_owner *reduce_owner(const struct reduce *r, const struct stream *s)
{
    return r->owner ? &r->owner[s - r->stream] : NULL;
}

/* A stream counts as awake from the beginning, so that its first pieces are posted. */
int reduce_stream(struct reduce *r, struct reduction *op, enum reduce_kind kind, int peer,
                  bool send, enum codec wire, void *buf, size_t n)
{
    struct stream *s = &op->stream[op->n_streams];
    *s = (struct stream){.owner = reduce_owner(r, s),
                         .list = &op->awake,
                         .peer = peer,
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

bool reduce_ahead(struct reduce *r, struct reduction *op, int n)
{
    for (; op->behind < n; op->behind++, r->looks++)
        if (op->stream[op->behind].done <= op->summed) return false;
    op->behind = 0;
    return true;
}

void reduce_pairs(struct reduce *r, struct reduction *op)
{
    op->pairs = op->n_streams / 2;
    for (int k = r->window; k < op->pairs; k++)
        op->stream[k].ready = op->stream[op->pairs + k].ready = 0;
    op->in.begun = op->out.begun = r->window < op->pairs ? r->window : op->pairs;
}

/* Is one more begun? Of those that are sent in a codec nothing is ready before it is encoded. */
static bool begin_more(struct reduce *r, struct reduction *op, struct reduce_window *w,
                       struct stream *of, bool encoded)
{
    int before = w->begun;
    while (w->passed < w->begun && stream_done(&of[w->passed])) w->passed++;
    for (; w->begun < op->pairs && w->begun < w->passed + r->window; w->begun++) {
        struct stream *s = &of[w->begun];
        if (!encoded || !reduce_crosses(r, s->peer)) s->ready = s->pieces;
        stream_wake(s);
    }
    return w->begun > before;
}

bool reduce_move_streams(struct reduce *r, struct reduction *op)
{
    bool moved = false, more = true;
    bool encoded = op->elem_bytes == 0 && r->form.wire != CODEC_FP32;
    while (more) {
        for (struct stream *s; (s = stream_next(&op->awake)); r->looks++)
            moved |= stream_move(s, r->p2p);
        more = begin_more(r, op, &op->in, op->stream, false);
        more |= begin_more(r, op, &op->out, op->stream + op->pairs, encoded);
        moved |= more;
    }
    return moved;
}
