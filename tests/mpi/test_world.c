/* ranks: 1 2 4 */
/* Who and where, agreement, waiting, threads, and signals that come twice. */
#include "comm/base/problems.h"
#include "comm/base/thread.h"
#include "tests/support/check_mpi.h"

#include <signal.h>
#include <string.h>
#include <time.h>

START_TEST(who_and_where)
{
    const struct world *w = &ck_world;
    int rank, size, sum = 0;
    MPI_OK(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
    MPI_OK(MPI_Comm_size(MPI_COMM_WORLD, &size));
    ck_all(w->rank == rank && w->size == size, "%d/%d", w->rank, w->size);
    ck_all(w->node >= 0 && w->node < w->nodes, "node %d of %d", w->node, w->nodes);
    ck_all(w->local_rank >= 0 && w->local_rank < w->local_size, "%d of %d", w->local_rank,
           w->local_size);
    int leader_size = w->local_rank == 0 ? w->local_size : 0;
    MPI_OK(MPI_Allreduce(&leader_size, &sum, 1, MPI_INT, MPI_SUM, w->comm));
    ck_all(sum == size, "the hosts have %d ranks", sum);
    ck_all(strlen(w->host) > 0, "no host name");
}
END_TEST

START_TEST(agreement)
{
    const struct world *w = &ck_world;
    bool last = w->rank == w->size - 1;
    ck_all(world_all(w, true), "all");
    ck_all(!world_all(w, !last), "all but the last");
    ck_all(!world_any(w, false), "none");
    ck_all(world_any(w, last), "the last");
    struct problems none = {0};
    world_agree_problems(w, &none, EXIT_USER);
}
END_TEST

START_TEST(errors_come_back)
{
    int x = 0, rc = MPI_Send(&x, 1, MPI_INT, ck_world.size + 5, 0, ck_world.comm);
    ck_all(rc != MPI_SUCCESS, "a send to nowhere");
    rc = MPI_Send(&x, 1, MPI_INT, 5, 0, MPI_COMM_SELF);
    ck_all(rc != MPI_SUCCESS, "a send to nowhere");
}
END_TEST

START_TEST(wait_completes)
{
    int me = ck_world.rank, n = ck_world.size, in = -1;
    MPI_Request r[3] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    world_wait(r, 0);
    world_wait(r, 3);
    MPI_OK(MPI_Irecv(&in, 1, MPI_INT, (me + n - 1) % n, 0, ck_world.comm, &r[0]));
    struct timespec t = {.tv_nsec = 5000000};
    if (me == n - 1) nanosleep(&t, NULL);
    MPI_OK(MPI_Isend(&me, 1, MPI_INT, (me + 1) % n, 0, ck_world.comm, &r[2]));
    world_wait(r, 3);
    ck_all(in == (me + n - 1) % n, "%d", in);
}
END_TEST

static void *thread_mask(void *arg)
{
    pthread_sigmask(SIG_BLOCK, NULL, arg);
    return NULL;
}

START_TEST(threads_take_no_signals)
{
    sigset_t set;
    pthread_t t;
    sigemptyset(&set);
    thread_start(&t, thread_mask, &set);
    pthread_join(t, NULL);
    ck_all(sigismember(&set, SIGUSR1) == 1 && sigismember(&set, SIGTERM) == 1, "mask");
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    ck_all(sigismember(&set, SIGUSR1) == 0, "the main thread keeps its own");
}
END_TEST

/* A second's room: a machine that does other things, too, must not look like a standstill. */
START_TEST(fed_watchdog_is_quiet)
{
    struct timespec t = {.tv_nsec = 200000000};
    watchdog_start(1.2);
    for (int i = 0; i < 8; i++) {
        nanosleep(&t, NULL);
        watchdog_feed();
    }
    watchdog_start(0);
    for (int i = 0; i < 8; i++) nanosleep(&t, NULL);
    watchdog_start(60);
    ck_all(true, "alive");
}
END_TEST

/* Both at once, as two paths of a scheduler may deliver them; world_any makes it everybody's. */
START_TEST(a_request_that_comes_twice)
{
    world_catch_signals();
    ck_all(!world_stop_requested(), "nothing came");
    if (ck_world.rank == ck_world.size - 1) {
        raise(SIGUSR1);
        raise(SIGUSR1);
        raise(SIGTERM);
        ck_assert_int_eq(world_stop_requested(), 1);
    }
    ck_all(world_any(&ck_world, world_stop_requested()), "the last rank heard it");
}
END_TEST

#define TESTS(X)               \
    X(who_and_where)           \
    X(agreement)               \
    X(errors_come_back)        \
    X(wait_completes)          \
    X(threads_take_no_signals) \
    X(fed_watchdog_is_quiet)   \
    X(a_request_that_comes_twice)

MPI_MAIN("world")
