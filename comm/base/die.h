/* How a rank fails: it speaks once (rank, host, place, what, why, fix) and takes the job with it.
 *
 * Three kinds of failure, three ways (docs/ARCHITECTURE.md, "Errors"):
 *   the user's mistake   collect in a struct problems (problems.h), print all of them, exit 2
 *   the world's failure  MPI_OK(call), H5_OK(call), SYS_OK(cond, ...): die at the first, exit 1
 *   our bug              INVARIANT(cond, ...): die, exit 3
 */
#ifndef DUET_COMM_BASE_DIE_H
#define DUET_COMM_BASE_DIE_H

#include <stdbool.h>
#include <stddef.h>

enum exit_code { EXIT_DONE = 0, EXIT_WORLD = 1, EXIT_USER = 2, EXIT_BUG = 3, EXIT_STOPPED = 85 };

/* Who speaks. Called once by world_up; before that messages say "rank -". Local. */
void die_identify(int rank, int size, const char *host);

/* What this thread is doing, for the "while ..." of a message: die_place("sending stage %d -> %d",
 * 3, 4). Cheap (formats into a thread-local buffer). NULL clears it. Local. */
void die_place(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What this thread waits for, said after the place; set and cleared (NULL) by the function that
 * waits. */
void die_waiting(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Takes over the texts of the thread that called die_identify: for the watchdog, who speaks for it.
 */
void die_place_of_main(void);
/* What the main thread does, cut to `size`; true when it waits. Local, for any thread. */
bool die_main_place(char *doing, size_t size);

/* What ends the job; world_up installs one that calls MPI_Abort with an alarm behind it.
 * Without one, die just exits. */
void die_set_abort(void (*abort_job)(int code));
/* What ends a job whose ranks all know why (problems_end): together, without the noise of an abort.
 */
void die_set_leave(void (*leave_job)(int code));
/* Called once before this process ends by die or problems_end, by whatever thread ends it: for a
 * file that must not stay. NULL: nothing. */
void die_before_end(void (*call)(void));

/* One write(2) to stderr, then the end. `why` and `fix` may be NULL. Never returns. */
_Noreturn void die(const char *file, int line, enum exit_code code, const char *what,
                   const char *why, const char *fix);
_Noreturn void die_fmt(const char *file, int line, enum exit_code code, const char *what,
                       const char *fix, const char *why_fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* Writes a text to stderr, in one write(2) where the system takes it whole. */
void die_write(const char *text, size_t n);
/* The end of a job whose ranks all know why (problems_end): on rank `speaker`, or when no world is
 * up, speak(what) says it, unless a thread of this process has spoken before. Never returns. */
_Noreturn void die_together(enum exit_code code, int speaker, void (*speak)(const void *what),
                            const void *what);

/* SYS_OK(fd >= 0, "free space on the disk", "cannot open %s: %s", path, strerror(errno)) */
#define SYS_OK(cond, fix, ...)                                                         \
    do {                                                                               \
        if (!(cond)) die_fmt(__FILE__, __LINE__, EXIT_WORLD, #cond, fix, __VA_ARGS__); \
    } while (0)

/* INVARIANT(n <= size, "n %d size %d", n, size) */
#define INVARIANT(cond, ...)                                                                \
    do {                                                                                    \
        if (!(cond))                                                                        \
            die_fmt(__FILE__, __LINE__, EXIT_BUG, #cond,                                    \
                    "this is a bug in duet; please report the message above", __VA_ARGS__); \
    } while (0)

#endif
