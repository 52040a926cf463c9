#include "comm/background.h"

#include <mpi.h>

#include "comm/base/nap.h"
#include "comm/base/thread.h"
#include "comm/mpi_ok.h"

/* Patient naps: many ranks of a test or a paced pipeline share few cores, and pieces take longer
 * than that. */
static struct nap patient_nap(void)
{
    struct nap nap = nap_begin();
    nap.patient = true;
    return nap;
}

/* The thread: sleeps while nothing is open, otherwise moves and naps without the lock, so that the
 * main thread can post and wait meanwhile. */
static void *run(void *arg)
{
    struct background *b = arg;
    struct nap nap = patient_nap();
    die_place("%s", b->doing);
    pthread_mutex_lock(&b->lock);
    while (!b->ending) {
        if (!b->wanted()) {
            b->asleep = true;
            pthread_cond_wait(&b->wake, &b->lock);
            b->asleep = false;
            nap = patient_nap();
        } else {
            if (b->move()) nap = patient_nap();
            pthread_mutex_unlock(&b->lock);
            nap_take(&nap);
            pthread_mutex_lock(&b->lock);
        }
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

void background_join(struct background *b)
{
    int level = MPI_THREAD_SINGLE;
    MPI_OK(MPI_Query_thread(&level));
    pthread_mutex_lock(&b->lock);
    bool first = b->members++ == 0;
    b->threads = level == MPI_THREAD_MULTIPLE;
    b->ending = false;
    pthread_mutex_unlock(&b->lock);
    if (first && b->threads) thread_start(&b->thread, run, b);
}

void background_leave(struct background *b)
{
    pthread_mutex_lock(&b->lock);
    bool last = --b->members == 0;
    b->ending = last;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
    if (last && b->threads) pthread_join(b->thread, NULL);
}

void background_wake(struct background *b)
{
    if (b->threads && b->asleep && b->wanted()) pthread_cond_signal(&b->wake);
}
