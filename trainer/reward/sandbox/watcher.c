/* The watcher: process 1 of a run. It puts the run's folder together, starts the program, and
 * looks at it until it ends or is over a limit. Then it kills whatever is left in its namespace
 * and reports. It is not the program's to harm: signals do not reach process 1 from within, and
 * there is no way into its memory. */
#define _GNU_SOURCE /* memfd_create, close_range, wait4 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "trainer/reward/sandbox/cell.h"

/* What travelled in the job, as pointers into it. */
struct unpacked {
    const struct job_head *head;
    char *argv[64];
    const char *at, *end; /* behind the arguments: files, input */
};

/* Jobs come from our own server: one must be whole, and leave a NULL behind its arguments. */
static bool unpack(int job, struct unpacked *u)
{
    struct stat st;
    if (fstat(job, &st) != 0) return false;
    char *map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, job, 0);
    if (map == MAP_FAILED) return false;
    u->head = (const void *)map;
    u->at = map + sizeof *u->head;
    u->end = map + st.st_size;
    if (u->head->total != (uint64_t)st.st_size || u->head->n_args > 63) return false;
    for (uint32_t i = 0; i < u->head->n_args; i++) {
        u->argv[i] = (char *)(uintptr_t)u->at;
        u->at += strlen(u->at) + 1;
    }
    return true;
}

static bool write_whole(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t put = write(fd, bytes, n);
        if (put <= 0) return false;
        bytes += put;
        n -= (size_t)put;
    }
    return true;
}

static bool put_file(struct unpacked *u)
{
    const char *name = u->at;
    uint64_t n;
    u->at += strlen(name) + 1;
    memcpy(&n, u->at, sizeof n);
    u->at += sizeof n;
    const int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0700);
    if (fd < 0) return false;
    const bool ok = write_whole(fd, u->at, n);
    u->at += n;
    close(fd);
    return ok;
}

/* A memory file that can only be read: a pipe would have to be fed. */
static int input_of(const struct unpacked *u)
{
    const size_t n = u->head->n_input;
    const int fd = n == 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC)
                          : memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || n == 0) return fd;
    const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    const bool ok = write_whole(fd, u->at, n) && lseek(fd, 0, SEEK_SET) == 0 &&
                    fcntl(fd, F_ADD_SEALS, seals) == 0;
    return ok ? fd : -1;
}

/* Its own user, its own empty /tmp, its own files. */
static bool prepare(const struct cell *c, struct unpacked *u, int *input)
{
    char size[64];
    snprintf(size, sizeof size, "size=%zu,nr_inodes=256,mode=700", u->head->limits.disk_bytes);
    if (!sandbox_map_user(c->proc, "self", NOBODY, NOBODY) ||
        mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, size) != 0 || chdir("/tmp") != 0)
        return false;
    for (uint32_t i = 0; i < u->head->n_files; i++)
        if (!put_file(u)) return false;
    *input = input_of(u);
    return *input >= 0;
}

/* A limit that is lower already (ulimit) stays: it cannot be raised, and need not. */
static bool set_limit(unsigned what, size_t value)
{
    struct rlimit l;
    if (prlimit(0, (enum __rlimit_resource)what, NULL, &l) != 0) return false;
    if (l.rlim_max > value) l.rlim_max = value;
    l.rlim_cur = l.rlim_max;
    return prlimit(0, (enum __rlimit_resource)what, &l, NULL) == 0;
}

/* The limit on processor time is for what the watcher does not see: children that are not waited
 * for. */
static bool set_limits(const struct sandbox_limits *l)
{
    const size_t seconds = (size_t)(l->cpu_ms + 999) / 1000 + 1;
    return set_limit(RLIMIT_CPU, seconds) && set_limit(RLIMIT_AS, l->memory_bytes) &&
           set_limit(RLIMIT_FSIZE, l->disk_bytes) && set_limit(RLIMIT_STACK, 16 << 20) &&
           set_limit(RLIMIT_NOFILE, 64) && set_limit(RLIMIT_CORE, 0) &&
           set_limit(RLIMIT_MEMLOCK, 0) && set_limit(RLIMIT_MSGQUEUE, 0) &&
           set_limit(RLIMIT_SIGPENDING, 64) &&
           set_limit(RLIMIT_NPROC, (size_t)l->processes + 1); /* the watcher is one, too */
}

static bool drop_capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    const struct __user_cap_data_struct none[2] = {{0}};
    for (int i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
        if (prctl(PR_CAPBSET_DROP, i) != 0) return false;
    return syscall(SYS_capset, &head, none) == 0;
}

/* Where memory runs out on the machine, programs go first. The files in /proc of who may not be
 * dumped, as our watcher, are root's. */
