/* gap_find against a count of every element: random sets of slices of small matrices, most of them
 * whole but for one. */
#include <stdlib.h>
#include <string.h>

#include "trainer/checkpoint/gap.h"
#include "trainer/checkpoint/range.h"
#include "tests/support/check_unit.h"

enum { COLS = 4, ROWS = 4, N = COLS * ROWS, MOST = 2000, TRIALS = 40000 };

static struct range all[MOST];
static int count;

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

static bool holds(const struct range *s, size_t x)
{
    if (x < s->lo || x >= s->hi) return false;
    return s->run == 0 || (x - s->lo) % s->stride < s->run;
}

static unsigned state;
static int draw(int n)
{
    state = state * 1664525u + 1013904223u;
    return (int)((state >> 8) % (unsigned)n);
}

struct tensor_case {
    struct manifest_tensor t;
    struct manifest_slice slice[2 * N];
};

static bool is_free(const struct tensor_case *c, const struct range *s)
{
    for (size_t i = 0; i < c->t.slices; i++)
        if (range_meets(&c->slice[i].at, s)) return false;
    return true;
}

static void add(struct tensor_case *c, struct range s)
{
    c->slice[c->t.slices++].at = s;
}

/* Disjoint ones until little or nothing is left; then one may be lost, be there twice, or become
 * another. */
static void make_case(struct tensor_case *c, bool columns)
{
    memset(c, 0, sizeof *c);
    c->t = (struct manifest_tensor){.name = "t", .n = N, .slice = c->slice};
    for (int tries = 0; tries < 1500 && c->t.slices < N; tries++) {
        const struct range *s = &all[draw(count)];
        if ((columns || s->run == 0) && is_free(c, s)) add(c, *s);
    }
    const int what = draw(5), which = draw((int)c->t.slices);
    if (what == 0) c->slice[which] = c->slice[--c->t.slices];
    if (what == 1) add(c, c->slice[which].at);
    if (what == 2) c->slice[which].at = all[draw(count)];
}

/* What gap_find is to say. */
static size_t counted(const struct tensor_case *c)
{
    bool columns = false, once = true;
    size_t first = N;
    for (size_t i = 0; i < c->t.slices; i++) columns = columns || c->slice[i].at.run;
    for (size_t x = N; x-- > 0;) {
        int n = 0;
        for (size_t i = 0; i < c->t.slices; i++) n += holds(&c->slice[i].at, x);
        if (n == 0) first = x;
        once = once && n == 1;
    }
    if (columns) return once ? N : 0;
    return first;
}

START_TEST(every_element_is_counted)
{
    uint64_t scratch[64 * N];
    int whole = 0;
    struct tensor_case c;
    state = 7;
    collect();
    ck_assert_uint_le(gap_scratch(2 * N), 64 * N);
    for (int i = 0; i < TRIALS; i++) {
        make_case(&c, i % 4);
        const size_t right = counted(&c), is = gap_find(&c.t, scratch);
        whole += right == N;
        if (is != right) ck_abort_msg("case %d: %zu, not %zu", i, is, right);
    }
    ck_assert_int_gt(whole, TRIALS / 10);
    ck_assert_int_lt(whole, TRIALS * 9 / 10);
}
END_TEST

START_TEST(nothing_and_rows_of_two_lengths)
{
    uint64_t scratch[64];
    struct tensor_case c = {.t = {.n = 12, .slice = c.slice}};
    ck_assert_uint_eq(gap_find(&c.t, scratch), 0);
    add(&c, (struct range){0, 10, 1, 3});
    add(&c, (struct range){1, 12, 2, 3});
    ck_assert_uint_eq(gap_find(&c.t, scratch), 12);
    c.slice[1].at = (struct range){1, 12, 3, 4};
    ck_assert_uint_eq(gap_find(&c.t, scratch), 0);
}
END_TEST

#define TESTS(X)                \
    X(every_element_is_counted) \
    X(nothing_and_rows_of_two_lengths)

UNIT_MAIN("gap", .timeout_s = 60)
