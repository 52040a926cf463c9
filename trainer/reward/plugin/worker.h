/* A command that runs beside us and is spoken to in lines: started, written to and read without
 * waiting, ended with all that it has started. Its stderr is read, too: the last line of it says
 * why it ended. For a process of one thread without MPI (the grader server) in which
 * SIGPIPE is ignored. Local. */
#ifndef DUET_TRAINER_REWARD_PLUGIN_WORKER_H
#define DUET_TRAINER_REWARD_PLUGIN_WORKER_H

#include <stdbool.h>
#include <sys/types.h>
#include "trainer/data/completion.h"

enum {
    WORKER_LINE = 1 << 16, /* bytes of a line that it may print */
    WORKER_SAID = 160,     /* of what is kept of its stderr */
    WORKER_ENDS = WORKER_SAID /* of how it ended */ + 64
};

struct worker {
    pid_t pid;        /* 0: none runs */
    int in, out, err; /* our ends of its streams */
    char *text;       /* (WORKER_LINE) printed and not yet taken */
    size_t n, taken;
    const char *message; /* being written; the caller's until worker_written */
    size_t message_bytes, written;
    char said[WORKER_SAID];   /* the last line of its stderr, printable */
    char saying[WORKER_SAID]; /* the line that it is writing there */
    size_t saying_bytes;
};

/* Zeroed room; nothing runs. */
void worker_place(struct worker *w);
void worker_free(struct worker *w);
/* argv[0] is looked for in PATH. The command has our environment without what is MPI's, its
 * working directory is ours, it leads a process group of its own and dies with us. false: errno;
 * a command that cannot be run is one that ends at once and says why. */
bool worker_start(struct worker *w, char *const *argv);
/* Begins to write n bytes, when the last are written. */
void worker_send(struct worker *w, const char *bytes, size_t n);
bool worker_written(const struct worker *w);

enum worker_event {
    WORKER_NOTHING,
    WORKER_PRINTED,  /* a line */
    WORKER_TOO_LONG, /* a line of more than WORKER_LINE bytes: it should be ended */
    WORKER_ENDED     /* it has closed its stdout: worker_end says how it ended */
};
/* Writes and reads what goes without waiting: the next event. *line is valid until the next call.
 */
enum worker_event worker_step(struct worker *w, struct span *line);
/* Ends it, with its process group, whatever it does. "exit status 1: Error: no module x" into how,
 * when it ended by itself, or "killed". */
void worker_end(struct worker *w, char how[WORKER_ENDS]);

#endif
