/* Two jobs on one folder (promise P9): of any number that start at once one has the lock; the owner
 * is known to live or to be gone, also from another host, where only its heartbeat tells. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/log.h"
#include "trainer/checkpoint/lock.h"
#include "tests/support/check_unit.h"

static const struct lock_times FAST = {.beat = 0.05, .stale = 1.0, .settle = 0.3, .grace = 0.1};
static char folder[32], path[64];

/* Interposed: whoever replaces a lock is slow, each in its own way, between having looked at it and
 * renaming. (The C library names its parameters as nobody else may.
 * NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)) */
static bool slow;
int rename(const char *from, const char *to)
{
    if (slow) nanosleep(&(struct timespec){.tv_nsec = getpid() % 5 * 15000000}, NULL);
    return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

static void setup(void)
{
    strcpy(folder, "/tmp/duet_lock_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/" LOCK_NAME, folder);
}

static void teardown(void)
{
    folder_remove(folder, &(struct failure){0});
}

static void wait_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Tries until it is clear. */
static enum lock_state settle(struct lock *l)
{
    struct failure f = {0};
    enum lock_state state = LOCK_WAIT;
    for (int i = 0; i < 1000 && state == LOCK_WAIT; i++) {
        state = lock_try(l, &f);
        if (state == LOCK_WAIT) wait_ms(10);
    }
    return state;
}

static enum lock_state once(void)
{
    struct lock *l = lock_new(folder, &FAST);
    const enum lock_state state = settle(l);
    lock_free(l);
    return state;
}

static char *text_of(size_t *n)
{
    char *text = path_read(path, 4096, n, &(struct failure){0});
    ck_assert_ptr_nonnull(text);
    return text;
}

static void write_text(const char *text, size_t n)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
    close(fd);
}

