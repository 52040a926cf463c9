/* A rank that fails names itself and takes the job with it (P8): this test starts itself under
 * mpirun, lets one rank fail in several ways, and reads exit code, message and time. */
#define _GNU_SOURCE /* unshare */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/arena.h"
#include "comm/base/descriptors.h"
#include "comm/base/log.h"
#include "comm/base/problems.h"
#include "comm/base/thread.h"
#include "comm/coll.h"
#include "comm/p2p.h"
#include "comm/world.h"
#include "tests/support/check_unit.h"

static const char *self;

/* --- what the ranks do: rank 1 fails, rank 0 waits for it --- */

static void fail_alone(struct world *w)
{
    die_place("reading shard %d", w->rank);
    if (w->rank == 1) SYS_OK(w->size == 0, "restore the file", "it is %s", "gone");
    world_all(w, true);
}

static void be_killed(struct world *w)
{
    struct p2p *p = p2p_new(&transport_mpi, w->comm, 2);
    int x;
    if (w->rank == 1) raise(SIGKILL);
    p2p_wait(p, p2p_recv(p, 1, 7, &x, sizeof x));
}

static void see_mistakes(struct world *w)
{
    struct problems p = {0};
    if (w->rank == 1) problems_add(&p, "data.jsonl", 3, "no answer");
    if (w->rank == 1) problems_add(&p, "data.jsonl", 9, "not JSON");
    world_agree_problems(w, &p, EXIT_USER);
}

static void hang(struct world *w)
{
    struct p2p *p = p2p_new(&transport_mpi, w->comm, 2);
    int x;
    die_place("decoding tick %d", 12);
    if (w->rank == 0) watchdog_start(0.3);
    p2p_wait(p, p2p_recv(p, 1 - w->rank, 7, &x, sizeof x));
}

/* As where a link is not there: nothing comes from rank 1. */
static void connect_in_vain(struct world *w)
{
    const int other = 1 - w->rank;
    if (w->rank == 0) watchdog_start(0.3);
    if (w->rank == 1) watchdog_start(60);
    p2p_new_near(&transport_mpi, w->comm, &(struct peers){&other, w->rank == 0}, 2);
    world_all(w, true);
}

static void write_to_a_stranger(struct world *w)
{
    struct p2p *p = p2p_new_near(&transport_mpi, w->comm, &(struct peers){NULL, 0}, 2);
    int x = 0;
    world_all(w, true);
    if (w->rank == 1) p2p_wait(p, p2p_send(p, 0, 7, &x, sizeof x));
    world_all(w, true);
}

/* Both have a watchdog; only rank 0's can speak. */
static void stand_still(struct world *w)
{
    if (w->rank == 0) watchdog_start(0.5);
    if (w->rank == 1) watchdog_start(60);
    world_all(w, true);
    if (w->rank == 1) raise(SIGSTOP);
    world_all(w, true);
}

static void think_for_ever(struct world *w)
{
    struct timespec t = {.tv_sec = 60};
    die_place("thinking about %d", 42);
    if (w->rank == 0) watchdog_start(0.5);
    if (w->rank == 1) watchdog_start(60);
    world_all(w, true);
    if (w->rank == 1) nanosleep(&t, NULL);
    world_all(w, true);
}

static void send_too_little(struct world *w)
{
    struct p2p *p = p2p_new(&transport_mpi, w->comm, 2);
    char x[16] = {0};
    if (w->rank == 1)
        p2p_wait(p, p2p_recv(p, 0, 7, x, 16));
    else
        p2p_wait(p, p2p_send(p, 1, 7, x, 8));
    world_all(w, true);
}

static void stop_twice(struct world *w)
{
    struct timespec t = {.tv_sec = 1, .tv_nsec = 50000000};
    world_catch_signals();
    raise(SIGUSR1);
    nanosleep(&t, NULL);
    raise(SIGUSR1);
    world_all(w, true);
    _exit(0);
}

/* --- all ranks fail at the same moment --- */

