/* Tags of messages do not grow with the members of a group, and streams that share one are in a
 * ring that both of its sides go round alike. */
#include "comm/base/memory.h"
#include "comm/reduce_op.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"

enum { EACH = 8, MOST = 16384, SENT = 100 };

/* Member `me` of pretended ones, EACH a node, with a gather begun. */
struct pretended {
    struct reduce r;
    struct reduction op;
};

static int node[MOST];
static size_t count[MOST], offset[MOST];

static void begin_gather(struct pretended *p, int members, int me)
{
    for (int i = 0; i < members; i++) {
        node[i] = i / EACH;
        count[i] = SENT + (size_t)i % 3;
        offset[i] = i ? offset[i - 1] + count[i - 1] : 0;
    }
    *p = (struct pretended){0};
    p->r.form = (struct reduce_form){
        .members = members, .me = me, .inner = 1, .node = node, .path = REDUCE_NODES};
    p->r.form.map = reduce_map_of(&p->r.form);
    p->op = (struct reduction){.job = {.count = count, .offset = offset},
                               .gathered = NULL,
                               .elem_bytes = 2,
                               .n = offset[members - 1] + count[members - 1],
                               .sequence = SEQUENCE - 1};
    size_t streams = (size_t)reduce_streams(&p->r.form);
    p->op.stream = memory_take(streams, sizeof *p->op.stream, "a test");
    reduce_gathers.begin(&p->r, &p->op);
    ck_assert_int_le(p->op.n_streams, (int)streams);
}

static int largest_tag(const struct pretended *p)
{
    int most = 0;
    for (int i = 0; i < p->op.n_streams; i++)
        if (p->op.stream[i].tag > most) most = p->op.stream[i].tag;
    return most;
}

START_TEST(tags_of_a_gather_are_flat)
{
    struct growth g = {.n = 0};
    for (int members = 2 * EACH; members <= MOST; members *= 4) {
        struct pretended p;
        begin_gather(&p, members, members / 2 + 3);
        growth_add(&g, members, largest_tag(&p));
        ck_assert_int_lt(largest_tag(&p), P2P_TAGS);
        free(p.op.stream);
    }
    growth_at_most(&g, "the largest tag", 0.001);
}
END_TEST

/* The first stream to (or from) a member. */
static struct stream *first_of(const struct pretended *p, int peer, bool send)
{
    for (int i = 0; i < p->op.n_streams; i++)
        if (p->op.stream[i].peer == peer && p->op.stream[i].send == send) return &p->op.stream[i];
    ck_abort_msg("no stream to %d", peer);
    return NULL;
}

static int streams_of(const struct pretended *p, int peer, bool send)
{
    int n = 0;
    for (int i = 0; i < p->op.n_streams; i++)
        n += p->op.stream[i].peer == peer && p->op.stream[i].send == send;
    return n;
}

/* Slices (where they lie, how long they are) in the order of their turns. */
static void check_sides(const struct pretended *from, const struct pretended *to)
{
    const struct stream *out = first_of(from, to->r.form.me, true),
                        *in = first_of(to, from->r.form.me, false);
    int n = streams_of(from, to->r.form.me, true);
    ck_assert_int_eq(n, streams_of(to, from->r.form.me, false));
    ck_assert(n == 1 ? !out->next && !in->next : out->turn && in->turn);
    for (int i = 0; n > 1 && i < n; i++, out = out->next, in = in->next) {
        ck_assert_ptr_eq(out->buf, in->buf);
        ck_assert_uint_eq(out->bytes, in->bytes);
        ck_assert_int_eq(out->tag, in->tag);
        ck_assert(i == 0 || (!out->turn && !in->turn));
    }
}

START_TEST(both_sides_go_round_alike)
{
    enum { MEMBERS = 4 * EACH };
    struct pretended p[MEMBERS];
    int rings = 0;
    for (int i = 0; i < MEMBERS; i++) begin_gather(&p[i], MEMBERS, i);
    for (int i = 0; i < MEMBERS; i++)
        for (int k = 0; k < MEMBERS; k++) {
            if (i == k || streams_of(&p[i], k, true) == 0) continue;
            check_sides(&p[i], &p[k]);
            rings += streams_of(&p[i], k, true) > 1;
        }
    ck_assert_int_eq(rings, MEMBERS * (EACH - 1));
    for (int i = 0; i < MEMBERS; i++) free(p[i].op.stream);
}
END_TEST

#define TESTS(X)                 \
    X(tags_of_a_gather_are_flat) \
    X(both_sides_go_round_alike)

UNIT_MAIN("tags")
