/* Replies on their way from the server to the rank. */
#ifndef DUET_TRAINER_REWARD_SERVER_REPLIES_H
#define DUET_TRAINER_REWARD_SERVER_REPLIES_H

#include <stdbool.h>

/* Room for all that the windows allow. */
void replies_open(void);
/* Are there some that are not sent yet? */
bool replies_wait(void);
/* Sends what the socket takes; false: the rank is gone. */
bool replies_send(int fd);

#endif
