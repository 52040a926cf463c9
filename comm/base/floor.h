/* The floor: of the ranks of a job on one host that fail within some seconds (no memory, a full
 * disk) one speaks.
 *
 * They share a word of memory without a name in any file system, so that nothing is left behind.
 * Who fails takes the floor, writes its message, and notes that it has; the others see the note and
 * are silent, also when the speaker has ended by then. A message is never lost: no rank waits
 * longer than a second for the note of one that was killed or hangs, and who cannot share the
 * memory speaks. On several hosts each host may speak once. */
#ifndef DUET_COMM_BASE_FLOOR_H
#define DUET_COMM_BASE_FLOOR_H

#include <stdbool.h>

enum { FLOOR_PATH = 64 };

/* Each rank makes such memory and says by which path others reach it ("": it cannot be made); all
 * but one of a host then join that one's in its place; when all have, it is settled: all before
 * anything fails. Local. */
void floor_open(char path[FLOOR_PATH]);
void floor_join(const char *path);
void floor_settle(void);

/* true: speak, at once, then floor_spoken(). false: another one has spoken. Both are for signal
 * handlers, too. */
bool floor_take(void);
void floor_spoken(void);

#endif
