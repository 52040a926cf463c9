/* The nodes path. The array, slice after slice, is cut into K columns, one for each member of a
 * node:
 *
 *   terms   member j of a node gets column j of all members of its node;
 *   chain   it adds them, in order, to the running sum that member j of the node before sends, and
 *           sends that on:
 *           ((node 0) + m2) + m3, ...: the order of comm/coll.h, because a node's members are
 * neighbours and whole runs; sums    at the last node the sums are whole; what of a column belongs
 * to a slice goes to its owner.
 *
 * Each works piece by piece, so that all links are busy at once. What crosses nodes is rounded
 * where it is sent: at each hop of the chain, and once more on the way to an owner. */
#include "comm/reduce_op.h"

static struct reduce_span column_of(const struct reduce *r, const struct reduction *op, int j)
{
    return reduce_column_of(&r->form, op->job.offset, op->n, j);
}

/* What of column j belongs to member i. */
static struct reduce_span part_of(const struct reduce *r, const struct reduction *op, int j, int i)
{
    struct reduce_span s = column_of(r, op, j);
    size_t lo = op->job.offset[i] - op->job.offset[0], hi = lo + op->job.count[i];
    if (lo > s.lo) s.lo = lo;
    if (hi < s.hi) s.hi = hi;
    return s.lo < s.hi ? s : (struct reduce_span){0, 0};
}

/* Where I am: member `j` of node `node`, whose first member is `first`. */
struct chain_place {
    int each, j, node, first, last_node;
    struct reduce_span column;
    size_t length;
};

static struct chain_place place_of(const struct reduce *r, const struct reduction *op)
{
    int K = reduce_each(&r->form), me = r->form.me;
    struct chain_place p = {.each = K, .j = me % K, .node = me / K, .first = me - me % K};
    p.last_node = r->form.members / K - 1;
    p.column = column_of(r, op, p.j);
    p.length = p.column.hi - p.column.lo;
    return p;
}

/* ---- begin ---- */

static void add_terms(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    const float *array = op->job.in + op->job.offset[0];
    op->term[p->j] = (struct join_term){CODEC_FP32, array + p->column.lo};
    for (int k = 1; k < p->each; k++) {
        int j = (p->j + p->each - k) % p->each;
        float *at = reduce_take(op, p->length);
        op->term[j] = (struct join_term){CODEC_FP32, at};
        reduce_stream(r, op, KIND_TERM, p->first + j, false, CODEC_FP32, at, p->length);
    }
}

/* Within a node each member owns one column of the array and gets the others' terms for it. */
static void send_terms(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    op->terms_out = op->n_streams;
    for (int k = 1; k < p->each; k++) {
        int j = (p->j + k) % p->each;
        struct reduce_span c = column_of(r, op, j);
        union {
            const float *in;
            float *out;
        } at = {.in = op->job.in + op->job.offset[0] + c.lo}; /* a stream that sends only reads */
        reduce_stream(r, op, KIND_TERM, p->first + j, true, CODEC_FP32, at.out, c.hi - c.lo);
    }
}

/* Not rounded, the running sum comes to where mine is formed, and leaves from there. */
static float *coded_room(const struct reduce *r, struct reduction *op, float *plain, size_t n)
{
    return r->form.wire == CODEC_FP32 ? plain : reduce_take(op, codec_floats(r->form.wire, n));
}

static void add_chain(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    op->sum = reduce_take(op, p->length);
    op->before = (struct join_term){r->form.wire, NULL};
    if (p->node == 0) return;
    float *at = coded_room(r, op, op->sum, p->length);
    op->before.at = at;
    reduce_stream(r, op, KIND_CHAIN, r->form.me - p->each, false, r->form.wire, at, p->length);
}

static void send_chain(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    float *at = coded_room(r, op, op->sum, p->length);
    int s =
        reduce_stream(r, op, KIND_CHAIN, r->form.me + p->each, true, r->form.wire, at, p->length);
    op->stream[s].ready = 0;
}

/* At the last node: what of my column belongs to others. */
static void send_all_sums(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    for (int k = 1; k < r->form.members; k++) {
        int owner = (r->form.me + k) % r->form.members;
        struct reduce_span part = part_of(r, op, p->j, owner);
        float *at = op->sum + (part.lo - p->column.lo);
        bool crosses = reduce_crosses(r, owner);
        if (part.hi == 0) continue;
        if (crosses) at = coded_room(r, op, at, part.hi - part.lo);
        int s = reduce_stream(r, op, KIND_SUM, owner, true, crosses ? r->form.wire : CODEC_FP32, at,
                              part.hi - part.lo);
        op->stream[s].ready = 0;
        op->stream[s].at = part.lo - p->column.lo;
    }
}

