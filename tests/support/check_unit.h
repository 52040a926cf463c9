/* How a test of one process ends: every case in a process of its own (Check's fork mode), a line for each failure. */
#ifndef DUET_TESTS_CHECK_UNIT_H
#define DUET_TESTS_CHECK_UNIT_H

#include <check.h>
#include <stdlib.h>

/* Whether limits of a process's memory can be set: AddressSanitizer reserves terabytes of addresses, and would be what ends. */
#ifdef __SANITIZE_ADDRESS__
enum { MEMORY_LIMITS = 0 };
#else
enum { MEMORY_LIMITS = 1 };
#endif

/* Runs and frees the suite; the exit code of main. */
static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
