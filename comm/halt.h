/* Groups of ranks that run apart (sites) agree on a step to stop at, and send nothing until a rank
 * is asked to stop.
 *
 * Each group says once in its life, to all others, the first step at which it can stop: when one of
 * its ranks is asked to stop, when it hears that another group said its step, or at its end. The
 * largest step announced is where all stop: groups behind it continue until they reach it. The
 * first rank of a group, its leader, speaks for it and tells the group the result. A leader that
 * waits for another group must keep listening (halt_heard) and answer (halt_announce): the other
 * may be waiting for that answer. */
#ifndef DUET_COMM_HALT_H
#define DUET_COMM_HALT_H

#include <mpi.h>
#include <stdbool.h>

enum { HALT_NOTHING = -1 };

struct halt;
/* Collective over both, which are duplicated. group: this rank's; leaders: the first ranks of all
 * groups, read on those only. */
struct halt *halt_new(MPI_Comm group, MPI_Comm leaders);
/* Collective over all groups. The leaders must have announced; waits until all have. NULL:
 * returns. */
void halt_free(struct halt *h);

/* This rank was asked to stop; its leader hears of it. Calls after the first do nothing. Local. */
void halt_ask(struct halt *h);
/* On a leader: was a rank of this group asked, or has another group announced? Elsewhere: was this
 * rank asked? Once true it stays so. Local, never waits. */
bool halt_heard(struct halt *h);
/* On a leader: says the first step, at least 0, at which its group can stop; elsewhere, and after
 * the first call, does nothing. Local. */
void halt_announce(struct halt *h, long step);
/* Has this rank announced? Local. */
bool halt_announced(const struct halt *h);
/* The step at which all stop, as soon as this rank knows it; HALT_NOTHING until then. Local, never
 * waits. */
long halt_agreed(struct halt *h);
/* Waits, without burning the core, for that step. Collective over the group, whose leader must have
 * announced. */
long halt_agree(struct halt *h);

#endif
