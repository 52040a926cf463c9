/* The floor: of the processes of a job on one host that fail at the same moment (no memory, a full disk) one speaks.
 *
 * Whoever fails first binds a name in Linux's abstract namespace of sockets, writes its message, and then listens; the others
 * see by connecting that a message was written. Nothing is left behind: the name goes with its process. A message is never
 * lost: a speaker that dies before it has written frees the name for the next, and nobody waits for it longer than a second.
 * On several hosts each host may speak once. */
#ifndef DUET_COMM_BASE_FLOOR_H
#define DUET_COMM_BASE_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

/* The name of this job on this host, the same for all its processes here, another for every job. Without it all speak. */
void floor_name(uint64_t job);
/* true: speak, at once, then floor_spoken(). false: another one has spoken. Both are for signal handlers, too. */
bool floor_take(void);
void floor_spoken(void);

#endif
