/* The sandbox: how runs end, what they see, what a kernel that refuses namespaces leads to. (What
 * hostile programs can do in it: tests/faults/test_hostile.sh.) */
#define _GNU_SOURCE /* unshare, setgroups */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "trainer/reward/sandbox/sandbox.h"
#include "tests/support/check_unit.h"

static struct sandbox *open_full(void)
{
    enum sandbox_level level;
    char says[256];
    struct sandbox *s = sandbox_open(&level, says, sizeof says);
    ck_assert_msg(s && level == SANDBOX_FULL, "level %d: %s", (int)level, says);
    return s;
}

static struct sandbox_job job_of(const char *const *argv, const char *input)
{
    return (struct sandbox_job){.argv = argv,
                                .input = input,
                                .n_input = input ? strlen(input) : 0,
                                .limits = {.cpu_ms = 300,
                                           .idle_ms = 500,
                                           .wall_ms = 60000,
                                           .processes = 4,
                                           .memory_bytes = 256 << 20,
                                           .disk_bytes = 4 << 20,
                                           .output_bytes = 1 << 20}};
}

/* How `sh -c script` ends. */
static struct sandbox_run shell(struct sandbox *s, const char *script, const char *input)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const struct sandbox_job job = job_of(argv, input);
    struct sandbox_run r;
    sandbox_run(s, &r, &job);
    return r;
}

static void expect_output(struct sandbox *s, const char *script, const char *input, const char *out)
{
    struct sandbox_run r = shell(s, script, input);
    ck_assert_msg(r.end == SANDBOX_EXIT && r.n_output == strlen(out) &&
                      memcmp(r.output, out, r.n_output) == 0,
                  "%s: end %d, \"%.*s\"", script, (int)r.end, (int)r.n_output, r.output);
    sandbox_free(&r);
}

static void expect_end(struct sandbox *s, const char *script, enum sandbox_end end, int code)
{
    struct sandbox_run r = shell(s, script, NULL);
    ck_assert_msg(r.end == end && r.code == code, "%s: end %d, code %d", script, (int)r.end,
                  r.code);
    sandbox_free(&r);
}

START_TEST(ends)
{
    struct sandbox *s = open_full();
    expect_end(s, "exit 0", SANDBOX_EXIT, 0);
    expect_end(s, "exit 7", SANDBOX_EXIT, 7);
    expect_end(s, "kill -SEGV $$", SANDBOX_SIGNAL, 11);
    expect_end(s, "while :; do :; done", SANDBOX_CPU, 0);
    expect_end(s, "sleep 100", SANDBOX_IDLE, 0);
    expect_end(s, "while :; do echo 123456789 123456789 123456789; done", SANDBOX_OUTPUT, 0);
    sandbox_close(s);
}
END_TEST

/* Nothing of the machine but /usr; nobody else; nothing from the run before. */
START_TEST(sees)
{
    struct sandbox *s = open_full();
    expect_output(s, "cat", "in", "in");
    expect_output(s, "cd /; echo *", NULL, "bin dev lib lib32 lib64 sbin tmp usr\n");
    expect_output(s, "pwd; ls -A; echo kept > kept; cat kept", NULL, "/tmp\nkept\n");
    expect_output(s, "ls -A", NULL, "");
    expect_output(s, "id -u; id -g; uname -n; echo $$", NULL, "65534\n65534\nsandbox\n2\n");
    expect_output(s, "env | grep -v -e ^PWD= -e ^OLDPWD= -e ^_=", NULL, "PYTHONHASHSEED=0\n");
    expect_output(s, "for d in / /usr /usr/bin /dev; do echo x > $d/x || echo no; done", NULL,
                  "no\nno\nno\nno\n");
    sandbox_close(s);
}
END_TEST

