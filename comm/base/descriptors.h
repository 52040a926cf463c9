/* File descriptors: over TCP every connection with a rank takes one, and what MPI says when there
 * are none left tells nobody what to do. */
#ifndef DUET_COMM_BASE_DESCRIPTORS_H
#define DUET_COMM_BASE_DESCRIPTORS_H

#include <stdbool.h>

/* Open ones of this process, 0 where the kernel does not list them. Local, as all below. */
long descriptors_open(void);
/* Is there room for `more`, and a few for files? Where the soft limit is too low it is raised to
 * the hard one. */
bool descriptors_room(long more);
/* How many may be open. */
long descriptors_most(void);

#endif
