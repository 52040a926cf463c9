/* The cell: made once, it forks a watcher for each job that comes over its socket, with the
 * descriptors of the job, of the output and of the report. */
#define _GNU_SOURCE /* CLONE_NEW..., setresuid */
#include "trainer/reward/sandbox/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whoever the trainer is, this process is nobody from here on. Its files in /proc stay its own, so
 * that its children can map their users. */
static bool become_nobody(struct sandbox_failure *f)
{
    if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return sandbox_failed(f, "an unprivileged user");
    prctl(PR_SET_DUMPABLE, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || sandbox_failed(f, "no_new_privs");
}

static bool cell_make(struct cell *c, int namespaces, struct sandbox_failure *f)
{
    c->namespaces = namespaces;
    c->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (c->proc < 0) return sandbox_failed(f, "/proc of the machine");
    if ((namespaces & CLONE_NEWUTS) && sethostname("sandbox", 7) != 0)
        return sandbox_failed(f, "a host name of its own");
    return become_nobody(f) && root_enter(f) && filter_make(&c->filter, f);
}

/* 3 descriptors come with each job: the job, its output, its report. */
static bool receive_job(int fd, int got[3])
{
    char byte;
    struct iovec part = {&byte, 1};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(3 * sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof control.room};
    ssize_t n;
    while ((n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) continue;
    const struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (!head || head->cmsg_len != CMSG_LEN(3 * sizeof(int))) return false;
    memcpy(got, CMSG_DATA(head), 3 * sizeof(int));
    return true;
}

/* A job that there is no room for is told so; its end is nobody's fault but the machine's. */
static void start_watcher(const struct cell *c, const int got[3])
{
    const pid_t watcher = sandbox_fork(c->namespaces);
    if (watcher == 0) watcher_main(c, got[0], got[1], got[2]);
    if (watcher < 0) {
        const struct job_report r = {.end = SANDBOX_FAILED, .code = errno};
        const ssize_t told = write(got[2], &r, sizeof r);
        (void)told; /* a server that does not listen any more needs no answer */
    }
    for (int i = 0; i < 3; i++) close(got[i]);
}

_Noreturn void cell_serve(int fd, int namespaces)
{
    struct cell c = {.server = fd};
    struct sandbox_failure f = {0};
    char go;
    if (read(fd, &go, 1) != 1) _exit(1); /* our user is mapped now */
    cell_make(&c, namespaces, &f);
    if (send(fd, &f, sizeof f, MSG_NOSIGNAL) != sizeof f || f.error) _exit(1);
    signal(SIGCHLD, SIG_IGN); /* watchers that have ended leave no trace */
    int got[3];
    while (receive_job(fd, got)) start_watcher(&c, got);
    _exit(0);
}
