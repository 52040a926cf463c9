#define _GNU_SOURCE /* close_range */
/* See worker.h. */
#include "trainer/reward/plugin/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "comm/base/memory.h"
#include "trainer/reward/plugin/line.h"

enum { CHUNK = 1 << 14, REAP_MS = 50, CANNOT_RUN = 127 };

extern char **environ;

void worker_place(struct worker *w)
{
    *w = (struct worker){.in = -1, .out = -1, .err = -1};
    w->text = memory_take(WORKER_LINE, 1, "what a grader prints");
}

static void close_end(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

void worker_free(struct worker *w)
{
    char how[WORKER_ENDS];
    worker_end(w, how);
    free(w->text);
    w->text = NULL;
}

/* Both ends are closed in whatever is started later; ours does not wait. */
static bool pipe_make(int *ours, int *theirs, bool we_write)
{
    int fd[2];
    if (pipe(fd) < 0) return false;
    *ours = fd[we_write];
    *theirs = fd[!we_write];
    fcntl(*ours, F_SETFD, FD_CLOEXEC);
    fcntl(*theirs, F_SETFD, FD_CLOEXEC);
    fcntl(*ours, F_SETFL, O_NONBLOCK);
    return true;
}

/* A grader that brings MPI along would take itself for a rank of this job. */
static void environment_without_mpi(void)
{
    static const char *const prefixes[] = {"OMPI_", "PMIX_", "PMI_", "PRTE_"};
    for (char **e = environ; *e;) {
        char name[128];
        size_t n = strcspn(*e, "=");
        bool ours = false;
        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
            ours = ours || strncmp(*e, prefixes[i], strlen(prefixes[i])) == 0;
        if (ours && n < sizeof name) {
            memcpy(name, *e, n);
            name[n] = '\0';
            unsetenv(name); /* the rest moves up */
        } else {
            e++;
        }
    }
}

/* In the child: never returns. What cannot be run says so where a command would. */
static _Noreturn void become(char *const *argv, const int end[3], pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    for (int s = 1; s < 32; s++) signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(CANNOT_RUN); /* we were gone before */
    for (int i = 0; i < 3; i++)
        if (dup2(end[i], i) < 0) _exit(CANNOT_RUN);
    close_range(3, ~0U, 0);
    environment_without_mpi();
    execvp(argv[0], argv);
    char text[512];
    int n = snprintf(text, sizeof text, "cannot run %.300s: %s\n", argv[0], strerror(errno));
    ssize_t said = write(STDERR_FILENO, text, n > 0 ? (size_t)n : 0);
    (void)said; /* the status says the same */
    _exit(CANNOT_RUN);
}

/* Their ends must lie above the standard streams, so that no dup2 closes one that is still needed.
 */
static bool ends_move(int end[3])
{
    for (int i = 0; i < 3; i++) {
        if (end[i] > 2) continue;
        int moved = fcntl(end[i], F_DUPFD_CLOEXEC, 3);
        if (moved < 0) return false;
        close(end[i]);
        end[i] = moved;
    }
    return true;
}

/* Its ends are closed here at once: that it has closed its stdout is seen only where nobody else
 * holds it. */
bool worker_start(struct worker *w, char *const *argv)
{
    int end[3] = {-1, -1, -1};
    pid_t parent = getpid(), pid = -1;
    w->n = w->taken = w->message_bytes = w->written = w->saying_bytes = 0;
    w->said[0] = '\0';
    bool ok = pipe_make(&w->in, &end[0], true) && pipe_make(&w->out, &end[1], false) &&
              pipe_make(&w->err, &end[2], false) && ends_move(end);
    if (ok) pid = fork();
    if (ok && pid == 0) become(argv, end, parent);
    int error = errno;
    if (pid > 0) setpgid(pid, pid); /* whoever comes first */
    for (int i = 0; i < 3; i++) close_end(&end[i]);
    if (pid < 0) {
        close_end(&w->in);
        close_end(&w->out);
        close_end(&w->err);
        errno = error;
        return false;
    }
    w->pid = pid;
    return true;
}

void worker_send(struct worker *w, const char *bytes, size_t n)
{
    w->message = bytes;
    w->message_bytes = n;
    w->written = 0;
}

bool worker_written(const struct worker *w)
{
    return w->written == w->message_bytes;
}

/* A stream that is closed is no event: what matters is whether it still prints. */
static void step_write(struct worker *w)
{
    while (!worker_written(w)) {
        ssize_t n = write(w->in, w->message + w->written, w->message_bytes - w->written);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        w->written += (size_t)n;
    }
}

/* A line that is longer than there is room for is cut. */
static void hear(struct worker *w, const char *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (at[i] != '\n' && w->saying_bytes < sizeof w->saying) {
            w->saying[w->saying_bytes++] = at[i];
        } else if (at[i] == '\n') {
            struct span line = span_trim((struct span){w->saying, w->saying_bytes});
            if (line.n > 0) line_printable(w->said, sizeof w->said, line);
            w->saying_bytes = 0;
        }
    }
}

