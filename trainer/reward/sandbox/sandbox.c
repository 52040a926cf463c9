/* The side of whoever wants programs run. */
#define _GNU_SOURCE /* CLONE_NEW..., memfd_create */
#include "trainer/reward/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "comm/base/memory.h"
#include "trainer/reward/sandbox/cell.h"

struct sandbox {
    pid_t cell;
    int fd;
};

/* Root gives the cell the user nobody; where there is none (root of a user namespace that knows
 * only itself) or we are not root, it is us, without privileges. */
static bool map_cell(pid_t cell)
{
    char process[24];
    snprintf(process, sizeof process, "%d", (int)cell);
    const int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const bool mapped = (geteuid() == 0 && sandbox_map_user(proc, process, NOBODY, NOBODY)) ||
                        sandbox_map_user(proc, process, geteuid(), getegid());
    if (proc >= 0) close(proc);
    return mapped;
}

static bool speak(int fd, struct sandbox_failure *f)
{
    return send(fd, "", 1, MSG_NOSIGNAL) == 1 && recv(fd, f, sizeof *f, 0) == sizeof *f
               ? f->error == 0
               : sandbox_failed(f, "a cell that lives");
}

/* A cell with these namespaces; NULL: f says what was refused. */
static struct sandbox *open_with(int namespaces, struct sandbox_failure *f)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        sandbox_failed(f, "a socket");
        return NULL;
    }
    errno = 0;
    const pid_t cell = sandbox_fork(namespaces);
    if (cell == 0) {
        close(pair[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        cell_serve(pair[1], namespaces);
    }
    close(pair[1]);
    struct sandbox *s = memory_take(1, sizeof *s, "a sandbox");
    *s = (struct sandbox){cell, pair[0]};
    if (cell < 0 ? sandbox_failed(f, "user, pid and mount namespaces")
                 : (map_cell(cell) || sandbox_failed(f, "a user of its own")) && speak(s->fd, f))
        return s;
    sandbox_close(s);
    return NULL;
}

void sandbox_close(struct sandbox *s)
{
    if (!s) return;
    close(s->fd);
    if (s->cell > 0) {
        kill(s->cell, SIGKILL);
        while (waitpid(s->cell, NULL, 0) < 0 && errno == EINTR) continue;
    }
    free(s);
}

/* Its socket is closed before its runs end, and those end before it has an exit status. */
bool sandbox_alive(const struct sandbox *s)
{
    siginfo_t info = {0};
    struct pollfd end = {.fd = s ? s->fd : -1};
    return s && poll(&end, 1, 0) == 0 &&
           waitid(P_PID, (id_t)s->cell, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

/* A program that must end well says that runs work, too. */
static bool try_it(struct sandbox *s, struct sandbox_failure *f)
{
    static const char *const argv[] = {"/usr/bin/true", NULL};
    const struct sandbox_job job = {.argv = argv,
                                    .limits = {.cpu_ms = 5000,
                                               .idle_ms = 5000,
                                               .wall_ms = 20000,
                                               .processes = 1,
                                               .memory_bytes = 64 << 20,
                                               .disk_bytes = 1 << 20,
                                               .output_bytes = 1}};
    struct sandbox_run r;
    sandbox_run(s, &r, &job);
    const bool ok = r.end == SANDBOX_EXIT && r.code == 0;
    errno = r.end == SANDBOX_FAILED && r.code ? r.code : EPERM;
    sandbox_free(&r);
    return ok || sandbox_failed(f, "a program in namespaces of its own (/usr/bin/true)");
}

static struct sandbox *open_and_try(int namespaces, struct sandbox_failure *f)
{
    struct sandbox *s = open_with(namespaces, f);
    if (!s || try_it(s, f)) return s;
    sandbox_close(s);
    return NULL;
}

/* Those that seccomp stands in for, as names. */
static const struct optional {
    int flag;
    const char *name;
} optional[] = {{CLONE_NEWNET, "net"}, {CLONE_NEWIPC, "ipc"}, {CLONE_NEWUTS, "uts"}};
enum {
    OPTIONAL = sizeof optional / sizeof *optional,
    NEEDED = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS
};

/* The fullest cell without namespaces that cannot be had. */
static struct sandbox *open_reduced(struct sandbox_failure *f, char *missing, size_t size)
{
    int have = NEEDED;
    size_t n = 0;
    for (int i = 0; i < OPTIONAL; i++) {
        struct sandbox_failure here = {0};
        struct sandbox *s = open_and_try(NEEDED | optional[i].flag, &here);
        if (s)
            have |= optional[i].flag;
        else if (n < size)
            n += (size_t)snprintf(missing + n, size - n, "%s%s", n ? ", " : "", optional[i].name);
        sandbox_close(s);
    }
    *f = (struct sandbox_failure){0};
    return open_and_try(have, f);
}

/* The fullest cell is tried first: each try costs a cell and a run, and most machines need one. */
struct sandbox *sandbox_open(enum sandbox_level *level, char *says, size_t size)
{
    struct sandbox_failure f = {0};
    char missing[32] = "";
    struct sandbox *s = open_and_try(NEEDED | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, &f);
    *level = SANDBOX_FULL;
    if (s) {
        snprintf(says, size, "user, pid, mount, net, ipc and uts namespaces, seccomp, limits");
        return s;
    }
    s = open_reduced(&f, missing, sizeof missing);
    *level = s ? SANDBOX_REDUCED : SANDBOX_REFUSED;
    if (s)
        snprintf(says, size, "the kernel refuses namespaces of: %s; seccomp alone stands there",
                 missing);
    else
        snprintf(says, size, "the kernel refuses %s: %s", f.what, strerror(f.error));
    return s;
}

/* Everything of a job in one file of memory. */
static int pack(const struct sandbox_job *job)
{
    struct job_head head = {
        .n_files = (uint32_t)job->n_files, .n_input = job->n_input, .limits = job->limits};
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return -1;
    fwrite(&head, sizeof head, 1, f);
    for (; job->argv[head.n_args]; head.n_args++)
        fwrite(job->argv[head.n_args], strlen(job->argv[head.n_args]) + 1, 1, f);
    for (int i = 0; i < job->n_files; i++) {
        const struct sandbox_file *file = &job->file[i];
        const uint64_t bytes = file->n;
        fwrite(file->name, strlen(file->name) + 1, 1, f);
        fwrite(&bytes, sizeof bytes, 1, f);
        if (file->n > 0) fwrite(file->bytes, file->n, 1, f);
    }
    if (job->n_input > 0) fwrite(job->input, job->n_input, 1, f);
    const bool whole = fclose(f) == 0;
    head.total = n;
    const int fd = whole ? memfd_create("job", MFD_CLOEXEC) : -1;
    if (text) memcpy(text, &head, sizeof head);
    const bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n;
    free(text);
    if (ok || fd < 0) return fd;
    close(fd);
    return -1;
}

/* A byte goes with the descriptors: a packet of none looks like the end of the socket. */
static bool send_job(int socket, int job, int out, int status)
{
    const int fd[3] = {job, out, status};
    struct iovec part = {"", 1};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof fd)];
    } control = {0};
    const struct msghdr m = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    control.head = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fd, sizeof fd);
    return sendmsg(socket, &m, MSG_NOSIGNAL) == 1;
}