/* My slice, from the columns' last members. It may lie where my terms are still being sent from, so
 * nothing of it is awaited before those are through. */
static void add_all_sums(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    int me = r->form.me;
    size_t mine = op->job.offset[me] - op->job.offset[0];
    for (int j = 0; j < p->each; j++) {
        int from = p->last_node * p->each + j;
        struct reduce_span part = part_of(r, op, j, me);
        if (from == me || part.hi == 0) continue;
        bool crosses = reduce_crosses(r, from);
        float *at = op->job.out + (part.lo - mine);
        if (crosses) at = coded_room(r, op, at, part.hi - part.lo);
        int s = reduce_stream(r, op, KIND_SUM, from, false, crosses ? r->form.wire : CODEC_FP32, at,
                              part.hi - part.lo);
        op->stream[s].ready = 0;
        op->stream[s].at = part.lo - mine;
    }
}

/* ---- in a group of few peers: finished sums go over a tree ---- */

/* The slices of some owners, to or from a peer: one behind the other, or in turns. */
static int add_slices(struct reduce *r, struct reduction *op, const struct reduce_owners *o,
                      struct reduce_some some, int peer, bool send)
{
    const int first = op->n_streams;
    for (int q = some.first; q < some.end; q++)
        reduce_stream(r, op, KIND_SUM, peer, send, CODEC_FP32, NULL,
                      op->job.count[reduce_owner_at(o, q)]);
    for (int s = first; s < op->n_streams; s++) op->stream[s].ready = 0;
    if (op->n_streams > first + 1) stream_ring(&op->stream[first], (size_t)(op->n_streams - first));
    return first;
}

/* At the last run: to the first owner of each part what that part owns. */
static void send_to_parts(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    const struct reduce_owners o = reduce_owners_of(&r->form, p->j);
    struct reduce_some below[REDUCE_FAN];
    const int parts = reduce_below((struct reduce_some){0, o.n}, below);
    for (int k = 0; k < parts; k++) {
        int s = add_slices(r, op, &o, below[k], reduce_owner_at(&o, below[k].first), true);
        for (int q = below[k].first; q < below[k].end; q++, s++) {
            const size_t at = op->job.offset[reduce_owner_at(&o, q)] - op->job.offset[0];
            op->stream[s].at = at - p->column.lo;
            op->stream[s].buf = (unsigned char *)(op->sum + op->stream[s].at);
        }
    }
}

/* My slice and those of my part; the others' go on as they come. */
static void pass_sums_on(struct reduce *r, struct reduction *op)
{
    const struct reduce_owners o =
        reduce_owners_of(&r->form, r->form.me / (r->form.members / reduce_each(&r->form)));
    struct reduce_some some, below[REDUCE_FAN];
    const int above = reduce_above(&r->form, r->form.me, &some);
    if (above < 0) return;
    const int in = add_slices(r, op, &o, some, above, false);
    op->passed_on = op->n_streams;
    for (int q = some.first; q < some.end; q++) {
        const size_t n = op->job.count[reduce_owner_at(&o, q)];
        float *at = q == some.first ? op->job.out : reduce_take(op, n);
        op->stream[in + q - some.first].buf = (unsigned char *)at;
    }
    const int parts = reduce_below((struct reduce_some){some.first + 1, some.end}, below);
    for (int k = 0; k < parts; k++) {
        int s = add_slices(r, op, &o, below[k], reduce_owner_at(&o, below[k].first), true);
        for (int q = below[k].first; q < below[k].end; q++, s++) {
            struct stream *from = &op->stream[in + q - some.first];
            op->stream[s].buf = from->buf;
            stream_follow(&op->stream[s], from);
        }
    }
}

static void send_sums(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    (reduce_few(&r->form) ? send_to_parts : send_all_sums)(r, op, p);
}

static void add_sums(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    op->sums_in = op->n_streams;
    if (reduce_few(&r->form))
        pass_sums_on(r, op);
    else
        add_all_sums(r, op, p);
    if (op->passed_on == 0) op->passed_on = op->n_streams;
}

/* The order of streams in op->stream is fixed: terms in, chain in, terms out, then sums out and in,
 * and those that are passed on; terms_out, sums_out, sums_in and passed_on mark the bounds. */
static void nodes_begin(struct reduce *r, struct reduction *op)
{
    struct chain_place p = place_of(r, op);
    add_terms(r, op, &p);
    add_chain(r, op, &p);
    send_terms(r, op, &p);
    op->sums_out = op->n_streams;
    if (p.node < p.last_node)
        send_chain(r, op, &p);
    else
        send_sums(r, op, &p);
    add_sums(r, op, &p);
}

