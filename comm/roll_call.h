/* Who holds the others up? When no progress was made for too long, the watchdog of the rank that
 * notices first calls all ranks; their watchdogs answer with what their main threads do. Who does
 * not answer is stopped, or its host or link is; a rank that answers that it waits for no other is
 * stuck in its own work.
 *
 * Everything but up and down is for the watchdog's thread. Works with MPI_THREAD_MULTIPLE only. */
#ifndef DUET_COMM_ROLL_CALL_H
#define DUET_COMM_ROLL_CALL_H

#include <stdbool.h>
#include <stddef.h>

/* By all ranks, behind roster_up. Local. */
void roll_call_up(void);
void roll_call_down(void);
/* From now on no rank is called or answered; when it returns, the watchdog's thread is out of MPI.
 * For the main thread that ends MPI while the watchdog still runs. Local. */
void roll_call_quit(void);

/* Answers a calling rank; true when there was one: it will end the job. Local, at most some ms. */
bool roll_call_answer(double idle_seconds);
/* Calls all ranks and reports which one blocks them, in at most `size` bytes; "" when that cannot
 * be known. Takes 3 s at most, whatever MPI does. false: another rank calls and will speak. */
bool roll_call_ask(double idle_seconds, char *text, size_t size);

#endif
