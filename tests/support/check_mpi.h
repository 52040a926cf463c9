/* Check under mpirun: one process a rank, no forks (a fork under Open MPI crashes in the next
 * collective), and assertions on which all ranks agree before any of them leaves the test.
 *
 *   START_TEST(sums) { ...; ck_all(x == 3, "x is %d", x); } END_TEST
 *   #define TESTS(X) X(sums)
 *   MPI_MAIN("coll")
 *
 * A plain ck_assert that fails on one rank leaves the others waiting until the watchdog ends them:
 * use it only for what is the same everywhere. */
#ifndef DUET_TESTS_SUPPORT_CHECK_MPI_H
#define DUET_TESTS_SUPPORT_CHECK_MPI_H

#include <stdio.h>

#include "comm/world.h"
#include "tests/support/check_tests.h"

/* Memory is not what a program without the sanitizer has. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif

static struct world ck_world;

/* Collective over all ranks: fails the test on every rank if cond is false on any. Takes a printf
 * format. */
#define ck_all(cond, ...)                                                                      \
    do {                                                                                       \
        bool ck_ok_ = (cond);                                                                  \
        watchdog_feed();                                                                       \
        if (!world_all(&ck_world, ck_ok_)) {                                                   \
            char ck_text_[512];                                                                \
            snprintf(ck_text_, sizeof ck_text_, __VA_ARGS__);                                  \
            if (!ck_ok_)                                                                       \
                fprintf(stderr, "rank %d: %s:%d: %s: %s\n", ck_world.rank, __FILE__, __LINE__, \
                        #cond, ck_text_);                                                      \
            ck_abort_msg("%s: %s", #cond, ck_ok_ ? "failed on another rank" : ck_text_);       \
        }                                                                                      \
    } while (0)

/* Runs the tests of the table TESTS on all ranks, in order; rank 0 prints. The exit code of main: 1
 * on every rank if any rank failed. What follows the name are members of struct check_suite
 * (without forks no time limit and no exits; before_all runs on every rank). */
#define RUN_MPI_TESTS(argc, argv, ...) \
    check_mpi_run(argc, argv, CHECK_SUITE(__VA_ARGS__), CHECK_ROWS)
#define MPI_MAIN(...)                                  \
    int main(int argc, char **argv)                    \
    {                                                  \
        return RUN_MPI_TESTS(argc, argv, __VA_ARGS__); \
    }

static inline int check_mpi_run(int argc, char **argv, struct check_suite suite,
                                const struct check_test *tests)
{
    world_up(&ck_world, &argc, &argv);
    watchdog_start(60);
    SRunner *runner = check_runner(suite, tests);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, ck_world.rank == 0 ? CK_NORMAL : CK_SILENT);
    bool failed = world_any(&ck_world, srunner_ntests_failed(runner) > 0);
    srunner_free(runner);
    world_down(&ck_world);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
