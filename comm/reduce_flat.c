/* The flat path: slice i of every member goes to member i, who adds them. What crosses nodes is
 * rounded by its sender, a piece at a time as the window moves on. */
#include "comm/reduce_op.h"

#include "comm/p2p.h"

static int after(const struct reduce *r, int k)
{
    return (r->form.me + k) % r->form.members;
}
static int before(const struct reduce *r, int k)
{
    return (r->form.me + r->form.members - k) % r->form.members;
}

static enum codec codec_to(const struct reduce *r, int member)
{
    return reduce_crosses(r, member) ? r->form.wire : CODEC_FP32;
}

static void add_receive(struct reduce *r, struct reduction *op, int from)
{
    enum codec w = codec_to(r, from);
    size_t n = op->job.count[r->form.me];
    float *at = reduce_take(op, codec_floats(w, n));
    op->term[from] = (struct join_term){w, at};
    reduce_stream(r, op, KIND_TERM, from, false, w, at, n);
}

/* With a codec the numbers are encoded piece by piece ahead of the sends (encode_ahead), so such a
 * stream starts with nothing ready. */
static void add_send(struct reduce *r, struct reduction *op, int to)
{
    enum codec w = codec_to(r, to);
    size_t n = op->job.count[to];
    union {
        const float *in;
        float *out;
    } at = {.in = op->job.in + op->job.offset[to]}; /* a stream that sends only reads */
    if (w != CODEC_FP32) at.out = reduce_take(op, codec_floats(w, n));
    int s = reduce_stream(r, op, KIND_TERM, to, true, w, at.out, n);
    if (w != CODEC_FP32) op->stream[s].ready = 0;
}

/* Streams: members - 1 that receive, as many that send. They start with different peers, so that
 * not all send to one, and go on with the next ones as those are through. */
static void flat_begin(struct reduce *r, struct reduction *op)
{
    int me = r->form.me;
    op->term[me] = (struct join_term){CODEC_FP32, op->job.in + op->job.offset[me]};
    for (int k = 1; k < r->form.members; k++) add_receive(r, op, before(r, k));
    for (int k = 1; k < r->form.members; k++) add_send(r, op, after(r, k));
    reduce_pairs(r, op);
}

static void encode_piece(struct reduce *r, struct reduction *op, struct stream *s)
{
    const size_t *offset = op->job.offset;
    size_t at = s->ready * op->piece, left = op->job.count[s->peer] - at;
    size_t from = offset[s->peer] + at, n = left < op->piece ? left : op->piece;
    float *residual = op->job.residual ? op->job.residual + (from - offset[0]) : NULL;
    transport_encode(r->transport, r->form.wire, s->buf + s->ready * s->piece_bytes,
                     op->job.in + from, residual, n);
    s->ready++;
    stream_wake(s);
}

static void encode_ahead(struct reduce *r, struct reduction *op)
{
    for (int k = op->out.passed; k < op->out.begun; k++) {
        struct stream *s = &op->stream[op->pairs + k];
        while (s->ready < s->pieces && s->ready < s->done + STREAM_WINDOW) encode_piece(r, op, s);
    }
}

/* Sums a piece as soon as all members' terms for it have arrived, in the order of members (P4). */
static bool flat_move(struct reduce *r, struct reduction *op)
{
    size_t mine = op->job.count[r->form.me], pieces = (mine + op->piece - 1) / op->piece;
    struct join all = {.term = op->term, .terms = r->form.members, .inner = r->form.inner};
    if (r->form.wire != CODEC_FP32) encode_ahead(r, op);
    bool moved = reduce_move_streams(r, op);
    bool alone = r->form.members == 1 && op->job.out == op->job.in + op->job.offset[0];
    if (alone) op->summed = pieces; /* the only term is where the sum belongs */
    for (; op->summed < pieces && reduce_ahead(r, op, r->form.members - 1); op->summed++) {
        size_t at = op->summed * op->piece, n = mine - at < op->piece ? mine - at : op->piece;
        transport_join(r->transport, op->job.out + at, &all, at, n);
        moved = true;
    }
    return moved;
}

const struct reduce_way reduce_flat = {flat_begin, flat_move};
