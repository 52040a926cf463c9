/* A test of one process: every case in a process of its own (Check's fork mode), a line for each
 * failure. */
#ifndef DUET_TESTS_CHECK_UNIT_H
#define DUET_TESTS_CHECK_UNIT_H

#include "tests/support/check_tests.h"

/* Whether limits of a process's memory can be set: AddressSanitizer reserves terabytes of
 * addresses, and would be what ends. */
#ifdef __SANITIZE_ADDRESS__
enum { MEMORY_LIMITS = 0 };
#else
enum { MEMORY_LIMITS = 1 };
#endif

/* Runs the tests of the table TESTS; the exit code of main. What follows the name are members of
 * struct check_suite. */
#define RUN_UNIT_TESTS(...) check_unit_run(CHECK_SUITE(__VA_ARGS__), CHECK_ROWS)
#define UNIT_MAIN(...)                      \
    int main(void)                          \
    {                                       \
        return RUN_UNIT_TESTS(__VA_ARGS__); \
    }

static inline int check_unit_run(struct check_suite suite, const struct check_test *tests)
{
    SRunner *runner = check_runner(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