static void shut(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* The ends that the watcher writes to are closed here: a run that is gone without a report is seen
 * by the end of its pipe. */
void sandbox_start(struct sandbox *s, struct sandbox_run *r, const struct sandbox_job *job)
{
    int out[2] = {-1, -1}, status[2] = {-1, -1};
    *r = (struct sandbox_run){
        .out = -1, .status = -1, .most = job->limits.output_bytes, .end = SANDBOX_FAILED};
    int packed = s ? pack(job) : -1;
    if (packed >= 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(status, O_CLOEXEC) == 0 &&
        send_job(s->fd, packed, out[1], status[1])) {
        r->out = out[0];
        r->status = status[0];
        fcntl(r->out, F_SETFL, O_NONBLOCK);
        fcntl(r->status, F_SETFL, O_NONBLOCK);
    } else {
        r->code = errno;
        shut(&out[0]);
        shut(&status[0]);
    }
    shut(&packed);
    shut(&out[1]);
    shut(&status[1]);
}

int sandbox_wait(const struct sandbox_run *r, struct pollfd *fd)
{
    int n = 0;
    if (r->out >= 0) fd[n++] = (struct pollfd){r->out, POLLIN, 0};
    if (r->status >= 0) fd[n++] = (struct pollfd){r->status, POLLIN, 0};
    return n;
}

/* Room for more output; false: it is more than it may be. */
static bool more_room(struct sandbox_run *r)
{
    if (r->n_output < r->room) return true;
    if (r->room > r->most) return false;
    const size_t room = r->room == 0 ? 4096 : 2 * r->room;
    r->room = room < r->most + 1 ? room : r->most + 1; /* one byte more is seen, and too many */
    char *output = realloc(r->output, r->room);
    if (!output) return false;
    r->output = output;
    return true;
}

/* Whoever prints too much is stopped by closing both pipes: the watcher sees it. */
static void read_output(struct sandbox_run *r)
{
    while (r->out >= 0) {
        if (!more_room(r)) {
            r->end = SANDBOX_OUTPUT;
            shut(&r->out);
            shut(&r->status);
            return;
        }
        const ssize_t n = read(r->out, r->output + r->n_output, r->room - r->n_output);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0)
            shut(&r->out);
        else
            r->n_output += (size_t)n;
    }
}

/* The report ends a run, not the end of its output: a program may close that and go on. */
bool sandbox_step(struct sandbox_run *r)
{
    read_output(r);
    struct job_report report;
    const ssize_t n = r->status >= 0 ? read(r->status, &report, sizeof report) : -1;
    if (n == sizeof report) {
        r->end = (enum sandbox_end)report.end;
        r->code = report.code;
        r->cpu_us = report.cpu_us;
    }
    if (n >= 0) {
        shut(&r->status);
        read_output(r); /* all was written before the report */
        shut(&r->out);
    }
    return r->status < 0;
}

void sandbox_free(struct sandbox_run *r)
{
    shut(&r->out);
    shut(&r->status);
    free(r->output);
    r->output = NULL;
}

void sandbox_run(struct sandbox *s, struct sandbox_run *r, const struct sandbox_job *job)
{
    sandbox_start(s, r, job);
    while (!sandbox_step(r)) {
        struct pollfd fd[2];
        poll(fd, (nfds_t)sandbox_wait(r, fd), -1);
    }
}
