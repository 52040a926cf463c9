/* MPI up and down, agreement, waiting. The watchdog and the signals are in watch.c. */
#include "comm/world.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/base/descriptors.h"
#include "comm/base/environment.h"
#include "comm/base/floor.h"
#include "comm/base/log.h"
#include "comm/base/nap.h"
#include "comm/base/problems.h"
#include "comm/mpi_up.h"
#include "comm/p2p.h"
#include "comm/roll_call.h"
#include "comm/roster.h"

static volatile sig_atomic_t abort_code;

static void alarm_rang(int signal)
{
    (void)signal;
    _exit(abort_code);
}

/* MPI's ends may stall (a lock held by the thread that hangs, a dead daemon, a rank that does not
 * come): the alarm ends us then. */
static void set_alarm(int code)
{
    struct sigaction act = {.sa_handler = alarm_rang};
    sigset_t set;
    abort_code = code;
    sigaction(SIGALRM, &act, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    alarm(5);
}

/* Our message is out. What Open MPI says in this process about its end (the block "MPI_ABORT was
 * invoked", ORTE_ERROR_LOG) tells its reader nothing more; mpirun, where there is one, still says
 * its part. */
static void keep_mpi_quiet(void)
{
    int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere >= 0) dup2(nowhere, STDERR_FILENO);
}

static void abort_job(int code)
{
    int up = 0, down = 0;
    set_alarm(code);
    MPI_Initialized(&up);
    MPI_Finalized(&down);
    keep_mpi_quiet();
    if (up && !down) MPI_Abort(MPI_COMM_WORLD, code);
    _exit(code);
}

static void leave_job(int code)
{
    set_alarm(code);
    roll_call_quit();
    MPI_Finalize();
    _exit(code);
}

/* The process that we write to has ended. The launcher (mpirun, srun) knows which one died, and
 * ends us all; were we to end at once, it might hear of us first and name us instead of the dead.
 */
static void peer_gone(int number)
{
    sleep(2);
    signal(number, SIG_DFL);
    raise(number);
}

static void wait_for_the_dead(void)
{
    struct sigaction act = {.sa_handler = peer_gone};
    sigemptyset(&act.sa_mask);
    SYS_OK(sigaction(SIGPIPE, &act, NULL) == 0, NULL, "sigaction %d", SIGPIPE);
}

/* launch/run.sh keeps a request to stop until then: all ranks caught signals before they met in
 * MPI_Init. */
static void say_that_we_listen(const struct world *w)
{
    static const char text[] = "launch/run.sh: the ranks listen\n";
    if (w->rank == 0 && environment_text("DUET_LAUNCHED") &&
        write(STDERR_FILENO, text, sizeof text - 1) < 0)
        log_debug(
            "standard error is closed: launch/run.sh was not told that the ranks handle signals");
}

/* Every message has a tag below P2P_TAGS, which MPI 4.1, 9.1.2 promises. An MPI that has fewer
 * would fail at some message, hours later, on one rank. */
static void check_tags(struct problems *p)
{
    const int *most;
    int there;
    MPI_OK(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &most, &there));
    if (!there || *most < P2P_TAGS - 1)
        problems_add(p, NULL, 0,
                     "this MPI allows tags of messages up to %d only (MPI_TAG_UB), Duet needs %d: "
                     "choose another of its transports (Open MPI: mpirun --mca pml ob1), or build "
                     "with another MPI",
                     there ? *most : 0, P2P_TAGS - 1);
}

/* Hosts may have been given other variables. run.sh has warned of unknown ones. What MPI lacks it
 * lacks on all ranks. */
static void check_environment(const struct world *w)
{
    struct problems p = {0};
    check_tags(&p);
    const enum exit_code code = p.n > 0 ? EXIT_WORLD : EXIT_USER;
    if (p.n == 0) environment_check(&p);
    world_agree_problems(w, &p, code);
    if (w->rank == 0 && !environment_text("DUET_LAUNCHED")) environment_warn(stderr);
}

