/* The grader server: what is sent comes back once, whatever happens to the server. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "comm/base/log.h"
#include "trainer/reward/server/kind.h"
#include "tests/support/check_unit.h"

/* A kind that echoes; "die" kills the server, "lose" gives up, "hold" is never answered, and so is
 * what comes while "busy" is set. */
static struct grade_request *held[2 * GRADE_WINDOW];
static int n_held, busy;
static char greeting[16];

static void *echo_open(void)
{
    return &n_held;
}
static void echo_configure(void *state, const char *bytes, size_t n)
{
    (void)state;
    snprintf(greeting, sizeof greeting, "%.*s", (int)n, bytes);
}
static bool echo_take(void *state, struct grade_request *r)
{
    (void)state;
    if (busy) return false;
    if (strcmp(r->bytes, "die") == 0) kill(getpid(), SIGKILL);
    if (strcmp(r->bytes, "busy") == 0) busy = 1;
    if (strcmp(r->bytes, "hold") == 0)
        held[n_held++] = r;
    else if (strcmp(r->bytes, "lose") == 0)
        grade_lose(r);
    else if (strcmp(r->bytes, "greet") == 0)
        grade_reply(r, greeting, strlen(greeting));
    else
        grade_reply(r, r->bytes, r->n);
    return true;
}
static int echo_wait(void *state, struct pollfd *fd, int max, int *timeout_ms)
{
    (void)state, (void)fd, (void)max, (void)timeout_ms;
    return 0;
}
static void echo_step(void *state)
{
    (void)state;
}
static const struct grade_kind echo = {"echo",    echo_open, echo_configure,
                                       echo_take, echo_wait, echo_step};

/* What is said from here on goes to a file. */
static FILE *listen_to_stderr(void)
{
    FILE *f = tmpfile();
    ck_assert(f && dup2(fileno(f), 2) == 2);
    return f;
}
static bool was_said(FILE *f, const char *text)
{
    static char said[65536];
    rewind(f);
    said[fread(said, 1, sizeof said - 1, f)] = '\0';
    return strstr(said, text) != NULL;
}

static struct grade_server *start(void)
{
    log_set(LOG_QUIET, 0);
    grade_kinds[GRADE_PLUGIN] = &echo;
    struct grade_server *s = grade_server_fork();
    ck_assert_ptr_eq(s, grade_server());
    grade_server_configure(s, GRADE_PLUGIN, "hello", 5);
    return s;
}
static void send_text(struct grade_server *s, uint64_t id, const char *text)
{
    ck_assert(grade_server_send(s, GRADE_PLUGIN, id, text, strlen(text)));
}
static struct grade_reply next(struct grade_server *s)
{
    struct grade_reply r = {0};
    ck_assert_msg(grade_server_poll(s, GRADE_PLUGIN, &r, 10000), "no reply in 10 s");
    return r;
}
static void expect(struct grade_server *s, uint64_t id, const char *text)
{
    struct grade_reply r = next(s);
    ck_assert_uint_eq(r.id, id);
    ck_assert_msg(!r.lost && r.n == strlen(text) && memcmp(r.bytes, text, r.n) == 0, "%s", text);
}

START_TEST(echoes)
{
    struct grade_server *s = start();
    send_text(s, 1ull << 60, "one");
    send_text(s, 2, "greet");
    send_text(s, 3, "lose");
    send_text(s, 4, "");
    expect(s, 1ull << 60, "one");
    expect(s, 2, "hello");
    ck_assert(next(s).lost);
    expect(s, 4, "");
    ck_assert_int_eq(grade_server_open(s, GRADE_PLUGIN), 0);
    struct grade_reply r;
    ck_assert(
        !grade_server_poll(s, GRADE_PLUGIN, &r, -1)); /* nothing is open: nothing to wait for */
    grade_server_close(s);
}
END_TEST

/* 16 MiB go through in packets; a byte more comes back lost, and so does a kind that is not there.
 */
START_TEST(long_requests)
{
    struct grade_server *s = start();
    const size_t most = 16 << 20;
    char *text = calloc(1, most + 1);
    memset(text, 'x', most);
    ck_assert(grade_server_send(s, GRADE_PLUGIN, 1, text, most));
    struct grade_reply r = next(s);
    ck_assert(!r.lost && r.n == 64 << 10);
    ck_assert(grade_server_send(s, GRADE_PLUGIN, 2, text, most + 1));
    ck_assert(next(s).lost);
    ck_assert(grade_server_send(s, GRADE_ENVIRONMENT, 3, "x", 1));
    ck_assert(grade_server_poll(s, GRADE_ENVIRONMENT, &r, 10000) && r.lost && r.id == 3);
    free(text);
    grade_server_close(s);
}
END_TEST

