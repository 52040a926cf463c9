/* The server's side: the loop that runs the kinds, and the keeper that runs the loop. */
#ifndef DUET_TRAINER_REWARD_SERVER_SERVE_H
#define DUET_TRAINER_REWARD_SERVER_SERVE_H

#include <sys/types.h>

/* Serves whoever is at the other end of fd until that end is closed. Never returns. */
_Noreturn void serve(int fd);
/* Runs serve() in a child, and again when it has died. `rank`: the process that it ends with. Never
 * returns. */
_Noreturn void keep_server(int fd, pid_t rank);

#endif
