/* A thread that drives open operations while no thread waits for them: one for all messages of a
 * rank (p2p.c), one for all its sums (reduce.c). A room embeds this in what its groups share; its
 * lock guards all of that. Where MPI was not granted threads there is none, and the thread that
 * waits or polls moves everything. */
#ifndef DUET_COMM_BACKGROUND_H
#define DUET_COMM_BACKGROUND_H

#include <pthread.h>
#include <stdbool.h>

struct background {
    const char *doing; /* what a failure would say: "moving messages in the background" */
    /* Both are called with the lock. Is there anything to move that no other thread moves? */
    bool (*wanted)(void);
    bool (*move)(void); /* true if something moved */

    pthread_mutex_t lock; /* both initialised by their macros */
    pthread_cond_t wake;
    pthread_t thread; /* runs while there are members */
    int members;
    bool threads, asleep, ending;
};
/* The first member starts the thread, the last ends it. Called without the lock. Local. */
void background_join(struct background *b);
void background_leave(struct background *b);
/* Wakes the thread when it sleeps and is wanted again. Called with the lock. */
void background_wake(struct background *b);

#endif
