/* MPI up and down, who and where this rank is, agreement, waiting. */
#ifndef DUET_COMM_WORLD_H
#define DUET_COMM_WORLD_H

#include <mpi.h>
#include <stdbool.h>
#include "comm/base/die.h"
#include "comm/mpi_ok.h"
#include "comm/watch.h"
#include "comm/base/problems.h"

/* Usually all ranks of the job; after world_split_sites those of my site: then rank, size and comm
 * are the site's, and `first` is the rank that its first one has in the job, by which messages name
 * ranks. */
struct world {
    int rank, size;
    int site, sites, first; /* 0, 1, 0 without sites */
    int node, nodes;        /* which host, of how many of the job (comm/roster.h) */
    int local_rank, local_size;
    char host[64];
    bool threads;  /* MPI_THREAD_MULTIPLE was granted */
    MPI_Comm comm; /* MPI_COMM_WORLD, with MPI_ERRORS_RETURN, or the site's part of it */
    MPI_Comm
        across; /* ranks of my number, one a site, in their order; MPI_COMM_NULL without sites */
};

/* Collective over all ranks. Starts MPI (THREAD_MULTIPLE asked for), identifies die and log (so
 * it must be called by the main thread). world_down must find every communicator of ours freed. */
void world_up(struct world *w, int *argc, char ***argv);
void world_down(struct world *w);

/* Collective over all ranks: the job becomes `sites` equal runs of ranks that know each other by
 * `across` only. sites must divide the size; 1 changes nothing. Before anything else is made of w.
 */
void world_split_sites(struct world *w, int sites);

/* Agreement: collective over w->comm. true if every (any) rank says so. */
bool world_all(const struct world *w, bool ok);
bool world_any(const struct world *w, bool yes);
/* Collective: dies on every rank with the lowest failing rank's message (printed once) if any rank
 * has problems, exit code `code`. For mistakes only some ranks can see. */
void world_agree_problems(const struct world *w, struct problems *p, enum exit_code code);

/* The same of mistakes that only rank 0 can see: it waits for nobody. */
void world_heed_first(const struct world *w, struct problems *p, enum exit_code code);

/* Completes the requests without burning the core: tests, yields, then naps (base/nap.h) between
 * tests. Feeds the watchdog's "waiting for" text from die_place. Local. */
void world_wait(MPI_Request *requests, int n);

#endif
