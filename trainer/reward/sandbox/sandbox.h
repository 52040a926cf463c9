/* Programs that nobody trusts, run so that they can read, keep and reach nothing (promise P10).
 *
 * A *cell* is a process in user, pid, mount, net, ipc and uts namespaces of its own, whose root
 * holds /usr (read-only), five devices and an empty /tmp, and nothing else of the machine: no
 * /proc, no /etc, no home. Each program gets a *run*: once more such namespaces below those of the
 * cell, an empty tmpfs of limited size on /tmp, limits of its own, a seccomp filter that lets
 * through what computing needs, an environment of one
 * word (PYTHONHASHSEED=0), no privilege, and an unprivileged user also
 * where the trainer is root. The first process of its pid namespace watches it and says how it
 * ended; when that process ends, the kernel ends whatever the program has started.
 *
 *   server ── cell ──┬─ watcher (pid 1 of the run) ── the program
 *                    └─ watcher ── the program
 *
 * Nothing depends on cgroups or on a helper with privileges. For a process with one thread. */
#ifndef DUET_TRAINER_REWARD_SANDBOX_SANDBOX_H
#define DUET_TRAINER_REWARD_SANDBOX_SANDBOX_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* REDUCED: the kernel refuses a namespace whose calls the seccomp filter refuses, too (net, ipc,
 * uts). REFUSED: anything else is missing, and nothing is run. */
enum sandbox_level { SANDBOX_REFUSED, SANDBOX_REDUCED, SANDBOX_FULL };

struct sandbox; /* a cell */

/* Starts a cell and tries it with a program; what there is, or what is missing and why, goes to
 * `says`. NULL: refused. */
struct sandbox *sandbox_open(enum sandbox_level *level, char *says, size_t size);
/* false: its process has died, or it is NULL; what ran in it has failed, and nothing more can be
 * started. */
bool sandbox_alive(const struct sandbox *s);
/* Ends all its runs. NULL is fine. */
void sandbox_close(struct sandbox *s);

struct sandbox_limits {
    int cpu_ms;  /* processor time of the program and of the processes it has waited for */
    int idle_ms; /* how long it may use no processor time at all */
    int wall_ms; /* the last resort: a busy machine must not reach it */
    int processes;
    size_t memory_bytes; /* address space of each process */
    size_t disk_bytes;   /* of /tmp */
    size_t output_bytes; /* of standard output */
};

struct sandbox_file {
    const char *name; /* in /tmp, where the program starts */
    const void *bytes;
    size_t n;
};

struct sandbox_job {
    const char *const *argv; /* NULL behind the last; argv[0] is a path */
    const struct sandbox_file *file;
    int n_files;
    const void *input; /* (n_input) its standard input */
    size_t n_input;
    struct sandbox_limits limits;
};

enum sandbox_end {
    SANDBOX_EXIT,   /* by itself, with `code` */
    SANDBOX_SIGNAL, /* killed by signal `code`: a crash */
    SANDBOX_CPU,    /* over limits.cpu_ms */
    SANDBOX_IDLE,
    SANDBOX_WALL,
    SANDBOX_OUTPUT, /* over limits.output_bytes */
    SANDBOX_FAILED  /* not run: the machine had no room for it (errno in code) */
};

/* A program that runs, or has run. */
struct sandbox_run {
    int out, status; /* descriptors; -1: closed */
    size_t most;     /* limits.output_bytes */
    char *output;    /* (n_output) the run's until sandbox_free */
    size_t n_output, room;
    enum sandbox_end end;
    int code;
    int64_t cpu_us;
};

/* Starts a program; job is read before this returns. The run ends at once as SANDBOX_FAILED where
 * it cannot be started. */
void sandbox_start(struct sandbox *s, struct sandbox_run *r, const struct sandbox_job *job);
/* What to wait for before the next step: fills up to 2. */
int sandbox_wait(const struct sandbox_run *r, struct pollfd *fd);
/* Reads what has come, never waits. true: it has ended, and nothing of it is left. */
bool sandbox_step(struct sandbox_run *r);
/* Frees the output; a run that goes on is killed. */
void sandbox_free(struct sandbox_run *r);
/* Starts it and waits for its end. */
void sandbox_run(struct sandbox *s, struct sandbox_run *r, const struct sandbox_job *job);

#endif
