/* Signals of the server's processes. */
#ifndef DUET_TRAINER_REWARD_SERVER_CHILD_H
#define DUET_TRAINER_REWARD_SERVER_CHILD_H

#include <stdbool.h>

/* Those that launchers send to every process of a job: ours, as any program has them, or ignored.
 * None is blocked. Local. */
void grade_signals(bool ours);

#endif
