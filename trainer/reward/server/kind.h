/* What the grader server runs: a row for each kind of grader. The server is one thread that must
 * never wait: a kind starts work in processes of its own, says which descriptors it waits for, and
 * goes on when something has come. */
#ifndef DUET_TRAINER_REWARD_SERVER_KIND_H
#define DUET_TRAINER_REWARD_SERVER_KIND_H

#include <poll.h>
#include "trainer/reward/server/server.h"

struct grade_request {
    uint64_t id;       /* of the server's own, unique */
    const char *bytes; /* (n), and a 0 behind them */
    size_t n;
    enum grade_kind_number kind;
    struct grade_request *next; /* the server's; a kind may use it for requests it has taken */
};

struct grade_kind {
    const char *name;
    /* Once, in the server's process, before the first request. */
    void *(*open)(void);
    void (*configure)(void *state, const char *bytes, size_t n);
    /* The kind's until grade_reply or grade_lose. false: busy; it is offered again after the next
     * step, and the rank is held back meanwhile. */
    bool (*take)(void *state, struct grade_request *r);
    /* What it waits for: fills up to max, returns how many; lowers *timeout_ms (-1: none) to its
     * next deadline. */
    int (*wait)(void *state, struct pollfd *fd, int max, int *timeout_ms);
    /* Goes on with whatever can, never waits. */
    void (*step)(void *state);
};

/* By number; a kind that is not there has no open(). A test puts its own here before it forks. */
extern const struct grade_kind *grade_kinds[GRADE_KINDS];

/* Ends a request, which is freed. At most 64 KiB; more is cut. */
void grade_reply(struct grade_request *r, const void *bytes, size_t n);
void grade_lose(struct grade_request *r);

/* For a child of the server that becomes another program: signals as a program expects them (the
 * server ignores those that launchers send to everybody), and it dies with its parent. Closes
 * every descriptor above 2. Call behind fork, before exec. */
void grade_child(void);

#endif