/* ---- move ---- */

static bool coded(const struct reduce *r, const struct stream *s)
{
    return r->form.wire != CODEC_FP32 && reduce_crosses(r, s->peer);
}

/* Floats of a piece of a stream of n. */
static size_t piece_n(const struct reduction *op, size_t n, size_t piece)
{
    size_t left = n - piece * op->piece;
    return left < op->piece ? left : op->piece;
}

/* Makes ready what of a stream (n floats from `at` of my column on) lies before `formed`. */
static void make_ready(struct reduce *r, struct reduction *op, struct stream *s, size_t n,
                       size_t formed)
{
    while (s->ready < s->pieces) {
        size_t from = s->at + s->ready * op->piece, m = piece_n(op, n, s->ready);
        if (from + m > formed) return;
        if (coded(r, s))
            transport_encode(r->transport, r->form.wire, s->buf + s->ready * s->piece_bytes,
                             op->sum + from, op->job.residual ? op->job.residual + from : NULL, m);
        s->ready++;
        stream_wake(s);
    }
}

/* Floats of a stream of sums that leaves. */
static size_t floats_of(const struct reduce *r, const struct reduction *op,
                        const struct chain_place *p, const struct stream *s)
{
    if (!coded(r, s)) return s->bytes / sizeof(float);
    if (p->node < p->last_node) return p->length;
    struct reduce_span part = part_of(r, op, p->j, s->peer);
    return part.hi - part.lo;
}

/* What of my own slice has just been formed. */
static void keep_mine(struct reduce *r, struct reduction *op, const struct chain_place *p,
                      struct reduce_span formed)
{
    struct reduce_span part = part_of(r, op, p->j, r->form.me);
    size_t mine = op->job.offset[r->form.me] - op->job.offset[0];
    formed.lo += p->column.lo, formed.hi += p->column.lo;
    if (part.lo < formed.lo) part.lo = formed.lo;
    if (part.hi > formed.hi) part.hi = formed.hi;
    if (part.lo >= part.hi) return;
    device_copy(r->transport->device, op->job.out + (part.lo - mine),
                op->sum + (part.lo - p->column.lo), (part.hi - part.lo) * sizeof *op->sum);
}

/* The running sum from the node before comes first, then this node's members: the order of a flat
 * sum. The last node's sums are final and go to their owners. */
static void form_piece(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    size_t at = op->summed * op->piece, n = piece_n(op, p->length, op->summed);
    struct join more = {.term = op->term, .terms = p->each, .inner = r->form.inner};
    more.before = op->before.at ? &op->before : NULL;
    transport_join(r->transport, op->sum + at, &more, at, n);
    op->summed++;
    for (int i = op->sums_out; i < op->sums_in; i++) {
        struct stream *s = &op->stream[i];
        make_ready(r, op, s, floats_of(r, op, p, s), at + n);
    }
    if (p->node == p->last_node) keep_mine(r, op, p, (struct reduce_span){at, at + n});
}

static void await_sums(struct reduction *op)
{
    for (int i = op->terms_out; i < op->sums_out; i++)
        if (!stream_done(&op->stream[i])) return;
    for (int i = op->sums_in; i < op->passed_on; i++) {
        if (op->stream[i].ready == op->stream[i].pieces) continue;
        op->stream[i].ready = op->stream[i].pieces;
        stream_wake(&op->stream[i]);
    }
}

/* Rounded sums are decoded as they arrive; pieces without a codec are received in place. */
static bool decode_sums(struct reduce *r, struct reduction *op, const struct chain_place *p)
{
    bool moved = false;
    for (int i = op->sums_in; i < op->passed_on; i++) {
        struct stream *s = &op->stream[i];
        struct reduce_span part = part_of(r, op, s->peer % p->each, r->form.me);
        for (; coded(r, s) && s->used < s->done; s->used++, moved = true)
            transport_decode(r->transport, r->form.wire, op->job.out + s->at + s->used * op->piece,
                             s->buf + s->used * s->piece_bytes,
                             piece_n(op, part.hi - part.lo, s->used));
    }
    return moved;
}

static bool nodes_move(struct reduce *r, struct reduction *op)
{
    struct chain_place p = place_of(r, op);
    int sources = p.each - 1 + (p.node > 0);
    bool moved = reduce_move_streams(r, op);
    size_t through = (p.length + op->piece - 1) / op->piece;
    if (sources > 0) through = reduce_through(op, 0, sources);
    for (; op->summed < through; moved = true) form_piece(r, op, &p);
    await_sums(op);
    return decode_sums(r, op, &p) || moved;
}

const struct reduce_way reduce_nodes = {nodes_begin, nodes_move};
