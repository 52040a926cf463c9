/* Roll calls. A call is an empty message to every rank, an answer a struct; both are small enough
 * to leave at once, also towards a rank that takes nothing. When two ranks call at the same time
 * the lower one goes on. */
#include "comm/roll_call.h"

#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/thread.h"
#include "comm/mpi_ok.h"
#include "comm/roster.h"

enum { DOING_LETTERS = 120, TEXT_LETTERS = 1024, NAMED = 3 };
enum { CALL = 32001, ANSWER };               /* tags that no other message between all ranks has */
static const double patience = 2, limit = 3; /* s: for answers; for MPI, should it hang too */

struct roll_answer {
    double idle_seconds;
    int waits; /* for another rank? */
    char doing[DOING_LETTERS];
};

static struct {
    MPI_Comm comm; /* of all ranks; MPI_COMM_NULL: there are no calls */
    int rank, size;
    struct roll_answer mine;     /* under way to a caller */
    MPI_Request answering;       /* that message */
    struct roll_answer *answers; /* (size) */
    bool *came;                  /* (size) */
    double idle_seconds;
    char text[TEXT_LETTERS]; /* what is known, once done */
    bool yielded;
    _Atomic bool done;
    pthread_mutex_t in_mpi; /* held while MPI is called for a roll call */
    bool quit;              /* guarded by it */
} roll = {.comm = MPI_COMM_NULL,
          .answering = MPI_REQUEST_NULL,
          .in_mpi = PTHREAD_MUTEX_INITIALIZER};

/* Without MPI_THREAD_MULTIPLE the watchdog's thread may not call MPI, and there are none. */
void roll_call_up(void)
{
    int threads = 0;
    MPI_OK(MPI_Query_thread(&threads));
    MPI_OK(MPI_Comm_size(MPI_COMM_WORLD, &roll.size));
    MPI_OK(MPI_Comm_rank(MPI_COMM_WORLD, &roll.rank));
    if (threads != MPI_THREAD_MULTIPLE || roll.size == 1) return;
    roll.answers = memory_take((size_t)roll.size, sizeof *roll.answers, "answers to a roll call");
    roll.came = memory_take((size_t)roll.size, sizeof *roll.came, "answers to a roll call");
    roll.comm = MPI_COMM_WORLD;
}

void roll_call_down(void)
{
    roll.comm = MPI_COMM_NULL;
    free(roll.answers);
    free(roll.came);
    roll.answers = NULL, roll.came = NULL;
}

void roll_call_quit(void)
{
    pthread_mutex_lock(&roll.in_mpi);
    roll.quit = true;
    pthread_mutex_unlock(&roll.in_mpi);
}

static struct roll_answer own_answer(double idle_seconds)
{
    struct roll_answer a = {.idle_seconds = idle_seconds};
    a.waits = die_main_place(a.doing, sizeof a.doing);
    return a;
}

/* The calling rank, to which our answer is now being sent; -1: no rank calls. */
static int take_call(double idle_seconds)
{
    MPI_Status status;
    int there = 0, sent = 0;
    if (roll.comm == MPI_COMM_NULL) return -1;
    MPI_OK(MPI_Test(&roll.answering, &sent, MPI_STATUS_IGNORE));
    if (!sent) return -1;
    MPI_OK(MPI_Iprobe(MPI_ANY_SOURCE, CALL, roll.comm, &there, &status));
    if (!there) return -1;
    int caller = status.MPI_SOURCE;
    MPI_OK(MPI_Recv(NULL, 0, MPI_BYTE, caller, CALL, roll.comm, MPI_STATUS_IGNORE));
    roll.mine = own_answer(idle_seconds);
    MPI_OK(MPI_Isend(&roll.mine, (int)sizeof roll.mine, MPI_BYTE, caller, ANSWER, roll.comm,
                     &roll.answering));
    return caller;
}

bool roll_call_answer(double idle_seconds)
{
    pthread_mutex_lock(&roll.in_mpi);
    bool called = !roll.quit && take_call(idle_seconds) >= 0;
    pthread_mutex_unlock(&roll.in_mpi);
    return called;
}

/* A rank that is called twice may answer twice; only its first answer counts as missing no longer.
 */
