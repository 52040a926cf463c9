/* With how many replicas one has messages for sums of gradients and gathers of weights, in
 * pretended groups of up to 16,384: eight to a node, one to a node, and on nodes of several sizes.
 * All pairs would be as many as there are. */
#include "comm/base/memory.h"
#include "comm/reduce_few.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"

enum { LARGEST = 16384, EACH = 8 };

static int node[LARGEST], peer[LARGEST], back[LARGEST];

static int eights(int i)
{
    return i / EACH;
}

static int alone(int i)
{
    return i;
}

static int uneven(int i)
{
    return i < 3 ? 0 : 1 + (i - 3) / EACH;
}

static bool names(struct reduce_form f, int from, int to)
{
    f.me = from;
    const int n = reduce_peers(&f, back);
    for (int i = 0; i < n; i++)
        if (back[i] == to) return true;
    return false;
}

/* The most of some members, first and last nodes and the middle among them. Who names one is named
 * by it: both wait for the connection. */
static int most_peers(struct reduce_form f)
{
    int most = 0;
    for (int k = 0; k < 32; k++) {
        f.me = k < 8    ? k
               : k < 16 ? f.members - 1 - (k - 8)
                        : (int)((long)(k - 15) * f.members / 18);
        const int me = f.me, n = reduce_peers(&f, peer);
        most = n > most ? n : most;
        for (int i = 0; i < n; i += 1 + i / 4)
            ck_assert_msg(peer[i] != me && names(f, peer[i], me), "%d of %d names %d", me,
                          f.members, peer[i]);
    }
    return most;
}

/* At most `exponent`, and never more than `most` times the root of the members. */
static void check_peers(const char *name, int (*node_of)(int), int inner, bool gathers,
                        double exponent)
{
    struct growth peers = {.n = 0};
    for (int i = 0; i < LARGEST; i++) node[i] = node_of(i);
    for (int n = 64; n <= LARGEST; n *= 4) {
        struct reduce_form f = {.members = n, .inner = inner, .node = node, .gathers = gathers};
        f.map = reduce_map_of(&f);
        const int most = most_peers(f);
        growth_add(&peers, n, most);
        ck_assert_msg(n > 64 || most <= 32, "%s: %d peers of 64", name, most);
    }
    growth_at_most(&peers, name, exponent);
}

START_TEST(peers_of_a_replica)
{
    check_peers("eight to a node", eights, 1, false, 0.2);
    check_peers("eight to a node, two directions", eights, 2, false, 0.2);
    check_peers("one to a node", alone, 1, false, 0.5);
    check_peers("one to a node, two directions", alone, 2, false, 0.5);
    check_peers("nodes of several sizes", uneven, 1, false, 0.5);
    check_peers("eight to a node, only gathers", eights, 1, true, 0.2);
    check_peers("one to a node, only gathers", alone, 1, true, 0.2);
}
END_TEST

/* In the tree of a column every owner is reached once, from the root or an owner before it, and
 * none passes on to more than REDUCE_FAN. */
START_TEST(trees_reach_every_owner)
{
    static int fan[LARGEST];
    for (int i = 0; i < LARGEST; i++) node[i] = eights(i);
    for (int n = 24; n <= 4096; n = n * 3 / 2 / EACH * EACH) {
        struct reduce_form f = {.members = n, .inner = 1, .node = node};
        f.map = reduce_map_of(&f);
        for (int j = 0; j < EACH; j++) {
            const struct reduce_owners o = reduce_owners_of(&f, j);
            for (int i = 0; i < n; i++) fan[i] = 0;
            for (int q = 0; q < o.n; q++) {
                struct reduce_some some;
                const int me = reduce_owner_at(&o, q), above = reduce_above(&f, me, &some);
                ck_assert(some.first == q && some.end > q && above != me);
                ck_assert_int_le(++fan[above], REDUCE_FAN);
                ck_assert(above == o.root || (above >= o.first && above < me));
            }
        }
    }
}
END_TEST

#define TESTS(X)          \
    X(peers_of_a_replica) \
    X(trees_reach_every_owner)

UNIT_MAIN("reduce_peers")
