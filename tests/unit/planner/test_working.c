/* Long work says how far it is; short work says nothing. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "trainer/planner/working.h"
#include "tests/support/check_unit.h"

static char said[1024];

static void nap(double s)
{
    struct timespec t = {(time_t)s, (long)(1e9 * (s - (double)(time_t)s))};
    nanosleep(&t, NULL);
}

/* What is written to stderr between the first call, with true, and the second. */
static void listen(bool begin)
{
    static FILE *f;
    static int before;
    fflush(stderr);
    if (begin) {
        f = tmpfile();
        before = dup(STDERR_FILENO);
        dup2(fileno(f), STDERR_FILENO);
        return;
    }
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(f);
    said[fread(said, 1, sizeof said - 1, f)] = '\0';
    fclose(f);
}

START_TEST(short_work_is_silent)
{
    listen(true);
    working_begin("searching", 3);
    for (int i = 0; i < 3; i++) working_did(1);
    working_end();
    listen(false);
    ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(long_work_speaks)
{
    listen(true);
    working_begin("searching", 40);
    working_did(1);
    nap(2.1);
    working_did(11);
    working_did(1); /* at once: the next line has time */
    working_end();
    listen(false);
    ck_assert_str_eq(said, "searching: 12 of 40\n");
}
END_TEST

#define TESTS(X)            \
    X(short_work_is_silent) \
    X(long_work_speaks)

UNIT_MAIN("working")
