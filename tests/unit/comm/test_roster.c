/* Hosts from the cards of all ranks. */
#include "comm/roster.h"

#include <stdlib.h>

#include "tests/support/check_unit.h"

enum { MOST = 16384 };

static int node[MOST], plain[MOST];
static struct roster_card card[MOST];

/* The definition: hosts in the order of their lowest ranks. */
static int plainly(int ranks)
{
    int nodes = 0;
    for (int r = 0; r < ranks; r++) {
        int same = 0;
        while (same < r && card[same].id != card[r].id) same++;
        plain[r] = same < r ? plain[same] : nodes++;
    }
    return nodes;
}

static void check_cards(int ranks)
{
    ck_assert_int_eq(roster_nodes(node, card, ranks), plainly(ranks));
    for (int r = 0; r < ranks; r++) ck_assert_int_eq(node[r], plain[r]);
}

START_TEST(any_placement)
{
    srand(7);
    for (int hosts = 1; hosts <= 40; hosts += 3)
        for (int ranks = 1; ranks <= 100; ranks += 9) {
            for (int r = 0; r < ranks; r++)
                card[r].id = (unsigned long long)(rand() % hosts) * 0x9e3779b97f4a7c15u;
            check_cards(ranks);
        }
}
END_TEST

START_TEST(many_hosts)
{
    for (int r = 0; r < MOST; r++) card[r].id = ~(unsigned long long)(r / 8);
    check_cards(MOST);
    ck_assert_int_eq(node[MOST - 1], MOST / 8 - 1);
}
END_TEST

START_TEST(a_host_by_its_name)
{
    ck_assert(roster_id("a") == roster_id("a"));
    ck_assert(roster_id("a") != roster_id("b"));
}
END_TEST

#define TESTS(X)     \
    X(any_placement) \
    X(many_hosts)    \
    X(a_host_by_its_name)

UNIT_MAIN("roster")
