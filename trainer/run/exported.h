/* What a run has exported, and how the new one takes its place. The run folder's exports.json knows
 * every folder and file by what the file system has of it (device, number, time of the last
 * change), so that what a user put there, or changed, is never written over. What lies in exports/
 * of the run folder is the run's own, also when that folder was copied. */
#ifndef DUET_TRAINER_RUN_EXPORTED_H
#define DUET_TRAINER_RUN_EXPORTED_H

#include <stdbool.h>
#include "comm/base/file.h"
#include "comm/base/problems.h"

/* A place, and the run folder. */
struct exported {
    const char *folder, *to;
    bool own; /* what is there is the run's */
};
/* A problem, when something is there that is neither an empty folder nor as this run left it.
 * Local. */
void exported_check(const struct exported *e, struct problems *p);
/* The name under which the new one is written, beside `to`, free of what a killed job left there.
 * false: a problem. Local. */
bool exported_begin(char fresh[PATH_BYTES], const char *to, struct problems *p);
/* It is whole: recorded in the run folder, then put at `to`, in place of what this run left there.
 * A kill at any moment leaves the former or the new one, or both beside each other. false: a
 * problem. Local. */
bool exported_end(const struct exported *e, long step, struct problems *p);

/* Is this the beginning of an exports.json? */
bool exported_is_record(const char *head);

#endif
