/* Threads of ours beside the main one. */
#ifndef DUET_COMM_BASE_THREAD_H
#define DUET_COMM_BASE_THREAD_H

#include <pthread.h>

/* Starts a thread that takes no signals (they are the main thread's). Dies if it cannot. Local. */
void thread_start(pthread_t *thread, void *(*body)(void *), void *arg);

#endif