/* Thousands of requests through a window of 256: each comes back once. */
START_TEST(window)
{
    enum { MANY = 5000 };
    struct grade_server *s = start();
    static char seen[MANY];
    char text[2000];
    memset(text, 'y', sizeof text);
    int fetched = 0;
    struct grade_reply r;
    for (int i = 0; i < MANY; i++) {
        while (!grade_server_send(s, GRADE_PLUGIN, (uint64_t)i, text, sizeof text)) {
            ck_assert_int_le(grade_server_open(s, GRADE_PLUGIN), GRADE_WINDOW);
            ck_assert(grade_server_poll(s, GRADE_PLUGIN, &r, 10000));
            seen[r.id]++, fetched++;
        }
    }
    while (grade_server_poll(s, GRADE_PLUGIN, &r, 10000)) seen[r.id]++, fetched++;
    ck_assert_int_eq(fetched, MANY);
    for (int i = 0; i < MANY; i++) ck_assert_int_eq(seen[i], 1);
    grade_server_close(s);
}
END_TEST

/* What is open when the server dies is lost and counted; the next one knows its settings. */
START_TEST(server_dies)
{
    FILE *said = listen_to_stderr();
    struct grade_server *s = start();
    for (int round = 0; round < 3; round++) {
        send_text(s, 1, "hold");
        send_text(s, 2, "hold");
        send_text(s, 3, "die");
        for (int i = 0; i < 3; i++) ck_assert(next(s).lost);
        ck_assert_int_eq(grade_server_open(s, GRADE_PLUGIN), 0);
        send_text(s, 4, "greet");
        expect(s, 4, "hello");
    }
    ck_assert(
        was_said(said, "the grader server died and was started again: open verdicts are lost"));
    grade_server_close(s);
}
END_TEST

/* A kind that takes nothing holds the rank back, which never waits. */
START_TEST(busy_kind)
{
    struct grade_server *s = start();
    send_text(s, 0, "busy");
    expect(s, 0, "busy");
    int sent = 0;
    while (sent < 2 * GRADE_WINDOW && grade_server_send(s, GRADE_PLUGIN, 1, "more", 4)) sent++;
    ck_assert_int_eq(sent, GRADE_WINDOW);
    struct grade_reply r;
    ck_assert(!grade_server_poll(s, GRADE_PLUGIN, &r, 50));
    grade_server_close(s);
}
END_TEST

/* A server that cannot live is given up; verdicts are lost, nobody waits. */
START_TEST(server_never_lives)
{
    FILE *said = listen_to_stderr();
    struct grade_server *s = start();
    int lost = 0;
    for (int i = 0; i < 25; i++) {
        send_text(s, 1, "die");
        lost += next(s).lost;
    }
    ck_assert_int_eq(lost, 25);
    ck_assert(was_said(said, "the grader server is gone for good"));
    grade_server_close(s);
}
END_TEST

/* However a rank ends, its server and keeper end with it: the pipe that they hold is closed. */
START_TEST(dies_with_its_rank)
{
    int pipe_fd[2];
    ck_assert(pipe(pipe_fd) == 0);
    const pid_t rank = fork();
    if (rank == 0) {
        struct grade_server *s = start();
        send_text(s, 1, "hello");
        expect(s, 1, "hello");
        char ready = 'r';
        ck_assert(write(pipe_fd[1], &ready, 1) == 1);
        pause();
    }
    close(pipe_fd[1]);
    char byte;
    ck_assert(read(pipe_fd[0], &byte, 1) == 1);
    kill(rank, SIGKILL);
    waitpid(rank, NULL, 0);
    ck_assert_msg(read(pipe_fd[0], &byte, 1) == 0, "somebody is left");
}
END_TEST

/* Launchers send signals to all; the rank alone decides. */
START_TEST(signals_are_the_ranks)
{
    setpgid(0, 0);
    struct grade_server *s = start();
    const int sent[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP};
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
        signal(sent[i], SIG_IGN);
        kill(0, sent[i]);
    }
    send_text(s, 1, "alive");
    expect(s, 1, "alive");
    grade_server_close(s);
}
END_TEST

START_TEST(wanted)
{
    char *no[] = {"duet", "train", "none.yaml", "--set", "data.task=countdown"};
    char *yes[] = {"duet", "train", "none.yaml", "--set", "phases.grpo.reward_code=1"};
    ck_assert(!grade_server_wanted(5, no) && grade_server_wanted(5, yes));
    char name[] = "/tmp/duet-wanted-XXXXXX.yaml";
    const int fd = mkstemps(name, 5);
    ck_assert(write(fd, "data: {verifier: code}\n", 23) == 23);
    char *file[] = {"duet", "train", name};
    ck_assert(grade_server_wanted(3, file));
    close(fd);
    unlink(name);
}
END_TEST

#define TESTS(X)             \
    X(echoes)                \
    X(long_requests)         \
    X(window)                \
    X(server_dies)           \
    X(busy_kind)             \
    X(server_never_lives)    \
    X(dies_with_its_rank)    \
    X(signals_are_the_ranks) \
    X(wanted)

UNIT_MAIN("server")