/* A child takes the lock and holds it until it is killed. */
static pid_t holder(void)
{
    int told[2];
    char c;
    ck_assert_int_eq(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct lock *l = lock_new(folder, &FAST);
        if (settle(l) != LOCK_TAKEN || write(told[1], "t", 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(told[1]);
    ck_assert_int_eq(read(told[0], &c, 1), 1);
    close(told[0]);
    return child;
}

static void finish(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* As a host sees it that does not share the owner's processes: one character of "boot" or "pids" is
 * another. */
static void move_owner(const char *key)
{
    size_t n;
    char *text = text_of(&n), *at = strstr(text, key);
    ck_assert_ptr_nonnull(at);
    at += strlen(key) + 4;
    *at = *at == '7' ? '8' : '7';
    const int fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, text, n, 0), (ssize_t)n);
    close(fd);
    free(text);
}

START_TEST(names_its_owner)
{
    struct lock_owner o;
    size_t n;
    setenv("SLURM_JOB_ID", "4711", 1);
    struct lock *l = lock_new(folder, &FAST);
    ck_assert_int_eq(settle(l), LOCK_TAKEN);
    unsetenv("SLURM_JOB_ID");
    ck_assert_ptr_null(lock_owner(l));
    char *text = text_of(&n);
    ck_assert(lock_parse(&o, text, n));
    ck_assert_int_eq(o.pid, getpid());
    ck_assert_str_eq(o.job, "Slurm job 4711");
    ck_assert(o.host[0] && strlen(o.since) == strlen("2000-01-01 00:00:00") && o.started > 0);
    for (size_t cut = 0; cut < n - 2; cut++) ck_assert(!lock_parse(&o, text, cut));
    free(text);
    lock_free(l);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(the_second_is_refused)
{
    struct lock *l = lock_new(folder, &FAST);
    const pid_t first = holder();
    ck_assert_int_eq(settle(l), LOCK_HELD);
    ck_assert_int_eq(lock_owner(l)->pid, first);
    lock_free(l);
    ck_assert_int_eq(access(path, F_OK), 0); /* it is the other's */
    kill(first, SIGSTOP);                    /* no heartbeat, but alive */
    wait_ms(800);
    ck_assert_int_eq(once(), LOCK_HELD);
    finish(first);
}
END_TEST

START_TEST(a_killed_owner_is_gone_at_once)
{
    const struct lock_times patient = {.beat = 1, .stale = 1000, .settle = 0.5, .grace = 1000};
    const pid_t first = holder();
    struct failure f = {0};
    kill(first, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)first, &info, WEXITED | WNOWAIT); /* also while it is a zombie */
    struct lock *l = lock_new(folder, &patient);
    ck_assert_int_eq(lock_try(l, &f), LOCK_TAKEN);
    ck_assert_int_eq(lock_owner(l)->pid, first);
    finish(first);
    lock_free(l);
}
END_TEST

/* Its number may be another process's by now. */
START_TEST(a_number_that_is_used_again)
{
    size_t n;
    const pid_t first = holder();
    char *text = text_of(&n), *at = strstr(text, "\"started\": ");
    at[11] = at[11] == '9' ? '8' : '9';
    write_text(text, n);
    free(text);
    ck_assert_int_eq(once(), LOCK_TAKEN);
    finish(first);
}
END_TEST

START_TEST(a_copied_folder_is_not_locked)
{
    char from[64];
    const pid_t first = holder();
    strcpy(from, path);
    char *text = path_read(from, 4096, &(size_t){0}, &(struct failure){0});
    setup(); /* another folder */
    write_text(text, strlen(text));
    free(text);
    ck_assert_int_eq(once(), LOCK_TAKEN);
    finish(first);
}
END_TEST

/* From another host, or another container of this one: "boot", "pids". */
static const char *const PLACE[] = {"boot", "pids"};
START_TEST(elsewhere_the_heartbeat_tells)
{
    const pid_t first = holder();
    move_owner(PLACE[_i]);
    ck_assert_int_eq(once(), LOCK_HELD);
    finish(first);
    struct lock *l = lock_new(folder, &FAST);
    struct failure f = {0};
    /* A pause is not an end; how long this test itself was kept waiting by other work counts, too.
     */
    enum lock_state state = LOCK_WAIT;
    for (double since = clock_now(), now = since; now - since < 0.6 * FAST.stale;) {
        state = lock_try(l, &f);
        now = clock_now();
        ck_assert(state == LOCK_WAIT || now - since >= FAST.stale);
        if (state == LOCK_WAIT) wait_ms(20);
        if (state == LOCK_TAKEN) break;
    }
    if (state == LOCK_WAIT) ck_assert_int_eq(settle(l), LOCK_TAKEN);
    lock_free(l);
}
END_TEST

START_TEST(killed_between_making_and_writing)
{
    write_text("", 0);
    struct lock *l = lock_new(folder, &FAST);
    struct failure f = {0};
    ck_assert_int_eq(lock_try(l, &f), LOCK_WAIT); /* perhaps just being written */
    ck_assert_int_eq(settle(l), LOCK_TAKEN);
    lock_free(l);
}
END_TEST

START_TEST(somebody_elses_file)
{
    size_t n;
    write_text("my door key\n", 12);
    ck_assert_int_eq(once(), LOCK_FAILED);
    char *text = text_of(&n);
    ck_assert_str_eq(text, "my door key\n");
    free(text);
}
END_TEST

/* Eight processes begin at once and one takes it: with no lock there, with one of a dead owner
 * here, with one of a dead owner elsewhere. */
START_TEST(one_winner)
{
    enum { MANY = 8, ROUNDS = 2 };
    slow = true;
    for (int round = 0; round < ROUNDS; round++) {
        int go[2], winners = 0;
        if (_i > 0) finish(holder());
        if (_i == 2) move_owner("boot");
        ck_assert_int_eq(pipe(go), 0);
        for (int i = 0; i < MANY; i++) {
            if (fork() != 0) continue;
            struct lock *l = lock_new(folder, &FAST);
            char c;
            close(go[1]);
            if (read(go[0], &c, 1) < 0) _exit(9);
            const enum lock_state state = settle(l);
            if (state == LOCK_TAKEN) wait_ms(900); /* it lives while the others look */
            _exit(state == LOCK_TAKEN ? 1 : state == LOCK_HELD ? 0 : 9);
        }
        close(go[0]);
        close(go[1]); /* go */
        for (int i = 0; i < MANY; i++) {
            int status;
            ck_assert_int_gt(wait(&status), 0);
            ck_assert(WIFEXITED(status));
            ck_assert_int_le(WEXITSTATUS(status), 1);
            winners += WEXITSTATUS(status);
        }
        ck_assert_int_eq(winners, 1);
        unlink(path);
    }
}
END_TEST

START_TEST(the_owner_looks)
{
    struct failure f = {0};
    struct lock *l = lock_new(folder, &FAST);
    ck_assert_int_eq(settle(l), LOCK_TAKEN);
    ck_assert(lock_look(l, &f));
    unlink(path);
    ck_assert(lock_look(l, &f)); /* made again */
    ck_assert_int_eq(access(path, F_OK), 0);
    unlink(path);
    const pid_t other = holder();
    ck_assert(!lock_look(l, &f));
    ck_assert_ptr_nonnull(strstr(f.why, "another job has taken over the run folder"));
    lock_free(l);
    ck_assert_int_eq(access(path, F_OK), 0); /* the other's stays */
    finish(other);
    f = (struct failure){0};
    unlink(path);
    l = lock_new(folder, &FAST);
    ck_assert_int_eq(settle(l), LOCK_TAKEN);
    teardown();
    ck_assert(!lock_look(l, &f));
    lock_free(l);
}
END_TEST

#define TESTS(X)                              \
    X(names_its_owner)                        \
    X(the_second_is_refused)                  \
    X(a_killed_owner_is_gone_at_once)         \
    X(a_number_that_is_used_again)            \
    X(a_copied_folder_is_not_locked)          \
    X(elsewhere_the_heartbeat_tells, .to = 2) \
    X(killed_between_making_and_writing)      \
    X(somebody_elses_file)                    \
    X(one_winner, .to = 3)                    \
    X(the_owner_looks)

UNIT_MAIN("lock", .timeout_s = 60, .setup = setup, .teardown = teardown)
