/* How the members of a reduction lie on nodes is found out once a group, by looking at each a few
 * times; what is asked of the group afterwards reads the answer. */
#include <stdlib.h>
#include "comm/base/die.h"
#include "comm/reduce.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"

enum { MOST = 16384, EACH = 8 };

/* Node of member i of n: eight to a node in a row, a node each, or in two rows from either end. */
static int in_rows(int i, int n)
{
    return n > 0 ? i / EACH : 0;
}

static int alone(int i, int n)
{
    return n > 0 ? i : 0;
}

static int from_both_ends(int i, int n)
{
    return (i % 2 ? n - 1 - i / 2 : i / 2) / EACH;
}

static void check_map(const char *name, int (*node_of)(int i, int n))
{
    struct growth looks = {.n = 0};
    int *node = malloc(MOST * sizeof *node);
    for (int n = 64; n <= MOST; n *= 4) {
        for (int i = 0; i < n; i++) node[i] = node_of(i, n);
        struct reduce_form f = {.members = n, .inner = 1, .node = node};
        f.map = reduce_map_of(&f);
        growth_add(&looks, n, (double)f.map.looks);
    }
    free(node);
    growth_at_most(&looks, name, 1.1);
}

START_TEST(a_map_looks_at_each_member)
{
    check_map("a map of nodes in rows", in_rows);
    check_map("a map of nodes of one member", alone);
    check_map("a map of nodes from both ends", from_both_ends);
}
END_TEST

/* A group whose form has no map is refused: no question makes one by itself. */
START_TEST(a_question_makes_no_map)
{
    struct reduce_form f = {.members = 8, .inner = 1};
    reduce_scratch(&f, 1000);
}
END_TEST

#define TESTS(X)                  \
    X(a_map_looks_at_each_member) \
    X(a_question_makes_no_map, .exit = EXIT_BUG)

UNIT_MAIN("reduce_map")
