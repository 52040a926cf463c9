/* P8: of processes that fail at the same moment one speaks, and no message is ever lost. Processes
 * are forked; each says a letter through a pipe when it has the floor. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/floor.h"
#include "tests/support/check_unit.h"

static int said[2];

static void nap(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void say(char letter)
{
    if (!floor_take()) return;
    if (write(said[1], &letter, 1) != 1) _exit(9);
    floor_spoken();
}

/* A process that does this, then lives for so long. */
static pid_t process(void (*body)(void), long ms)
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child > 0) return child;
    body();
    nap(ms);
    _exit(0);
}

/* What the processes have said by the time all have ended. */
static size_t all_said(char *text, size_t size)
{
    close(said[1]);
    while (wait(NULL) > 0) {
    }
    ssize_t n = read(said[0], text, size - 1);
    text[n > 0 ? n : 0] = 0;
    return strlen(text);
}

static char path[FLOOR_PATH];

/* Children inherit the memory. */
static void job(void)
{
    ck_assert_int_eq(pipe(said), 0);
    floor_open(path);
    ck_assert_str_ne(path, "");
}

static void say_a(void)
{
    say('a');
}
static void say_b(void)
{
    say('b');
}
static void take_and_be_silent(void)
{
    if (!floor_take()) _exit(9);
}

START_TEST(of_many_one_speaks)
{
    char text[64];
    job();
    for (int i = 0; i < 40; i++) process(say_a, 0);
    ck_assert_uint_eq(all_said(text, sizeof text), 1);
}
END_TEST

/* Killed before its message is written, it leaves the floor to the waiting rank. */
START_TEST(a_speaker_that_is_killed_costs_nothing)
{
    char text[64];
    job();
    pid_t first = process(take_and_be_silent, 5000);
    nap(100);
    process(say_b, 0);
    nap(100);
    kill(first, SIGKILL);
    all_said(text, sizeof text);
    ck_assert_str_eq(text, "b");
}
END_TEST

START_TEST(nobody_waits_for_a_speaker_that_hangs)
{
    char text[64];
    job();
    process(take_and_be_silent, 2500);
    nap(100);
    process(say_b, 0);
    all_said(text, sizeof text);
    ck_assert_str_eq(text, "b");
}
END_TEST

START_TEST(long_after_another_speaks)
{
    char text[64];
    job();
    process(say_a, 0);
    wait(NULL);
    nap(3100);
    process(say_b, 0);
    all_said(text, sizeof text);
    ck_assert_str_eq(text, "ab");
}
END_TEST

/* Who has spoken ends the job and itself at once; others come to the same place a moment later. */
START_TEST(a_speaker_that_is_gone_has_spoken)
{
    char text[64];
    job();
    process(say_a, 0);
    wait(NULL);
    nap(300);
    process(say_b, 0);
    all_said(text, sizeof text);
    ck_assert_str_eq(text, "a");
}
END_TEST

static void join_and_say(void)
{
    char own[FLOOR_PATH];
    floor_open(own); /* ours is another one */
    floor_join(path);
    say('b');
}
static void say_elsewhere(void)
{
    char own[FLOOR_PATH];
    floor_open(own);
    floor_join("");
    say('b');
}

START_TEST(who_joins_shares_it)
{
    char text[64];
    job();
    process(say_a, 0);
    wait(NULL);
    process(join_and_say, 0);
    all_said(text, sizeof text);
    ck_assert_str_eq(text, "a");
}
END_TEST

START_TEST(jobs_do_not_hear_each_other)
{
    char text[64];
    job();
    process(say_a, 0);
    wait(NULL);
    process(say_elsewhere, 0);
    all_said(text, sizeof text);
    ck_assert_str_eq(text, "ab");
}
END_TEST

#define TESTS(X)                              \
    X(of_many_one_speaks)                     \
    X(a_speaker_that_is_killed_costs_nothing) \
    X(nobody_waits_for_a_speaker_that_hangs)  \
    X(long_after_another_speaks)              \
    X(a_speaker_that_is_gone_has_spoken)      \
    X(who_joins_shares_it)                    \
    X(jobs_do_not_hear_each_other)

UNIT_MAIN("floor")
