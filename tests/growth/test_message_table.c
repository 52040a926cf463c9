/* Posting a message takes as many steps however many are open: a rank posts the pieces of a bucket
 * of gradients to all its peers under the lock of p2p. */
#include "comm/message_table.h"
#include "comm/stream.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"

/* What a sum over `peers` ranks opens: pieces to and from each. */
static void open_all(struct message_table *t, int peers)
{
    for (int k = 0; k < STREAM_WINDOW; k++)
        for (int i = 0; i < 2 * peers; i++) {
            bool first;
            struct message m = {.peer = i / 2, .send = i % 2, .tag = 192, .bytes = 1 << 20};
            ck_assert_int_ne(message_add(t, m, &first), NO_ROW);
        }
}

/* Steps of a posting while all others are open and stand in line: the worst case. */
START_TEST(steps_of_a_posting)
{
    struct growth steps = {.n = 0}, again = {.n = 0};
    for (int peers = 16; peers <= 8192; peers *= 8) {
        struct message_table t;
        int n = 2 * peers * STREAM_WINDOW;
        message_table_make(&t, n);
        open_all(&t, peers);
        growth_add(&steps, peers, (double)t.looked / n);
        t.looked = 0;
        for (int row = 0; row < n; row++) { /* the rows were taken in their order */
            message_line_next(&t, row);
            message_drop(&t, row);
        }
        open_all(&t, peers);
        growth_add(&again, peers, (double)t.looked / (2 * n));
        message_table_free(&t);
    }
    growth_at_most(&steps, "steps of a posting", 0.05);
    growth_at_most(&again, "steps of a posting in rows that were freed", 0.05);
    ck_assert_double_lt(steps.count[steps.n - 1], 3);
    ck_assert_double_lt(again.count[again.n - 1], 3);
}
END_TEST

#define TESTS(X) X(steps_of_a_posting)

UNIT_MAIN("message_table")
