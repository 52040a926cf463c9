/* The majority vote by hand: most frequent answer, ties to the first, no answer does not vote. */

#include "trainer/reward/majority.h"
#include "tests/support/check_unit.h"

struct example {
    const char *name;
    int n;
    uint64_t vote[6];
    float right[6];
    bool expected;
};

static const struct example examples[] = {
    {"one right answer", 1, {7}, {1}, true},
    {"one wrong answer", 1, {7}, {0}, false},
    {"two of three are right", 3, {7, 9, 7}, {1, 0, 1}, true},
    {"two of three are wrong", 3, {9, 7, 9}, {0, 1, 0}, false},
    {"a tie goes to the first, right", 4, {7, 9, 9, 7}, {1, 0, 0, 1}, true},
    {"a tie goes to the first, wrong", 4, {9, 7, 7, 9}, {0, 1, 1, 0}, false},
    {"the largest group wins, first or not", 6, {9, 5, 7, 7, 5, 7}, {0, 0, 1, 1, 0, 1}, true},
    {"no answer does not vote", 5, {0, 0, 0, 7, 9}, {0, 0, 0, 1, 0}, true},
    {"nobody answered", 3, {0, 0, 0}, {0, 0, 0}, false},
    {"a part of a reward counts as right", 2, {7, 7}, {0.5f, 0.5f}, true},
};

START_TEST(by_hand)
{
    const struct example *e = &examples[_i];
    ck_assert_msg(majority_right(e->vote, e->right, e->n) == e->expected, "%s", e->name);
}
END_TEST

#define TESTS(X) X(by_hand, .to = sizeof examples / sizeof *examples)

UNIT_MAIN("majority")
