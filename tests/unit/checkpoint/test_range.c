/* Ranges against the same said element by element, over all ranges of small matrices. */
#include <stdlib.h>

#include "trainer/checkpoint/range.h"
#include "tests/support/check_unit.h"

enum { COLS = 5, ROWS = 4, N = COLS * ROWS, MOST = 2000 };

static struct range all[MOST];
static int count;

static bool holds(const struct range *s, size_t x)
{
    if (x < s->lo || x >= s->hi) return false;
    return s->run == 0 || (x - s->lo) % s->stride < s->run;
}

/* Index of x in s. */
static size_t index_of(const struct range *s, size_t x)
{
    size_t n = 0;
    for (size_t i = s->lo; i < x; i++) n += holds(s, i);
    return n;
}

static void collect(void)
{
    count = 0;
    for (size_t lo = 0; lo < N; lo++)
        for (size_t hi = lo + 1; hi <= N; hi++)
            for (size_t run = 0; run < COLS; run++) {
                struct range s = {lo, hi, run, run ? COLS : 0};
                if (range_valid(&s, N)) all[count++] = s;
            }
}

START_TEST(valid_ones_are_whole_runs_within_rows)
{
    int runs = 0;
    collect();
    for (int i = 0; i < count; i++) runs += all[i].run > 0;
    ck_assert_int_eq(count - runs, N * (N + 1) / 2);

    ck_assert_int_eq(runs, (COLS * (COLS + 1) / 2 - 1) * ROWS * (ROWS + 1) / 2);
    ck_assert(!range_valid(&(struct range){0, N + 1, 0, 0}, N));
    ck_assert(!range_valid(&(struct range){3, 3, 0, 0}, N));
    ck_assert(!range_valid(&(struct range){0, 6, 1, 6}, N));
    ck_assert(!range_valid(&(struct range){0, 6, 5, 5}, N));
}
END_TEST

START_TEST(counts)
{
    collect();
    for (int i = 0; i < count; i++) ck_assert_uint_eq(range_count(&all[i]), index_of(&all[i], N));
}
END_TEST

static bool same_elements(const struct range *a, const struct range *b)
{
    float from[N], to[N];
    bool meet = false, ok = true;
    size_t common = 0;
    for (size_t x = 0; x < N; x++) {
        to[x] = -1;
        if (holds(b, x)) from[index_of(b, x)] = (float)x;
        common += holds(a, x) && holds(b, x);
        meet = common > 0;
    }
    range_copy(to, a, from, b);
    for (size_t x = 0; x < N; x++)
        if (holds(a, x)) ok = ok && to[index_of(a, x)] == (holds(b, x) ? (float)x : -1);
    return ok && meet == range_meets(a, b) && common == range_common(a, b);
}

START_TEST(meeting_and_copying)
{
    collect();
    for (int i = 0; i < count; i++)
        for (int k = 0; k < count; k++)
            if (!same_elements(&all[i], &all[k]))
                ck_abort_msg("[%zu %zu %zu] and [%zu %zu %zu]", all[i].lo, all[i].hi, all[i].run,
                             all[k].lo, all[k].hi, all[k].run);
}
END_TEST

#define TESTS(X)                             \
    X(valid_ones_are_whole_runs_within_rows) \
    X(counts)                                \
    X(meeting_and_copying)

UNIT_MAIN("range")