static size_t address_space(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%zu", &pages) != 1) _exit(9);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void limit_memory(size_t more)
{
    const rlim_t most = (rlim_t)(address_space() + more);
    if (setrlimit(RLIMIT_AS, &(struct rlimit){most, most}) != 0) _exit(9);
}

static void all_without_memory(struct world *w)
{
    struct arena a = {0};
    limit_memory((size_t)8 << 20);
    world_all(w, true);
    arena_back(&a, &device_host, (size_t)96 << 20);
}

static void *nothing(void *unused)
{
    return unused;
}

static void all_without_threads(struct world *w)
{
    pthread_t thread;
    limit_memory((size_t)1 << 20);
    world_all(w, true);
    for (;;) thread_start(&thread, nothing, NULL);
}

/* A rank that is connected over TCP, with room for its connections but not for files. */
static void short_of_descriptors(struct world *w)
{
    const rlim_t most = (rlim_t)(descriptors_open() + w->size - 1);
    world_all(w, true);
    if (w->rank == 1 && setrlimit(RLIMIT_NOFILE, &(struct rlimit){most, most}) != 0) _exit(9);
    p2p_new(&transport_mpi, w->comm, 2);
}

/* Each in another way. */
static void all_for_other_reasons(struct world *w)
{
    world_all(w, true);
    if (w->rank % 2) SYS_OK(w->size == 0, "mend it", "an odd rank's reason");
    SYS_OK(w->rank < 0, "mend it", "an even rank's reason");
}

static const struct failure {
    const char *name;
    void (*body)(struct world *w);
    int code;             /* of mpirun; 128 + signal for a killed rank */
    const char *words[4]; /* all of them must be said */
} failures[] = {
    {"fail_alone",
     fail_alone,
     EXIT_WORLD,
     {"rank 1/2 on ", ", while reading shard 1\n",
      "  why:  it is gone\n  fix:  restore the file\n"}},
    {"be_killed", be_killed, 128 + SIGKILL, {"rank 1 with PID", "signal 9"}},
    {"see_mistakes",
     see_mistakes,
     EXIT_USER,
     {"rank 1 on ", ": data.jsonl:3: no answer\nrank 1 on ",
      ": data.jsonl:9: not JSON\n2 problems\n"}},
    {"hang",
     hang,
     EXIT_WORLD,
     {"rank 0/2 on ",
      "while decoding tick 12, waiting for tag 7 from rank 1 of the pipeline, 4 bytes",
      "no progress for 0.3 s"}},
    {"connect_in_vain",
     connect_in_vain,
     EXIT_WORLD,
     {"rank 0/2 on ", "waiting for the connection with rank 1", "no progress for 0.3 s"}},
    {"write_to_a_stranger",
     write_to_a_stranger,
     EXIT_BUG,
     {"rank 1/2 on ", "rank 0 is no peer of this one"}},
    {"stand_still",
     stand_still,
     EXIT_WORLD,
     {"rank 0/2 on ", "; rank 1 on ", " answers nobody: stopped, or its host or link hangs"}},
    {"think_for_ever",
     think_for_ever,
     EXIT_WORLD,
     {"; rank 1 on ", " (while thinking about 42) waits for no other rank"}},
    {"send_too_little",
     send_too_little,
     EXIT_BUG,
     {"rank 1/2 on ", "tag 7 from rank 0: received 8 bytes, expected 16"}},
    {"stop_twice", stop_twice, EXIT_STOPPED, {"85"}},
    {"all_without_memory", all_without_memory, EXIT_WORLD, {"no room for 96.0 MiB"}},
    {"all_without_threads", all_without_threads, EXIT_WORLD, {"cannot start a thread: "}},
    {"short_of_descriptors",
     short_of_descriptors,
     EXIT_WORLD,
     {"connections with ", " more ranks, each a file descriptor", " more are needed, but ",
      "ulimit -n 65536"}},
    {"all_for_other_reasons", all_for_other_reasons, EXIT_WORLD, {"rank's reason"}},
};
enum { N_FAILURES = sizeof failures / sizeof *failures };

/* Failures of connections, which ranks of one host do without. */
static bool of_own_hosts(const char *name)
{
    return strstr(name, "descriptors") || strstr(name, "in_vain");
}

/* One by itself: its name is another, and it has no memory in common with others. */
static void be_a_host(void)
{
    char name[32];
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    int n = snprintf(name, sizeof name, "host-%s", rank ? rank : "");
    if (unshare(CLONE_NEWUTS) != 0 || sethostname(name, (size_t)n) != 0) _exit(8);
    setenv("OMPI_MCA_btl", "tcp,self", 1);
}

static int rank_main(const char *name, int argc, char **argv)
{
    struct world w;
    if (of_own_hosts(name)) be_a_host();
    world_up(&w, &argc, &argv);
    for (int i = 0; i < N_FAILURES; i++)
        if (strcmp(failures[i].name, name) == 0) failures[i].body(&w);
    return 0;
}

/* --- what is seen of it --- */

/* Few ranks are connected all with all by the sums of the start. */
static int ranks_of(const char *name)
{
    if (strstr(name, "descriptors")) return 8;
    return strncmp(name, "all_", 4) == 0 ? 4 : 2;
}

START_TEST(speaks_once_and_ends)
{
    const struct failure *f = &failures[_i];
    char command[1024], text[65536];
    if (!MEMORY_LIMITS && strstr(f->name, "_without_")) {
        printf("%s: left out, memory cannot be limited under AddressSanitizer\n", f->name);
        return;
    }
    if (geteuid() != 0 && of_own_hosts(f->name)) {
        printf("%s: left out, only root can name hosts\n", f->name);
        return;
    }
    snprintf(command, sizeof command,
             "mpirun --allow-run-as-root --oversubscribe --bind-to none --timeout 30 "
             "--mca mpi_yield_when_idle 1 --mca odls_base_sigkill_timeout 0 -np %d %s %s 2>&1",
             ranks_of(f->name), self, f->name);
    double start = clock_now();
    FILE *out = popen(command, "r");
    ck_assert_ptr_nonnull(out);
    size_t n = fread(text, 1, sizeof text - 1, out);
    text[n] = 0;
    int status = pclose(out);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == f->code, "%s: status %x\n%s", f->name,
                  (unsigned)status, text);
    for (int i = 0; i < 4 && f->words[i]; i++)
        ck_assert_msg(strstr(text, f->words[i]) != NULL, "%s: not said: %s\n%s", f->name,
                      f->words[i], text);
    const char *what = strstr(text, "  what: ");
    ck_assert_msg(!what || !strstr(what + 1, "  what: "), "%s: said twice\n%s", f->name, text);
    ck_assert_msg(clock_now() - start < 10, "%s: took %.1f s", f->name, clock_now() - start);
}
END_TEST

#define TESTS(X) X(speaks_once_and_ends, .to = N_FAILURES)

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 2) return rank_main(argv[1], argc, argv);
    return RUN_UNIT_TESTS("rank_dies", .timeout_s = 40);
}
