#include "comm/base/thread.h"

#include <signal.h>
#include <string.h>

#include "comm/base/die.h"

void thread_start(pthread_t *thread, void *(*body)(void *), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGXFSZ); /* of the thread that writes, and it must hear it */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, body, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    SYS_OK(rc == 0, "raise the limits of processes and of memory (ulimit -u, ulimit -v)",
           "cannot start a thread: %s", strerror(rc));
}
