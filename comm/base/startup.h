/* Where the time between the start of a process and its first step goes: it is cut into parts, and
 * one line of the log says how long each was. Where ranks wait for each other a part of rank 0 has
 * the slowest rank's in it. For the main thread; local. */
#ifndef DUET_COMM_BASE_STARTUP_H
#define DUET_COMM_BASE_STARTUP_H

enum startup_part {
    STARTUP_MPI, /* the program loaded, MPI up: what comes before the first startup_enter */
    STARTUP_RECIPE,
    STARTUP_FOLDER,
    STARTUP_DATA,
    STARTUP_KERNELS,
    STARTUP_CONNECTIONS,
    STARTUP_MEMORY,
    STARTUP_PLANS,
    STARTUP_WEIGHTS,
    STARTUP_PARTS
};

/* What follows counts to this part, which may be entered again. Returns the former one. */
enum startup_part startup_enter(enum startup_part part);
/* "started in 1.9 s: MPI 0.8, recipe 0.0, ...", once; from then on nothing is counted. */
void startup_say(void);

#endif