static void find_place(struct world *w)
{
    const struct roster_place at = roster_up(w->host);
    w->node = at.node;
    w->nodes = at.nodes;
    w->local_rank = at.local_rank;
    w->local_size = at.local_size;
}

/* die and log learn rank and host as soon as MPI has told them: failures after that name them. */
void world_up(struct world *w, int *argc, char ***argv)
{
    *w = (struct world){.size = 1, .sites = 1, .across = MPI_COMM_NULL};
    if (gethostname(w->host, sizeof w->host - 1) != 0) snprintf(w->host, sizeof w->host, "?");
    world_catch_file_limit(w->host);
    w->threads = mpi_up(argc, argv);
    MPI_OK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    MPI_OK(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN));
    MPI_OK(MPI_Comm_rank(MPI_COMM_WORLD, &w->rank));
    MPI_OK(MPI_Comm_size(MPI_COMM_WORLD, &w->size));
    die_identify(w->rank, w->size, w->host);
    die_set_abort(abort_job);
    die_set_leave(leave_job);
    log_set(LOG_INFO, w->rank);
    if (w->size > 1) wait_for_the_dead();
    w->comm = MPI_COMM_WORLD;
    find_place(w);
    descriptors_room(w->size - w->local_size); /* raises the limit; connections look again */
    roll_call_up();
    check_environment(w);
    floor_settle(); /* all ranks have joined: they agreed on something since */
    say_that_we_listen(w);
}

/* From here on a site is the world of its ranks; `across` joins ranks of the same place in all
 * sites. */
void world_split_sites(struct world *w, int sites)
{
    INVARIANT(sites >= 1 && w->size % sites == 0 && w->sites == 1, "%d sites of %d ranks", sites,
              w->size);
    if (sites == 1) return;
    MPI_Comm job = w->comm;
    int each = w->size / sites;
    w->sites = sites;
    w->site = w->rank / each;
    w->first = w->site * each;
    w->across = mpi_split(job, w->rank % each, w->rank);
    w->comm = mpi_split(job, w->site, w->rank);
    w->rank -= w->first;
    w->size = each;
}

void world_down(struct world *w)
{
    watchdog_start(0);
    if (w->across != MPI_COMM_NULL) MPI_OK(MPI_Comm_free(&w->across));
    roll_call_down();
    roster_down();
    if (w->comm != MPI_COMM_WORLD) MPI_OK(MPI_Comm_free(&w->comm));
    mpi_down();
}

void world_wait(MPI_Request *requests, int n)
{
    struct nap nap = nap_begin();
    int done = 0;
    for (;;) {
        MPI_OK(MPI_Testall(n, requests, &done, MPI_STATUSES_IGNORE));
        if (done) break;
        if (nap_take(&nap)) die_waiting("%d open request%s", n, n == 1 ? "" : "s");
    }
    if (nap.slept) die_waiting(NULL);
}

static int world_reduce(const struct world *w, int value, MPI_Op op)
{
    MPI_Request request;
    int result = 0;
    MPI_OK(MPI_Iallreduce(&value, &result, 1, MPI_INT, op, w->comm, &request));
    world_wait(&request, 1);
    return result;
}

bool world_all(const struct world *w, bool ok)
{
    return world_reduce(w, ok, MPI_MIN) != 0;
}
bool world_any(const struct world *w, bool yes)
{
    return world_reduce(w, yes, MPI_MAX) != 0;
}

void world_agree_problems(const struct world *w, struct problems *p, enum exit_code code)
{
    int speaker = world_reduce(w, p->n > 0 ? w->first + w->rank : INT_MAX, MPI_MIN);
    if (speaker == INT_MAX) return;
    bool everywhere = world_all(w, p->n > 0);
    if (!everywhere && p->n > 0) problems_call(p, w->first + w->rank, w->host);
    problems_end(p, speaker, code);
}

void world_heed_first(const struct world *w, struct problems *p, enum exit_code code)
{
    int any = p->n > 0;
    MPI_Request request;
    MPI_OK(MPI_Ibcast(&any, 1, MPI_INT, 0, w->comm, &request));
    world_wait(&request, 1);
    if (any) world_agree_problems(w, p, code);
}
