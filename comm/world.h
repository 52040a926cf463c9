/* MPI up and down, who and where this rank is, agreement, waiting and the watchdog. */
#ifndef DUET_COMM_WORLD_H
#define DUET_COMM_WORLD_H

#include <mpi.h>
#include <pthread.h>
#include <stdbool.h>
#include "comm/base/die.h"
#include "comm/mpi_ok.h"
#include "comm/base/problems.h"

/* Usually all ranks of the job; after world_split_sites those of my site: then rank, size and comm are the site's, and
 * `first` is the rank that its first one has in the job, by which messages name ranks. */
struct world {
    int rank, size;
    int site, sites, first; /* 0, 1, 0 without sites */
    int node, nodes;        /* which host, of how many (by MPI_COMM_TYPE_SHARED) of the job */
    int local_rank, local_size;
    char host[64];
    bool threads; /* MPI_THREAD_MULTIPLE was granted */
    MPI_Comm
        comm; /* a duplicate of MPI_COMM_WORLD with MPI_ERRORS_RETURN, or the site's part of it */
    MPI_Comm
        across; /* ranks of my number, one a site, in their order; MPI_COMM_NULL without sites */
};

/* Collective over all ranks. Starts MPI (THREAD_MULTIPLE asked for), identifies die and log (so
 * it must be called by the main thread). world_down must find every communicator of ours freed. */
void world_up(struct world *w, int *argc, char ***argv);
void world_down(struct world *w);

/* Collective over all ranks: the job becomes `sites` equal runs of ranks that know each other by `across` only. sites must
 * divide the size; 1 changes nothing. Before anything else is made of w. */
void world_split_sites(struct world *w, int sites);

/* Agreement: collective over w->comm. true if every (any) rank says so. */
bool world_all(const struct world *w, bool ok);
bool world_any(const struct world *w, bool yes);
/* Collective: dies on every rank with the lowest failing rank's message (printed once) if any rank has
 * problems, exit code `code`. For mistakes only some ranks can see. */
void world_agree_problems(const struct world *w, struct problems *p, enum exit_code code);

/* Completes the requests without burning the core: tests, yields, then naps (base/nap.h) between
 * tests. Feeds the watchdog's "waiting for" text from die_place. Local. */
void world_wait(MPI_Request *requests, int n);

/* The watchdog: dies (EXIT_WORLD) when no watchdog_feed came for `seconds` (0 = off), saying the
 * die_place of the main thread. Local. */
void watchdog_start(double seconds);
void watchdog_feed(void);

/* SIGUSR1, SIGTERM, SIGHUP and SIGINT ask the job to stop: they set a flag that world_stop_requested reads. Signals within 1 s
 * of the first are the same request; a later one exits at once (EXIT_STOPPED). Local: ranks hear of it at
 * different moments, so agree with world_any before branching. */
void world_catch_signals(void); /* before world_up, so that no moment is left in which they kill */
/* SIGPIPE, too: who read standard output or error (head) has ended, which is a hang-up: a request to stop, and the rest of what is
 * written goes nowhere. Not where the caller ignores it already. Before world_up, which takes SIGPIPE for another rank's end
 * when there are several: their output goes to mpirun. */
void world_catch_lost_reader(void);
/* SIGXFSZ, a file beyond the limit of the process: says so and ends the job with EXIT_WORLD. Called by world_up. */
void world_catch_file_limit(const char *host);
int world_stop_requested(void);

/* Starts a thread that takes no signals (they are the main thread's). Dies if it cannot. Local. */
void world_thread_start(pthread_t *thread, void *(*body)(void *), void *arg);

#endif
