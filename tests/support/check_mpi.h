/* Check under mpirun: one process a rank, no forks (a fork under Open MPI crashes in the next collective), and
 * assertions on which all ranks agree before any of them leaves the test.
 *
 *   START_TEST(sums) { ...; ck_all(x == 3, "x is %d", x); } END_TEST
 *   int main(int argc, char **argv)
 *   {
 *       const TTest *tests[] = {sums};
 *       return check_mpi_main("coll", tests, 1, argc, argv);
 *   }
 *
 * A plain ck_assert that fails on one rank leaves the others waiting until the watchdog ends them: use
 * it only for what is the same everywhere. */
#ifndef DUET_TESTS_SUPPORT_CHECK_MPI_H
#define DUET_TESTS_SUPPORT_CHECK_MPI_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "comm/world.h"

static struct world ck_world;

/* Collective over all ranks: fails the test on every rank if cond is false on any. Takes a printf format. */
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

/* Runs the tests on all ranks, in order; rank 0 prints. Returns 1 on every rank if any rank failed. */
static inline int check_mpi_main(const char *name, const TTest **tests, int n, int argc,
                                 char **argv)
{
    world_up(&ck_world, &argc, &argv);
    watchdog_start(60);
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    suite_add_tcase(suite, tcase);
    for (int i = 0; i < n; i++) tcase_add_test(tcase, tests[i]);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, ck_world.rank == 0 ? CK_NORMAL : CK_SILENT);
    bool failed = world_any(&ck_world, srunner_ntests_failed(runner) > 0);
    srunner_free(runner);
    world_down(&ck_world);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
