/* A file's tests as one table. Every START_TEST stands in it once: one that does not is an unused
 * variable, which the compiler refuses.
 *
 *   #define TESTS(X)                                                                     \
 *       X(sums)                                                                          \
 *       X(tables, .to = TABLES)              once for each _i of [0, TABLES)             \
 *       X(full_is_a_bug, .exit = EXIT_BUG)   passes when it exits so; or .signal = SIGSEGV
 *   UNIT_MAIN("arena", .timeout_s = 30)
 *
 * The second line is of check_unit.h; MPI_MAIN("arena") of check_mpi.h takes the same table. */
#ifndef DUET_TESTS_SUPPORT_CHECK_TESTS_H
#define DUET_TESTS_SUPPORT_CHECK_TESTS_H

#include <check.h>
#include <stdlib.h>

/* A row of TESTS. */
struct check_test {
    const TTest *test;
    int from, to;     /* _i runs over [from, to); to 0: once, with 0 */
    int exit, signal; /* how it ends; 0: by its return */
};

/* What stands in UNIT_MAIN and MPI_MAIN, the name first. */
struct check_suite {
    const char *name;
    int timeout_s;                                /* for each test; 0: Check's own */
    void (*setup)(void), (*teardown)(void);       /* around each test, in its process */
    void (*before_all)(void), (*after_all)(void); /* once, in the process that starts them */
};

/* A suite's tests, closed by a row without one. (.test is named here so that other members may be
 * left out.) */
#define CHECK_ROW(...) {.test = __VA_ARGS__},
#define CHECK_ROWS              \
    (const struct check_test[]) \
    {                           \
        TESTS(CHECK_ROW)        \
        {                       \
            .test = NULL        \
        }                       \
    }
#define CHECK_SUITE(...)    \
    (struct check_suite)    \
    {                       \
        .name = __VA_ARGS__ \
    }

/* A runner of them, the caller's to free. */
static inline SRunner *check_runner(struct check_suite s, const struct check_test *row)
{
    Suite *suite = suite_create(s.name);
    TCase *tcase = tcase_create(s.name);
    if (s.timeout_s) tcase_set_timeout(tcase, s.timeout_s);
    tcase_add_checked_fixture(tcase, s.setup, s.teardown);
    tcase_add_unchecked_fixture(tcase, s.before_all, s.after_all);
    for (; row->test; row++) {
        const int to = row->to ? row->to : 1;
        if (row->signal)
            tcase_add_loop_test_raise_signal(tcase, row->test, row->signal, row->from, to);
        else
            tcase_add_loop_exit_test(tcase, row->test, row->exit, row->from, to);
    }
    suite_add_tcase(suite, tcase);
    return srunner_create(suite);
}

#endif
