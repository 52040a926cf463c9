/* The judge of programs as a rank and its grader server see it: a cell that dies, and comes back
 * later; a collection that is longer than the watchdog waits. */
#define _GNU_SOURCE /* unshare */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "comm/base/log.h"
#include "comm/watch.h"
#include "trainer/reward/by_tests.h"
#include "trainer/reward/code/kind.h"
#include "trainer/reward/server/packet.h"
#include "trainer/reward/server/replies.h"
#include "tests/support/check_unit.h"

#define TESTS_OF_ONE "[{\"stdin\": \"\", \"stdout\": \"1\"}]"
static const char answer[] = "```python\nprint(1)\n```",
                  sleepy[] = "```python\nimport time\ntime.sleep(0.2)\nprint(1)\n```",
                  endless[] = "```python\nwhile 1: pass\n```";

/* As it comes from a rank: the answer in a message of its own. */
static void ask(void *judges, uint64_t id, const char *text)
{
    const struct code_request head = {.what = CODE_ASK_VERDICT, .n_tests = strlen(TESTS_OF_ONE)};
    const size_t n = sizeof head + head.n_tests + strlen(text);
    char *bytes = calloc(1, n + 1);
    struct grade_request *r = calloc(1, sizeof *r);
    memcpy(bytes, &head, sizeof head);
    snprintf(bytes + sizeof head, n + 1 - sizeof head, "%s%s", TESTS_OF_ONE, text);
    *r = (struct grade_request){.id = id, .bytes = bytes, .n = n, .kind = GRADE_CODE};
    ck_assert(grade_kind_code.take(judges, r));
}

/* The next reply: PACKET_REPLY or PACKET_LOST. */
static uint32_t reply(void *judges, int pair[2], struct code_verdict *v)
{
    char packet[1024];
    struct packet_head head;
    ssize_t n;
    while ((n = recv(pair[1], packet, sizeof packet, MSG_DONTWAIT)) < (ssize_t)sizeof head) {
        struct pollfd fd[64];
        int timeout = -1;
        poll(fd, (nfds_t)grade_kind_code.wait(judges, fd, 64, &timeout), 10);
        grade_kind_code.step(judges);
        ck_assert(replies_send(pair[0]));
    }
    memcpy(&head, packet, sizeof head);
    if (head.what == PACKET_REPLY) memcpy(v, packet + sizeof head, sizeof *v);
    return head.what;
}

static void put(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY);
    ck_assert_msg(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
    close(fd);
}

/* Root of a user namespace whose limits it may set. */
static void become_root_of_a_namespace(void)
{
    char user[32], group[32];
    snprintf(user, sizeof user, "0 %u 1", geteuid());
    snprintf(group, sizeof group, "0 %u 1", getegid());
    ck_assert(unshare(CLONE_NEWUSER) == 0);
    put("/proc/self/setgroups", "deny");
    put("/proc/self/gid_map", group);
    put("/proc/self/uid_map", user);
}

static pid_t cell_of_ours(void)
{
    int pid = 0;
    FILE *f = fopen("/proc/thread-self/children", "r");
    ck_assert(f && fscanf(f, "%d", &pid) == 1 && pid > 0);
    fclose(f);
    return pid;
}

/* What ran in it is lost, where no other can be made; what comes when one can is judged. */
START_TEST(cell_dies)
{
    const struct code_rules rules = {.cpu_ms = 5000, .memory_mib = 256};
    struct code_verdict v;
    int pair[2];
    ck_assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    become_root_of_a_namespace();
    replies_open();
    static void *judges; /* the server's until its process ends */
    judges = grade_kind_code.open();
    grade_kind_code.configure(judges, (const char *)&rules, sizeof rules);
    ask(judges, 1, endless);
    const bool two = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    if (two) ask(judges, 2, endless);
    put("/proc/sys/user/max_pid_namespaces", "0");
    siginfo_t gone;
    const pid_t cell = cell_of_ours();
    ck_assert(kill(cell, SIGKILL) == 0 && waitid(P_PID, (id_t)cell, &gone, WEXITED | WNOWAIT) == 0);
    for (int i = 0; i < 1 + two; i++) ck_assert_int_eq(reply(judges, pair, &v), PACKET_LOST);
    ask(judges, 3, answer);
    ck_assert_int_eq(reply(judges, pair, &v), PACKET_LOST);
    put("/proc/sys/user/max_pid_namespaces", "1000");
    nanosleep(&(struct timespec){1, 100000000}, NULL);
    ask(judges, 4, answer);
    ck_assert_int_eq(reply(judges, pair, &v), PACKET_REPLY);
    ck_assert_int_eq(v.end, CODE_RIGHT);
}
END_TEST

/* What ran in it is judged in another. */
START_TEST(cell_dies_once)
{
    const struct code_rules rules = {.cpu_ms = 5000, .memory_mib = 256};
    struct code_verdict v;
    int pair[2];
    ck_assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    replies_open();
    static void *judges; /* the server's until its process ends */
    judges = grade_kind_code.open();
    grade_kind_code.configure(judges, (const char *)&rules, sizeof rules);
    for (int i = 0; i < 10; i++) {
        ask(judges, 1, sleepy);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        ck_assert_int_eq(kill(cell_of_ours(), SIGKILL), 0);
        ck_assert_int_eq(reply(judges, pair, &v), PACKET_REPLY);
        ck_assert_int_eq(v.end, CODE_RIGHT);
    }
}
END_TEST

/* A judge that takes 0.4 s for each, one in a step. */
static bool took;
static void *slow_open(void)
{
    return &took;
}
static void slow_configure(void *state, const char *bytes, size_t n)
{
    (void)state, (void)bytes, (void)n;
}
static bool slow_take(void *state, struct grade_request *r)
{
    const struct code_verdict v = {.end = CODE_RIGHT, .passed = 1, .tests = 1};
    (void)state;
    if (took) return false;
    nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
    grade_reply(r, &v, sizeof v);
    return took = true;
}
static int slow_wait(void *state, struct pollfd *fd, int max, int *timeout_ms)
{
    (void)state, (void)fd, (void)max;
    if (took) *timeout_ms = 0;
    return 0;
}
static void slow_step(void *state)
{
    (void)state;
    took = false;
}
static const struct grade_kind slow = {"slow",    slow_open, slow_configure,
                                       slow_take, slow_wait, slow_step};

START_TEST(long_collection)
{
    enum { ANSWERS = 6 };
    static float value[ANSWERS];
    static struct rewards r;
    const struct phase_settings k = {.code_time = 1, .code_memory_mib = 64};
    const struct problem p = {.tests = TESTS_OF_ONE};
    const struct completion c = {.problem = &p, .text = answer, .bytes = sizeof answer - 1};
    grade_kinds[GRADE_CODE] = &slow;
    const struct grading g = {.server = grade_server_fork()};
    r.value[GRADER_CODE] = value;
    r.on = 1u << GRADER_CODE;
    watchdog_start(1.5);
    const double start = clock_now();
    for (int i = 0; i < ANSWERS; i++) by_tests_start(&r, &g, GRADER_CODE, i, &c, &k);
    by_tests_collect(&r, &g, &k);
    ck_assert_double_gt(clock_now() - start, 2);
    watchdog_start(0);
    for (int i = 0; i < ANSWERS; i++) ck_assert(value[i] == 1);
    grade_server_close(g.server);
}
END_TEST

#define TESTS(X)      \
    X(cell_dies)      \
    X(cell_dies_once) \
    X(long_collection)

UNIT_MAIN("judges", .timeout_s = 30)
