/* Which links and hosts are called slow, and that a tournament brings everybody together once. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/bench/links.h"
#include "tests/support/check_unit.h"

/* N hosts called h0, h1, ... with every link at 1 GB/s. */
static struct links links_new(int n)
{
    struct links l = {.n = n};
    l.end = calloc((size_t)n, sizeof *l.end);
    l.link = calloc((size_t)(n * n), sizeof *l.link);
    for (int i = 0; i < n; i++) {
        snprintf(l.end[i].name, sizeof l.end[i].name, "h%d", i);
        snprintf(l.end[i].interface, sizeof l.end[i].interface, "eth0");
        for (int j = 0; j < n; j++)
            if (j != i)
                l.link[l.n_links++] = (struct link){.from = i, .to = j, .gbs = 1, .us = 10 + i};
    }
    return l;
}

static void set(struct links *l, int from, int to, double gbs)
{
    for (int i = 0; i < l->n_links; i++) {
        struct link *k = &l->link[i];
        if ((from < 0 || k->from == from) && (to < 0 || k->to == to)) k->gbs = gbs;
    }
}

static struct problems findings(struct links *l, double expected, double all_reduce)
{
    struct problems p = {0};
    links_judge(l);
    links_findings(l, expected, all_reduce, &p);
    return p;
}

static void expect(struct problems *p, int n, const char *start)
{
    ck_assert_int_eq(p->n, n);
    if (n > 0) ck_assert_msg(strncmp(p->text[0], start, strlen(start)) == 0, "%s", p->text[0]);
    problems_free(p);
}

static void done(struct links *l)
{
    free(l->end);
    free(l->link);
}

START_TEST(everybody_meets_everybody_once)
{
    for (int n = 2; n <= 33; n++) {
        int met[33][33] = {{0}};
        for (int r = 0; r < rounds_all(n); r++) {
            for (int i = 0; i < n; i++) {
                int j = round_partner(n, r, i);
                if (j < 0) continue;
                ck_assert_int_lt(j, n);
                ck_assert_int_eq(round_partner(n, r, j), i);
                met[i][j]++;
            }
        }
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) ck_assert_int_eq(met[i][j], i != j);
    }
}
END_TEST

START_TEST(nothing_is_slow_among_equals)
{
    for (int n = 2; n <= 20; n += 6) {
        struct links l = links_new(n);
        set(&l, 0, 1, 0.6); /* scatter */
        struct problems p = findings(&l, 1.1, 0.9);
        expect(&p, 0, "");
        ck_assert_double_eq(l.median, n == 2 ? 0.8 : 1);
        done(&l);
    }
}
END_TEST

START_TEST(a_host_that_sends_slowly)
{
    for (int n = 3; n <= 20; n++) {
        struct links l = links_new(n);
        set(&l, 2, -1, 0.1);
        struct problems p = findings(&l, 0, 0);
        expect(&p, 1, "h2: sends 0.1 GB/s (receives 1) where the others reach 1; ");
        ck_assert(l.end[2].slow_sends && !l.end[2].slow_receives && !l.end[0].slow_receives);
        done(&l);
    }
}
END_TEST

/* Four of the six links of three hosts are slow: a median of all would call the good ones odd. */
START_TEST(a_host_that_is_slow_both_ways)
{
    struct links l = links_new(3);
    set(&l, 1, -1, 0.1);
    set(&l, -1, 1, 0.2);
    struct problems p = findings(&l, 0, 0);
    expect(&p, 1, "h1: sends 0.1 and receives 0.2 GB/s where the others reach 1; ");
    done(&l);
}
END_TEST

START_TEST(one_link_is_slow)
{
    struct links l = links_new(4);
    set(&l, 1, 3, 0.1);
    struct problems p = findings(&l, 0, 0);
    expect(&p, 1, "h1: 0.1 GB/s to h3 where the others reach 1; ");
    done(&l);
    l = links_new(2); /* of two hosts nobody can tell which */
    set(&l, 1, 0, 0.1);
    p = findings(&l, 0, 0);
    expect(&p, 1, "h1: 0.1 GB/s to h0 where the others reach 1; ");
    done(&l);
}
END_TEST

START_TEST(less_than_the_cluster_file_says)
{
    struct links l = links_new(3);
    struct problems p = findings(&l, 12.5, 1);
    expect(&p, 3, "h0: 1 GB/s where the cluster file expects 12.5; ");
    p = findings(&l, 1.5, 0.5);
    expect(&p, 1, "all: 0.5 GB/s in an all-reduce where the cluster file expects 1.5 ");
    done(&l);
}
END_TEST

#define TESTS(X)                      \
    X(everybody_meets_everybody_once) \
    X(nothing_is_slow_among_equals)   \
    X(a_host_that_sends_slowly)       \
    X(a_host_that_is_slow_both_ways)  \
    X(one_link_is_slow)               \
    X(less_than_the_cluster_file_says)

UNIT_MAIN("links")
