/* Between the files of the sandbox. */
#ifndef DUET_TRAINER_REWARD_SANDBOX_CELL_H
#define DUET_TRAINER_REWARD_SANDBOX_CELL_H

#include <linux/filter.h>
#include <sys/types.h>
#include "trainer/reward/sandbox/sandbox.h"

enum {
    NOBODY = 65534
}; /* the user and group of programs, inside and, where we are root, outside */

/* A step that failed, for the message. Text without pointers: it crosses processes. */
struct sandbox_failure {
    int error; /* errno; 0: none */
    char what[96];
};
bool sandbox_failed(struct sandbox_failure *f, const char *what);

/* What a cell has and a run needs. */
struct cell {
    int proc;                 /* /proc of the machine, for the maps of users */
    int server;               /* the socket of the cell, which is closed when the cell ends */
    int namespaces;           /* CLONE_NEW... of a run */
    struct sock_fprog filter; /* for the program */
};

/* Maps the one user and the one group of `process` ("self" or a number) to an outer one. */
bool sandbox_map_user(int proc, const char *process, unsigned outer_user, unsigned outer_group);
/* Makes the cell's root and enters it: what is not in it can no longer be reached. */
bool root_enter(struct sandbox_failure *f);
/* The seccomp filter; its memory is never given back. */
bool filter_make(struct sock_fprog *out, struct sandbox_failure *f);

/* A job as it travels to its watcher: a memory file with this head, then the arguments, each with
 * its 0, then for each file its name with its 0, its size and its bytes, then the input. */
struct job_head {
    uint32_t n_args, n_files;
    uint64_t n_input, total;
    struct sandbox_limits limits;
};
/* How it ended, as it travels back. */
struct job_report {
    uint32_t end;
    int32_t code;
    int64_t cpu_us;
};

/* The process that a cell is: never returns. fd: the server's socket; `namespaces` of its runs. */
_Noreturn void cell_serve(int fd, int namespaces);
/* The first process of a run's namespaces: never returns. */
_Noreturn void watcher_main(const struct cell *c, int job, int out, int status);
/* A fork into new namespaces (CLONE_NEW...). */
pid_t sandbox_fork(int namespaces);

#endif
