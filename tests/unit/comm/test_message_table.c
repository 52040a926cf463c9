/* The table of open messages against the plainest model of it: an array of what is open in the
 * order of posting, searched from the start. */
#include "comm/base/rng.h"
#include "comm/message_table.h"
#include "tests/support/check_unit.h"

enum { MOST_ROWS = 64 };

static struct {
    struct message_table table;
    int open[MOST_ROWS], n;   /* rows, in the order of posting */
    bool through[MOST_ROWS];  /* by row: has left its line */
    bool is_first[MOST_ROWS]; /* by row: the table said so */
} x;

static bool same_line(int a, int b)
{
    const struct message *m = &x.table.row[a], *o = &x.table.row[b];
    return m->peer == o->peer && m->tag == o->tag && m->send == o->send;
}

/* The earliest of the row's line that has not left it. */
static int plain_first(int row)
{
    int i = 0;
    while (x.through[x.open[i]] || !same_line(x.open[i], row)) i++;
    return x.open[i];
}

static void add(struct rng_stream *g, int peers)
{
    struct message m = {.peer = (int)rng_next_below(g, (uint32_t)peers) * 8192,
                        .tag = (int)rng_next_below(g, 2) * (MESSAGE_TAGS - 1),
                        .send = rng_next_below(g, 2) == 1,
                        .bytes = rng_next_below(g, 1000)};
    bool first = false;
    int row = message_add(&x.table, m, &first);
    ck_assert_int_eq(row == NO_ROW, x.n == x.table.rows);
    if (row == NO_ROW) return;
    x.open[x.n++] = row;
    x.through[row] = false;
    ck_assert_int_eq(first, plain_first(row) == row);
    x.is_first[row] = first;
    ck_assert_uint_eq(x.table.row[row].bytes, m.bytes);
}

/* Some first of a line leaves it: the next, if there is one, is first. */
static void leave(int i)
{
    int row = x.open[i];
    if (x.through[row] || !x.is_first[row]) return;
    int next = message_line_next(&x.table, row), k = 0;
    x.through[row] = true;
    while (k < x.n && (x.through[x.open[k]] || !same_line(x.open[k], row))) k++;
    ck_assert_int_eq(next, k < x.n ? x.open[k] : NO_ROW);
    if (next != NO_ROW) x.is_first[next] = true;
}

static void drop(int i)
{
    if (!x.through[x.open[i]]) return;
    message_drop(&x.table, x.open[i]);
    x.n--;
    for (; i < x.n; i++) x.open[i] = x.open[i + 1];
}

/* Few peers make long lines, many make hashes that lines share. */
START_TEST(lines_and_free_rows)
{
    struct rng_stream g = {.seed = 5, .at = {.purpose = RNG_TEST}};
    for (int rows = 1; rows <= MOST_ROWS; rows = rows * 2 + (rows == 2))
        for (int peers = 1; peers <= 81; peers *= 9) {
            x.n = 0;
            message_table_make(&x.table, rows);
            for (int k = 0; k < 20000; k++) {
                int what = (int)rng_next_below(&g, 3);
                if (what == 0 || x.n == 0)
                    add(&g, peers);
                else
                    (what == 1 ? leave : drop)((int)rng_next_below(&g, (uint32_t)x.n));
                ck_assert_int_eq(x.table.used, x.n);
            }
            message_table_free(&x.table);
        }
}
END_TEST

#define TESTS(X) X(lines_and_free_rows)

UNIT_MAIN("message_table")
