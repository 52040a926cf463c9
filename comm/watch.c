/* The watchdog, and the signals that ask a job to stop. */
#include "comm/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/die.h"
#include "comm/base/floor.h"
#include "comm/base/log.h"
#include "comm/base/thread.h"
#include "comm/idle.h"
#include "comm/roll_call.h"

static struct {
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    double seconds; /* guarded by lock; 0 = end */
    _Atomic double fed;
} dog = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct timespec moment(double clock)
{
    struct timespec t = {.tv_sec = (time_t)clock};
    t.tv_nsec = (long)((clock - (double)t.tv_sec) * 1e9);
    return t;
}

/* Other ranks' roll calls are answered so often. */
static const double look_seconds = 0.5;
/* Who called speaks, and ends us. Should it not, we do. */
static const double after_call_seconds = 10;

_Noreturn static void end_standstill(double seconds, const char *who)
{
    die_place_of_main();
    die_fmt(
        __FILE__, __LINE__, EXIT_WORLD, "the watchdog ended a job that made no progress",
        who[0]
            ? "look at the ranks just named and at their hosts (top, dmesg); if the work is just "
              "slow, raise watchdog_s"
            : "look for the rank that waits for no other rank; if the work is just slow, raise "
              "watchdog_s",
        "no progress for %.1f s%s%s", seconds, who[0] ? "; " : "", who);
}

/* The lock is not held while MPI is called, which may take long. A roll call that gave way to a
 * lower rank's is repeated after a while. */
static void *watch(void *unused)
{
    (void)unused;
    double called = -after_call_seconds;
    char who[1024];
    pthread_mutex_lock(&dog.lock);
    while (dog.seconds > 0) {
        double seconds = dog.seconds, now = clock_now(), idle = now - atomic_load(&dog.fed);
        pthread_mutex_unlock(&dog.lock); /* watchdog_start need not wait for MPI */
        if (roll_call_answer(idle)) called = now;
        if (idle >= seconds && now - called >= after_call_seconds) {
            if (roll_call_ask(idle, who, sizeof who)) end_standstill(seconds, who);
            called = clock_now();
        }
        pthread_mutex_lock(&dog.lock);
        if (dog.seconds <= 0) break;
        double left = idle < seconds ? seconds - idle : look_seconds;
        struct timespec t = moment(now + (left < look_seconds ? left : look_seconds));
        pthread_cond_timedwait(&dog.wake, &dog.lock, &t);
    }
    pthread_mutex_unlock(&dog.lock);
    return NULL;
}

static void watchdog_set(double seconds)
{
    pthread_mutex_lock(&dog.lock);
    dog.seconds = seconds;
    pthread_cond_signal(&dog.wake);
    pthread_mutex_unlock(&dog.lock);
}

/* Called again when a recipe's watchdog_s becomes known; 0 ends the thread. */
void watchdog_start(double seconds)
{
    watchdog_feed();
    if (dog.running) watchdog_set(seconds);
    if (seconds <= 0 && dog.running) {
        pthread_join(dog.thread, NULL);
        pthread_cond_destroy(&dog.wake);
        dog.running = false;
    }
    if (seconds > 0 && !dog.running) {
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&dog.wake, &attr);
        pthread_condattr_destroy(&attr);
        dog.seconds = seconds;
        dog.running = true;
        thread_start(&dog.thread, watch, NULL);
    }
}

void watchdog_feed(void)
{
    atomic_store(&dog.fed, clock_now());
}

double watchdog_idle(void)
{
    return clock_now() - atomic_load(&dog.fed);
}

bool watchdog_long(double *said)
{
    enum { EVERY_S = 5 };
    double now = clock_now();
    atomic_store(&dog.fed, now);
    if (now < *said + EVERY_S) return false;
    *said = now;
    return true;
}

static volatile sig_atomic_t stop_asked;
static struct timespec asked_at; /* written before stop_asked, read after it, in the handler only */

/* Schedulers may deliver one request twice (to the batch shell and to the step): what comes within
 * a second of the first is the same request. */