START_TEST(files)
{
    struct sandbox *s = open_full();
    char big[100000];
    memset(big, 'b', sizeof big);
    const struct sandbox_file file[] = {
        {"a", "one", 3}, {"empty", "", 0}, {"big", big, sizeof big}};
    const char *const argv[] = {"/bin/sh", "-c", "cat a empty; wc -c < big; ./a; ls", NULL};
    struct sandbox_job job = job_of(argv, NULL);
    job.file = file;
    job.n_files = 3;
    struct sandbox_run r;
    sandbox_run(s, &r, &job);
    const char expected[] = "one100000\na\nbig\nempty\n";
    ck_assert_msg(r.n_output == strlen(expected) && memcmp(r.output, expected, r.n_output) == 0,
                  "%.*s", (int)r.n_output, r.output);
    sandbox_free(&r);
    sandbox_close(s);
}
END_TEST

/* A program that has left a child behind ends when it ends, and the child with it: the pipe that
 * the child holds is closed at once. */
START_TEST(nothing_is_left)
{
    struct sandbox *s = open_full();
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    expect_output(s, "(setsid sleep 30 &) ; (trap '' TERM HUP; sleep 30) & echo done", NULL,
                  "done\n");
    clock_gettime(CLOCK_MONOTONIC, &ended);
    ck_assert_int_lt(ended.tv_sec - begun.tv_sec, 10);
    expect_output(s, "kill -9 -1; echo alone", NULL, "alone\n");
    sandbox_close(s);
}
END_TEST

/* Runs beside each other, more than can be looked at by hand. */
START_TEST(many)
{
    enum { MANY = 40 };
    struct sandbox *s = open_full();
    struct sandbox_run r[MANY];
    const char *const argv[] = {"/usr/bin/cat", NULL};
    char input[MANY][16];
    for (int i = 0; i < MANY; i++) {
        snprintf(input[i], sizeof input[i], "%d", i);
        const struct sandbox_job job = job_of(argv, input[i]);
        sandbox_start(s, &r[i], &job);
    }
    for (int i = 0; i < MANY; i++) {
        while (!sandbox_step(&r[i])) {
            struct pollfd fd[2];
            poll(fd, (nfds_t)sandbox_wait(&r[i], fd), -1);
        }
        ck_assert(r[i].end == SANDBOX_EXIT && r[i].n_output == strlen(input[i]) &&
                  memcmp(r[i].output, input[i], r[i].n_output) == 0);
        sandbox_free(&r[i]);
    }
    sandbox_close(s);
}
END_TEST

/* A run that is given up, or whose cell is, ends. */
START_TEST(given_up)
{
    struct sandbox *s = open_full();
    const char *const argv[] = {"/bin/sh", "-c", "while :; do :; done", NULL};
    const struct sandbox_job job = job_of(argv, NULL);
    struct sandbox_run r;
    sandbox_start(s, &r, &job);
    sandbox_free(&r);
    sandbox_start(s, &r, &job);
    sandbox_close(s);
    while (!sandbox_step(&r)) continue;
    ck_assert_int_eq(r.end, SANDBOX_FAILED);
    sandbox_free(&r);
}
END_TEST

static void put(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY);
    ck_assert_msg(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
    close(fd);
}

/* Root of a user namespace in which the kernel makes no more than `most` of a kind. */
static void kernel_refuses(const char *kind)
{
    char user[32], group[32], path[64];
    snprintf(user, sizeof user, "0 %u 1", geteuid());
    snprintf(group, sizeof group, "0 %u 1", getegid());
    ck_assert(unshare(CLONE_NEWUSER) == 0);
    put("/proc/self/setgroups", "deny");
    put("/proc/self/gid_map", group);
    put("/proc/self/uid_map", user);
    snprintf(path, sizeof path, "/proc/sys/user/max_%s_namespaces", kind);
    put(path, "0");
}

