/* The watchdog, and the signals that ask a job to stop. Known to everybody who includes
 * comm/world.h. */
#ifndef DUET_COMM_WATCH_H
#define DUET_COMM_WATCH_H

#include <stdbool.h>

/* The watchdog: dies (EXIT_WORLD) when no watchdog_feed came for `seconds` (0 = off), saying the
 * die_place of the main thread. Local. */
void watchdog_start(double seconds);
void watchdog_feed(void);
/* For work that may be long, again and again while it goes on: feeds; true when 5 s have gone since
 * *said, which becomes now: time for a line that says how far it is. */
bool watchdog_long(double *said);

/* SIGUSR1, SIGTERM, SIGHUP and SIGINT ask the job to stop: they set a flag that
 * world_stop_requested reads; SIGHUP and SIGINT only where the caller did not ignore them (nohup).
 * Signals within 1 s of the first are the same request; a later one exits at once (EXIT_STOPPED).
 * Local: ranks hear of it at different moments, so agree with world_any before branching. */
void world_catch_signals(void); /* before world_up, so that no moment is left in which they kill */
/* For a command that has nothing to save: the same signals end each rank at once (EXIT_STOPPED);
 * the first one says so. Before world_up. Local. */
void world_end_on_signals(void);
/* SIGPIPE, too: who read standard output or error (head) has ended, which is a hang-up: a request
 * to stop, and the rest of what is written goes nowhere. Not where the caller ignores it already.
 * Before world_up, which takes SIGPIPE for another rank's end when there are several: their output
 * goes to mpirun. */
void world_catch_lost_reader(void);
/* SIGXFSZ, a file beyond the limit of the process: says so and ends the job with EXIT_WORLD. Called
 * by world_up. */
void world_catch_file_limit(const char *host);
int world_stop_requested(void);

#endif