/* At most a few reads a step: whoever floods it must not hold us up. */
static void step_hear(struct worker *w)
{
    char chunk[CHUNK];
    for (int i = 0; i < 4 && w->err >= 0; i++) {
        ssize_t n = read(w->err, chunk, sizeof chunk);
        if (n < 0) return;
        if (n == 0)
            close_end(&w->err);
        else
            hear(w, chunk, (size_t)n);
    }
}

static bool take_line(struct worker *w, struct span *line)
{
    const char *from = w->text + w->taken;
    const char *stop = memchr(from, '\n', w->n - w->taken);
    if (!stop) return false;
    *line = (struct span){from, (size_t)(stop - from)};
    w->taken += line->n + 1;
    if (line->n > 0 && line->at[line->n - 1] == '\r') line->n--;
    return true;
}

/* stderr is read at each step: a worker whose log fills the pipe would never print its verdict. */
enum worker_event worker_step(struct worker *w, struct span *line)
{
    step_write(w);
    step_hear(w);
    if (take_line(w, line)) return WORKER_PRINTED;
    w->n -= w->taken;
    memmove(w->text, w->text + w->taken, w->n);
    w->taken = 0;
    if (w->n == WORKER_LINE) return WORKER_TOO_LONG;
    ssize_t n = read(w->out, w->text + w->n, WORKER_LINE - w->n);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? WORKER_NOTHING : WORKER_ENDED;
    if (n == 0) return WORKER_ENDED;
    size_t before = w->n;
    w->n += (size_t)n;
    if (!memchr(w->text + before, '\n', (size_t)n))
        return w->n == WORKER_LINE ? WORKER_TOO_LONG : WORKER_NOTHING;
    return take_line(w, line) ? WORKER_PRINTED : WORKER_NOTHING;
}

/* Waits for an end that is near: a process that has closed its streams, or that SIGKILL is under
 * way to. */
static bool reap(pid_t pid, int *status)
{
    for (int i = 0; i < 10 * REAP_MS; i++) {
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid || (got < 0 && errno != EINTR)) return got == pid;
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    return false;
}

static void tell_end(const struct worker *w, bool ended, int status, char how[WORKER_ENDS])
{
    const char *between = w->said[0] ? ": " : "";
    if (!ended)
        snprintf(how, WORKER_ENDS, "killed%s%s", between, w->said);
    else if (WIFSIGNALED(status))
        snprintf(how, WORKER_ENDS, "signal %d%s%s", WTERMSIG(status), between, w->said);
    else
        snprintf(how, WORKER_ENDS, "exit status %d%s%s", WEXITSTATUS(status), between, w->said);
}

/* The group is killed before its leader is reaped: until then no other group can have its number.
 */
void worker_end(struct worker *w, char how[WORKER_ENDS])
{
    int status = 0, ignored;
    siginfo_t seen = {.si_pid = 0};
    bool ended = false;
    how[0] = '\0';
    if (w->pid == 0) return;
    for (int i = 0; w->out >= 0 && i < 10 * REAP_MS && !ended; i++) {
        char byte;
        ssize_t n = read(w->out, &byte, 1);
        if (n != 0) break; /* it has not closed its stdout: it was to be killed */
        waitid(P_PID, (id_t)w->pid, &seen, WEXITED | WNOHANG | WNOWAIT);
        ended = seen.si_pid == w->pid;
        if (!ended) nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    step_hear(w);
    hear(w, "\n", 1);
    kill(-w->pid, SIGKILL);
    if (!reap(w->pid, ended ? &status : &ignored)) ended = false;
    tell_end(w, ended, status, how);
    close_end(&w->in);
    close_end(&w->out);
    close_end(&w->err);
    w->pid = 0;
    w->message_bytes = w->written = 0;
}
