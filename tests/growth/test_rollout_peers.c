/* With how many others a rank has messages in a rollout, on pretended meshes of up to 16,384 ranks:
 * its neighbours, the other end of its pipeline, the few that questions come by, and those that
 * answers come by, two for each doubling of the pipelines. */
#include <stdlib.h>

#include "comm/base/memory.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "trainer/rollout/queue.h"

struct pretended {
    const char *name;
    enum plan_place place;
    int pp, tp, ep; /* dp is what is left of the ranks; pp 0: it is the ranks, dp is 1 */
};
static const struct pretended meshes[] = {
    {"pipelines of one stage", PLACE_LINE, 1, 1, 1},
    {"pipelines of 8 stages, both ways", PLACE_MIRROR, 8, 1, 1},
    {"pipelines of 4 stages, there and back", PLACE_VEE, 4, 1, 1},
    {"stages of two ranks", PLACE_LINE, 2, 2, 1},
    {"experts shared by 8", PLACE_LINE, 1, 1, 8},
    {"one pipeline", PLACE_LINE, 0, 1, 1},
    {"one pipeline, both ways", PLACE_MIRROR, 0, 1, 1},
};
enum { MESHES = sizeof meshes / sizeof *meshes };

static int peers_of(const struct pretended *p, int ranks, int rank, int out[ROLLOUT_PEERS])
{
    int pp = p->pp > 0 ? p->pp : ranks;
    struct mesh m = {.dp = ranks / pp / p->tp, .pp = pp, .tp = p->tp, .ep = p->ep};
    struct mesh_at at = mesh_coords(&m, rank);
    m.d = at.d, m.p = at.p, m.t = at.t;
    struct stage s = {.mesh = &m, .place = p->place};
    s.chunks = plan_chunks(p->place, m.pp);
    s.directions = p->place == PLACE_MIRROR ? 2 : 1;
    return rollout_peers(&s, out);
}

static bool has_peer(const struct pretended *p, int ranks, int rank, int peer)
{
    int out[ROLLOUT_PEERS], n = peers_of(p, ranks, rank, out), times = 0;
    for (int i = 0; i < n; i++) times += out[i] == peer;
    return times == 1;
}

/* The most that a rank has. Who names a rank is named by it: both wait for the connection. */
static int most_peers(const struct pretended *p, int ranks)
{
    int most = 0;
    for (int r = 0; r < ranks; r++) {
        int out[ROLLOUT_PEERS], n = peers_of(p, ranks, r, out);
        most = n > most ? n : most;
        for (int i = 0; i < n; i++)
            ck_assert_msg(out[i] != r && out[i] >= 0 && out[i] < ranks &&
                              has_peer(p, ranks, out[i], r),
                          "%s, %d ranks: %d names %d", p->name, ranks, r, out[i]);
    }
    return most;
}

START_TEST(peers_of_a_rank)
{
    for (int i = 0; i < MESHES; i++) {
        struct growth peers = {.n = 0};
        for (int ranks = 256; ranks <= 16384; ranks *= 4)
            growth_add(&peers, ranks, most_peers(&meshes[i], ranks));
        growth_at_most(&peers, meshes[i].name, 0.15);
        ck_assert_double_le(peers.count[peers.n - 1], QUEUE_PEERS + 3 + 2 * 14);
    }
}
END_TEST

/* ---- messages for questions ---- */

struct node {
    struct handout handout;
    int asks, messages;
    struct numbers reply;
    enum { NOTHING, ASKED, HEARD, REPLIED } state; /* of its request */
    bool waits, ended;
};
static struct node *node;
static int nodes, questions, next;

static void share(int s, struct numbers got);

static void seek(int s)
{
    struct node *k = &node[s];
    int n = handout_ask(&k->handout), left = questions - next;
    struct numbers got = {next, n < left ? n : left};
    if (n == 0) return;
    if (s > 0 && !k->handout.spent) {
        k->asks = n;
        k->state = ASKED;
        k->messages++;
        return;
    }
    if (s > 0) got.n = 0;
    next += got.n;
    share(s, got);
}

static void share(int s, struct numbers got)
{
    struct gift gift[HANDOUT_ASKERS];
    int below[HANDOUT_FAN], n = handout_share(&node[s].handout, got, gift);
    handout_below(s, nodes, below);
    for (int i = 0; i < n; i++) {
        if (gift[i].who == HANDOUT_SELF) {
            node[s].waits = false;
            node[s].ended = gift[i].numbers.n == 0;
            continue;
        }
        struct node *k = &node[below[gift[i].who - HANDOUT_FIRST_BELOW]];
        k->reply = gift[i].numbers;
        k->state = REPLIED;
        node[s].messages++;
    }
}

/* All messages that are under way arrive; who has nothing takes a question. */
static bool go_round(void)
{
    bool any = false;
    for (int s = nodes - 1; s >= 0; s--) {
        struct node *k = &node[s];
        int above = handout_above(s);
        if (k->state == ASKED) {
            k->state = HEARD;
            handout_want(&node[above].handout, HANDOUT_FIRST_BELOW + (s - 1) % HANDOUT_FAN,
                         k->asks);
            seek(above);
        } else if (k->state == REPLIED) {
            k->state = NOTHING;
            share(s, k->reply);
            seek(s);
        }
        any = any || !k->ended;
        if (k->waits || k->ended) continue;
        k->waits = true;
        handout_want(&k->handout, HANDOUT_SELF, 1);
        seek(s);
    }
    return any;
}

/* Messages that the busiest first stage sends while each gets four questions: as the tree gets
 * deeper a question takes more rounds, in which a stage may be asked again; no more than that. */
START_TEST(messages_of_a_first_stage)
{
    struct growth messages = {.n = 0};
    for (nodes = 64; nodes <= 16384; nodes *= 4) {
        int most = 0;
        node = memory_take((size_t)nodes, sizeof *node, "a test");
        questions = 4 * nodes, next = 0;
        while (go_round()) {
        }
        ck_assert_int_eq(next, questions);
        for (int s = 0; s < nodes; s++) most = node[s].messages > most ? node[s].messages : most;
        growth_add(&messages, nodes, most);
        free(node);
    }
    growth_at_most(&messages, "messages of the busiest first stage", 0.4);
}
END_TEST

/* Shares that all take leave no question over, and none is more than twice the even one. */
START_TEST(shares)
{
    for (int dp = 1; dp <= 64; dp++)
        for (int n = 1; n < 300; n += 7) {
            struct mesh m = {.dp = dp, .pp = 2, .tp = 1, .ep = 1};
            struct stage s = {.mesh = &m, .directions = 2};
            int most = queue_most(&s, n), even = (n + 2 * dp - 1) / (2 * dp);
            ck_assert_int_ge(2L * dp * most, n);
            ck_assert(most <= 2 * even && most <= n);
        }
}
END_TEST

#define TESTS(X)       \
    X(peers_of_a_rank) \
    X(shares)          \
    X(messages_of_a_first_stage)

UNIT_MAIN("rollout_peers")
