/* A pool of workers that run one grader: answers go in, verdicts come out in the order in which
 * they are found. Nobody waits: a poll loop calls grader_pool_step when one of grader_pool_watch's
 * descriptors is ready or grader_pool_wake has passed.
 *
 * A worker has one answer at a time. Where it dies, hangs or is out of step with us, it is ended
 * and another is started, after a while that doubles with each that brought no verdict; the answer
 * is tried again, `retries` times, then it is lost. A grader of which LEAST_DOWN workers in a row
 * brought no verdict is down: answers are lost at once, but for one now and then that tries it.
 * Every mishap is counted by its kind, and said once (note).
 *
 * Memory is bounded: `most` answers and POOL_BYTES of them, beyond which grader_pool_submit says
 * no. For a process of one thread without MPI. Local. */
#ifndef DUET_TRAINER_REWARD_PLUGIN_GRADER_POOL_H
#define DUET_TRAINER_REWARD_PLUGIN_GRADER_POOL_H

#include <poll.h>
#include "trainer/reward/plugin/line.h"

/* What may go wrong, in the words of grader_pool_mishap_name. */
enum grader_pool_mishap {
    POOL_FINE,
    POOL_LATE,     /* no verdict in time */
    POOL_DEAF,     /* no verdict in time, and the request was not read either */
    POOL_DIED,     /* it ended before its verdict, or with nothing to do */
    POOL_OTHER,    /* it answered another request */
    POOL_TOO_LONG, /* a line without end */
    POOL_GARBAGE,  /* printed what is no reply. Alone it costs nothing: a verdict may follow */
    POOL_BAD,      /* its reply has no reward that is a finite number: not tried again */
    POOL_ERROR,    /* it says that it cannot grade the answer: not tried again */
    POOL_NO_START, /* no process could be made */
    POOL_DOWN,     /* lost at once */
    POOL_MISHAPS
};
const char *grader_pool_mishap_name(enum grader_pool_mishap m);

enum {
    POOL_WORKERS = 64,
    POOL_BYTES = 64 << 20, /* of answers that wait; one that is alone may be larger */
    LEAST_DOWN = 8
};

struct grader_pool_options {
    const char *name;  /* of the reward, for messages; kept, as argv */
    char *const *argv; /* the command */
    int workers;       /* [1, POOL_WORKERS] */
    int retries;
    double timeout_s; /* for a verdict, from when a worker has the answer */
    double start_s;   /* more for the first of a new worker */
    int most;         /* answers that are in the pool at once; 0: 16 for each worker */
    /* Says a line about a mishap, the first time it happens; NULL: nobody listens. */
    void (*note)(void *ctx, const char *text);
    void *ctx;
};

/* All since grader_pool_open. */
struct grader_pool_counts {
    long graded, lost;
    long mishaps[POOL_MISHAPS]; /* also those that a retry made good */
    long lost_by[POOL_MISHAPS]; /* lost, by the mishap of the last try */
    long retries, starts;
    double seconds; /* that workers had answers */
};

struct grader_pool_verdict {
    uint64_t ticket;
    double seconds;               /* that workers had the answer */
    double reward;                /* 0 where it is lost */
    enum grader_pool_mishap lost; /* POOL_FINE: it is graded */
    char why[LINE_WHY];           /* what the grader said, or what happened */
};

struct grader_pool;
/* Starts all workers. Never NULL: a command that cannot be run is a worker that ends. */
struct grader_pool *grader_pool_open(const struct grader_pool_options *o);
/* Ends all workers; what was not graded is gone. */
void grader_pool_close(struct grader_pool *p);

/* Takes an answer, whose verdict will have this ticket. false: it is full, or there is no memory;
 * come back after a grader_pool_step. */
bool grader_pool_submit(struct grader_pool *p, uint64_t ticket, const struct line_request *r);
/* The same for a line of line_write, which is copied. */
bool grader_pool_submit_line(struct grader_pool *p, uint64_t ticket, struct span line);
/* An empty answer, to see whether the grader works; tried a few times at least. */
bool grader_pool_try(struct grader_pool *p, uint64_t ticket);
/* Does what goes without waiting. */
void grader_pool_step(struct grader_pool *p);
/* The next verdict, if there is one. */
bool grader_pool_take(struct grader_pool *p, struct grader_pool_verdict *v);
/* Answers without a taken verdict. */
int grader_pool_open_answers(const struct grader_pool *p);

/* What to wait for: at most 3 descriptors for each worker into fds (room: fds there is room for);
 * returns how many. */
int grader_pool_watch(const struct grader_pool *p, struct pollfd *fds, int room);
/* Seconds until grader_pool_step should be called without any of them; a large number: never. */
double grader_pool_wake(const struct grader_pool *p);
const struct grader_pool_counts *grader_pool_counts(const struct grader_pool *p);
/* "1000 graded, 12 lost; no verdict in time 7, ended 5; 24 retries" */
char *grader_pool_tell(const struct grader_pool *p, char *out, size_t size);

#endif