static void take_answers(int *missing)
{
    for (;;) {
        MPI_Status status;
        int there = 0;
        MPI_OK(MPI_Iprobe(MPI_ANY_SOURCE, ANSWER, roll.comm, &there, &status));
        if (!there) return;
        int from = status.MPI_SOURCE;
        MPI_OK(MPI_Recv(&roll.answers[from], (int)sizeof(struct roll_answer), MPI_BYTE, from,
                        ANSWER, roll.comm, MPI_STATUS_IGNORE));
        *missing -= !roll.came[from];
        roll.came[from] = true;
    }
}

__attribute__((format(printf, 2, 3))) static void text_add(size_t *n, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int more = vsnprintf(roll.text + *n, TEXT_LETTERS - *n, fmt, args);
    va_end(args);
    if (more > 0) *n += (size_t)more;
    if (*n > TEXT_LETTERS - 1) *n = TEXT_LETTERS - 1;
}

static bool is_silent(int r)
{
    return !roll.came[r];
}
static bool waits_for_nobody(int r)
{
    return roll.came[r] && !roll.answers[r].waits;
}

/* Names the first few ranks of a kind; how many there are. */
static int name_ranks(size_t *n, bool (*is_one)(int rank))
{
    int found = 0;
    for (int r = 0; r < roll.size; r++) {
        if (!is_one(r) || found++ >= NAMED) continue;
        text_add(n, "%srank %d on %s", found > 1 ? ", " : "", r, roster_name(r));
        if (roll.came[r] && roll.answers[r].doing[0])
            text_add(n, " (while %s)", roll.answers[r].doing);
    }
    if (found > NAMED) text_add(n, " and %d more", found - NAMED);
    return found;
}

/* Silent ranks are the cause if there are any; then ranks that wait for nobody, which are busy or
 * stuck themselves. */
static void tell_missing(void)
{
    size_t n = 0;
    int found = name_ranks(&n, is_silent);
    if (found > 0)
        text_add(&n, " answer%s nobody: stopped, or %s host or link hangs", found > 1 ? "" : "s",
                 found > 1 ? "their" : "its");
    else if ((found = name_ranks(&n, waits_for_nobody)) > 0)
        text_add(&n, " wait%s for no other rank", found > 1 ? "" : "s");
    else
        text_add(&n, "all ranks answer, and all wait for each other");
}

static void send_calls(void)
{
    for (int r = 0; r < roll.size; r++) {
        MPI_Request request;
        if (r == roll.rank) continue;
        MPI_OK(MPI_Isend(NULL, 0, MPI_BYTE, r, CALL, roll.comm, &request));
        MPI_OK(MPI_Request_free(&request));
    }
}

/* One look at what came; false: a lower rank calls too. */
static bool listen_once(int *missing)
{
    int caller = take_call(roll.idle_seconds);
    take_answers(missing);
    return caller < 0 || caller > roll.rank;
}

/* A thread of its own, since MPI itself may hang: the watchdog waits for it only for a limited
 * time. */
static void *call_all(void *unused)
{
    (void)unused;
    int missing = roll.size - 1;
    const struct timespec nap = {.tv_nsec = 10000000};
    double until = clock_now() + patience;
    roll.answers[roll.rank] = own_answer(roll.idle_seconds);
    roll.came[roll.rank] = true;
    for (bool called = false, more = true; more; nanosleep(&nap, NULL)) {
        pthread_mutex_lock(&roll.in_mpi);
        if (!roll.quit && !called) send_calls();
        called = true;
        roll.yielded = roll.quit || !listen_once(&missing);
        pthread_mutex_unlock(&roll.in_mpi);
        more = !roll.yielded && missing > 0 && clock_now() < until;
    }
    tell_missing();
    atomic_store(&roll.done, true);
    return NULL;
}

/* The thread is detached and left behind when it does not end in time: the job ends anyway. */
bool roll_call_ask(double idle_seconds, char *text, size_t size)
{
    const struct timespec nap = {.tv_nsec = 10000000};
    pthread_t thread;
    text[0] = 0;
    if (roll.comm == MPI_COMM_NULL) return true;
    roll.idle_seconds = idle_seconds;
    roll.yielded = false;
    atomic_store(&roll.done, false);
    thread_start(&thread, call_all, NULL);
    pthread_detach(thread);
    for (double until = clock_now() + limit; clock_now() < until && !atomic_load(&roll.done);)
        nanosleep(&nap, NULL);
    if (!atomic_load(&roll.done)) return true;
    if (!roll.yielded) snprintf(text, size, "%s", roll.text);
    return !roll.yielded;
}