static void offer_to_oom(const struct cell *c)
{
    prctl(PR_SET_DUMPABLE, 1);
    const int fd = openat(c->proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    const ssize_t put = write(fd, "1000", 4);
    (void)put; /* a kernel that does not let us offers nobody else either */
    close(fd);
}

/* The order matters: /proc is closed with all else, and the filter comes last, since it refuses
 * what drops the privileges. */
_Noreturn static void become_program(const struct cell *c, const struct unpacked *u, int input,
                                     int out)
{
    /* Sets of texts in one order, addresses at one place: the same verdict every time. */
    char *const environment[] = {"PYTHONHASHSEED=0", NULL};
    personality(ADDR_NO_RANDOMIZE);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    offer_to_oom(c);
    if (dup2(input, 0) < 0 || dup2(out, 1) < 0 || dup2(null, 2) < 0) _exit(127);
    if (close_range(3, ~0U, 0) != 0)
        for (int fd = 3; fd < 1024; fd++) close(fd);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < 32; s++) signal(s, SIG_DFL);
    setsid();
    umask(077);
    if (!drop_capabilities() || !set_limits(&u->head->limits) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, &c->filter) != 0)
        _exit(127);
    execve(u->argv[0], u->argv, environment);
    _exit(127);
}

static int64_t now_us(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) == 0 ? t.tv_sec * 1000000 + t.tv_nsec / 1000 : 0;
}

static int64_t used_us(const struct rusage *u)
{
    return (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000 + u->ru_utime.tv_usec +
           u->ru_stime.tv_usec;
}

/* Reaps whoever has ended; true: the program was among them. */
static bool reap(pid_t program, struct job_report *r)
{
    int status;
    struct rusage used;
    pid_t who;
    bool ended = false;
    while ((who = wait4(-1, &status, WNOHANG, &used)) > 0)
        if (who == program) {
            ended = true;
            r->end = WIFEXITED(status) ? SANDBOX_EXIT : SANDBOX_SIGNAL;
            r->code = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
            r->cpu_us = used_us(&used);
        }
    return ended;
}

/* Processor time decides, so that the verdict is the same on a busy machine. A program that waits
 * for nothing uses none at all, which no busy machine looks like for long. */
static void watch(pid_t program, int status, const struct sandbox_limits *l, struct job_report *r)
{
    const int64_t begun = now_us(CLOCK_MONOTONIC);
    int64_t seen = 0, since = begun;
    clockid_t clock = CLOCK_MONOTONIC;
    if (clock_getcpuclockid(program, &clock) != 0) clock = CLOCK_MONOTONIC;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    const struct timespec tick = {.tv_nsec = 10000000};
    while (!reap(program, r)) {
        sigtimedwait(&child, NULL, &tick);
        const int64_t now = now_us(CLOCK_MONOTONIC), used = now_us(clock);
        if (used != seen) since = now;
        seen = used;
        struct pollfd server = {.fd = status};
        if (poll(&server, 1, 0) > 0) _exit(0); /* nobody wants to know any more */
        r->cpu_us = used;
        if (used > 1000 * (int64_t)l->cpu_ms)
            r->end = SANDBOX_CPU;
        else if (now - since > 1000 * (int64_t)l->idle_ms)
            r->end = SANDBOX_IDLE;
        else if (now - begun > 1000 * (int64_t)l->wall_ms)
            r->end = SANDBOX_WALL;
        else
            continue;
        if (!reap(program, r)) return; /* it may have ended meanwhile */
        break;
    }
    if (r->cpu_us > 1000 * (int64_t)l->cpu_ms) r->end = SANDBOX_CPU;
}

/* Process 1 is what kill(-1) spares. */
static void kill_the_rest(void)
{
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;
}

/* SIGCHLD is blocked before there is a child, so that no end is missed. The program has our user:
 * only a process that is not dumpable keeps it out. */
_Noreturn void watcher_main(const struct cell *c, int job, int out, int status)
{
    struct unpacked u = {0};
    struct job_report r = {.end = SANDBOX_FAILED};
    int input = -1;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    signal(SIGCHLD, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(c->server);
    if (unpack(job, &u) && prepare(c, &u, &input)) {
        prctl(PR_SET_DUMPABLE, 0);
        const pid_t program = fork();
        if (program == 0) become_program(c, &u, input, out);
        close(out);
        if (program > 0) watch(program, status, &u.head->limits, &r);
        kill_the_rest();
    }
    if (r.end == SANDBOX_FAILED) r.code = errno;
    _exit(write_whole(status, (const char *)&r, sizeof r) ? 0 : 1);
}