/* Never silently less: what is missing is named. */
START_TEST(refused)
{
    static const struct {
        const char *kind;
        enum sandbox_level level;
        const char *says;
    } rows[] = {
        {"net", SANDBOX_REDUCED,
         "the kernel refuses namespaces of: net; seccomp alone stands there"},
        {"ipc", SANDBOX_REDUCED,
         "the kernel refuses namespaces of: ipc; seccomp alone stands there"},
        {"uts", SANDBOX_REDUCED,
         "the kernel refuses namespaces of: uts; seccomp alone stands there"},
        {"user", SANDBOX_REFUSED,
         "the kernel refuses user, pid and mount namespaces: No space left on device"},
        {"pid", SANDBOX_REFUSED,
         "the kernel refuses user, pid and mount namespaces: No space left on device"},
        {"mnt", SANDBOX_REFUSED,
         "the kernel refuses user, pid and mount namespaces: No space left on device"},
    };
    enum sandbox_level level;
    char says[256];
    kernel_refuses(rows[_i].kind);
    struct sandbox *s = sandbox_open(&level, says, sizeof says);
    ck_assert_msg(level == rows[_i].level && strcmp(says, rows[_i].says) == 0, "%s: level %d, %s",
                  rows[_i].kind, (int)level, says);
    ck_assert((s == NULL) == (level == SANDBOX_REFUSED));
    if (s) {
        expect_output(s, "cat", "in", "in");
        expect_end(s, "exit 3", SANDBOX_EXIT, 3);
    }
    sandbox_close(s);
}
END_TEST

/* As somebody who is not root, whom the test becomes where it can. */
START_TEST(ordinary_user)
{
    if (geteuid() == 0)
        ck_assert(setgroups(0, NULL) == 0 && setgid(4321) == 0 && setuid(4321) == 0 &&
                  prctl(PR_SET_DUMPABLE, 1) == 0); /* as behind an exec */
    struct sandbox *s = open_full();
    expect_output(s, "id -u; cat; ls -A", "in", "65534\nin");
    sandbox_close(s);
}
END_TEST

/* The only child of a process; 0: it has none. */
static pid_t child_of(pid_t parent)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%d", &pid) != 1) pid = 0;
    if (f) fclose(f);
    return pid;
}

static int number_in(pid_t of, const char *name)
{
    char path[64];
    int value = -1;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)of, name);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%d", &value) != 1) value = -1;
    if (f) fclose(f);
    return value;
}

/* Where memory runs out the program goes, and neither the trainer nor who watches. */
START_TEST(out_of_memory)
{
    struct sandbox *s = open_full();
    const char *const argv[] = {"/bin/sh", "-c", "echo; while :; do :; done", NULL};
    const struct sandbox_job job = job_of(argv, NULL);
    struct sandbox_run r;
    sandbox_start(s, &r, &job);
    while (r.n_output == 0 && !sandbox_step(&r)) continue;
    const pid_t cell = child_of(getpid());
    pid_t watcher = 0, program = 0; /* the run that the cell was tried with may still be there */
    while (program == 0) {
        watcher = child_of(cell);
        program = child_of(watcher);
    }
    ck_assert_int_eq(number_in(program, "oom_score_adj"), 1000);
    ck_assert_int_eq(number_in(watcher, "oom_score_adj"), number_in(getpid(), "oom_score_adj"));
    ck_assert_int_eq(number_in(cell, "oom_score_adj"), number_in(getpid(), "oom_score_adj"));
    sandbox_free(&r);
    sandbox_close(s);
}
END_TEST

/* Limits of whoever starts the trainer hold for programs, too, and keep none from running. */
START_TEST(lower_limits)
{
    const struct rlimit stack = {4 << 20, 4 << 20}, open_files = {50, 50};
    ck_assert(setrlimit(RLIMIT_STACK, &stack) == 0 && setrlimit(RLIMIT_NOFILE, &open_files) == 0);
    struct sandbox *s = open_full();
    expect_output(s, "ulimit -Hs; ulimit -Hn", NULL, "4096\n50\n");
    sandbox_close(s);
}
END_TEST

#define TESTS(X)        \
    X(ends)             \
    X(sees)             \
    X(files)            \
    X(nothing_is_left)  \
    X(many)             \
    X(given_up)         \
    X(refused, .to = 6) \
    X(ordinary_user)    \
    X(out_of_memory)    \
    X(lower_limits)

UNIT_MAIN("sandbox", .timeout_s = 30)