static void stop_signal(int signal)
{
    int saved = errno;
    struct timespec now;
    (void)signal;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!stop_asked) {
        asked_at = now;
        stop_asked = 1;
    } else {
        double since = (double)(now.tv_sec - asked_at.tv_sec) +
                       1e-9 * (double)(now.tv_nsec - asked_at.tv_nsec);
        if (since >= 1) _exit(EXIT_STOPPED);
    }
    errno = saved;
}

/* nohup and a shell's "&" start us with signals that we are not to hear. */
static bool is_ignored(int number)
{
    struct sigaction before;
    return sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN;
}

/* SIGHUP and SIGINT that were ignored at the start (nohup, `&` in a script) stay ignored. */
static void catch_requests(void (*handler)(int signal))
{
    static const int caught[] = {SIGUSR1, SIGTERM, SIGHUP, SIGINT};
    enum { N = sizeof caught / sizeof *caught };
    struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&act.sa_mask);
    for (int i = 0; i < N; i++) sigaddset(&act.sa_mask, caught[i]);
    for (int i = 0; i < N; i++) {
        if ((caught[i] == SIGHUP || caught[i] == SIGINT) && is_ignored(caught[i])) continue;
        SYS_OK(sigaction(caught[i], &act, NULL) == 0, NULL, "sigaction %d", caught[i]);
    }
}

void world_catch_signals(void)
{
    catch_requests(stop_signal);
}

static bool first_of_job; /* as far as who started us says */

static void end_signal(int signal)
{
    static const char text[] =
        "stopped on request before the end: nothing is saved, run it again\n";
    (void)signal;
    ssize_t said = first_of_job ? write(STDERR_FILENO, text, sizeof text - 1) : 0;
    (void)said;
    _exit(EXIT_STOPPED);
}

void world_end_on_signals(void)
{
    static const char *const told[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
    first_of_job = true;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        const char *rank = getenv(told[i]);
        if (rank && strcmp(rank, "0") != 0) first_of_job = false;
    }
    catch_requests(end_signal);
}

/* Each write of ours brings another one: never a second request. */
static void reader_gone(int signal)
{
    int saved = errno;
    (void)signal;
    if (!stop_asked) {
        clock_gettime(CLOCK_MONOTONIC, &asked_at);
        stop_asked = 1;
    }
    errno = saved;
}

void world_catch_lost_reader(void)
{
    struct sigaction before, act = {.sa_handler = reader_gone, .sa_flags = SA_RESTART};
    sigemptyset(&act.sa_mask);
    if (sigaction(SIGPIPE, NULL, &before) == 0 && before.sa_handler == SIG_IGN) return;
    SYS_OK(sigaction(SIGPIPE, &act, NULL) == 0, NULL, "sigaction %d", SIGPIPE);
}

int world_stop_requested(void)
{
    return stop_asked;
}

/* Written by the handler, so made before it. */
static char file_limit_text[512];
static size_t file_limit_bytes;

static void file_limit_signal(int signal)
{
    (void)signal;
    if (!floor_take()) {
        sleep(6); /* who spoke ends the job */
        _exit(EXIT_WORLD);
    }
    if (write(STDERR_FILENO, file_limit_text, file_limit_bytes) < 0) _exit(EXIT_WORLD);
    floor_spoken();
    _exit(EXIT_WORLD);
}

/* The text is formatted now: a signal handler may only write it. */
void world_catch_file_limit(const char *host)
{
    struct rlimit most;
    if (getrlimit(RLIMIT_FSIZE, &most) != 0 || most.rlim_cur == RLIM_INFINITY) return;
    int n =
        snprintf(file_limit_text, sizeof file_limit_text,
                 "a rank on %s: a file has reached the limit of this process\n"
                 "  what: no file may be larger than %llu KiB (ulimit -f)\n"
                 "  fix:  raise the limit where the job is started (ulimit -f unlimited); the "
                 "checkpoints saved so far are intact: resume a training run with --resume auto\n",
                 host, (unsigned long long)most.rlim_cur / 1024);
    struct sigaction act = {.sa_handler = file_limit_signal};
    file_limit_bytes = (size_t)n < sizeof file_limit_text ? (size_t)n : sizeof file_limit_text - 1;
    sigemptyset(&act.sa_mask);
    SYS_OK(sigaction(SIGXFSZ, &act, NULL) == 0, NULL, "sigaction %d", SIGXFSZ);
}
