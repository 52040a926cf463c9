/* Long work of the planner says on stderr how far it is: nothing in the first two seconds, then a
 * line that is rewritten on a terminal, or a plain line every ten seconds. Local, one at a time. */
#ifndef DUET_TRAINER_PLANNER_WORKING_H
#define DUET_TRAINER_PLANNER_WORKING_H

/* "searching meshes: 12 of 40"; `all` 0: how many there are is not known. `what` is kept until
 * working_end. */
void working_begin(const char *what, long all);
void working_did(long more);
/* Removes the line. */
void working_end(void);

#endif
