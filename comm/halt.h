/* Groups of ranks that run apart agree on a step to stop at, and send nothing until one of them is asked to stop.
 *
 * Each group says once in its life, to all others, at which step it stands: when it is asked to stop, when it hears that
 * another one was, or at its end. The largest step said is where all stop: those who are behind go on until they are there. The
 * first rank of a group speaks for it. Who blocks on another group must go on listening (halt_heard) and answer (halt_announce)
 * with the next step at which it can stop: the other may be waiting for that answer. */
#ifndef DUET_COMM_HALT_H
#define DUET_COMM_HALT_H

#include <mpi.h>
#include <stdbool.h>

struct halt;
/* Collective over comm (duplicated): the first ranks of the groups. */
struct halt *halt_new(MPI_Comm comm);
/* Collective. All must have announced. NULL: returns. */
void halt_free(struct halt *h);

/* Has another group announced? Local, never waits. */
bool halt_heard(struct halt *h);
/* Says step, which must not lie behind this group; calls after the first do nothing. Local. */
void halt_announce(struct halt *h, long step);
/* Waits, without burning the core, until all have announced; the largest step. */
long halt_agree(struct halt *h);

#endif
