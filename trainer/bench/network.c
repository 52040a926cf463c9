/* duet bench network: what messages between hosts reach. The first rank of each host takes part
 * (all ranks when they share one host), the others sleep.
 *
 * Pairs are measured in the rounds of a tournament, all pairs of a round at once; of many hosts
 * only 16 rounds, so that it stays within seconds. What then seems slow is measured again, up to
 * three times, with no other messages of the job on the network, and the best reading counts: a
 * machine with other things to do does not make a link look slow. Finally an all-reduce of all
 * (comm/coll). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/coll.h"
#include "trainer/bench/bench.h"
#include "trainer/bench/links.h"
#include "trainer/config/cluster.h"

enum { PIECE = 2 << 20, WINDOW = 4, TAG = 7, MOST_AGAIN = 24, MOST_TIMES = 3, PINGS = 50 };
static const size_t SMALLEST = (size_t)256 << 10, LARGEST = (size_t)64 << 20;
static const double PING_SECONDS = 0.02; /* for all of them */
static const double LONG_ENOUGH =
    0.025; /* of one transfer: many times a shaper's burst, or a scheduler's turn */

struct net {
    const struct world *w;
    MPI_Comm comm; /* of the ends */
    int me, n, tries;
    unsigned char *buf; /* LARGEST bytes, sent and received */
    struct link mine[MOST_ROUNDS];
    int n_mine;
    double sent; /* bytes */
};

static void together(const struct net *x)
{
    MPI_Request request;
    MPI_OK(MPI_Ibarrier(x->comm, &request));
    world_wait(&request, 1);
    watchdog_feed();
}

/* ---- one link: asks and answers ---- */

/* Windows of pieces, as p2p.c sends them. */
static void transfer(const struct net *x, int peer, size_t bytes, bool send)
{
    for (size_t at = 0; at < bytes;) {
        MPI_Request request[WINDOW];
        int n = 0;
        for (; n < WINDOW && at < bytes; n++) {
            size_t piece = bytes - at < PIECE ? bytes - at : PIECE;
            if (send)
                MPI_OK(
                    MPI_Isend(x->buf + at, (int)piece, MPI_BYTE, peer, TAG, x->comm, &request[n]));
            else
                MPI_OK(
                    MPI_Irecv(x->buf + at, (int)piece, MPI_BYTE, peer, TAG, x->comm, &request[n]));
            at += piece;
        }
        MPI_OK(MPI_Waitall(n, request, MPI_STATUSES_IGNORE));
    }
}

/* Seconds from the first byte sent to the word that the last one has come; bytes 0: there and back
 * of 8 bytes. */
static double ask(struct net *x, int peer, int64_t bytes)
{
    double start = clock_now();
    MPI_OK(MPI_Send(&bytes, 1, MPI_INT64_T, peer, TAG, x->comm));
    if (bytes < 0) return 0;
    transfer(x, peer, (size_t)bytes, true);
    MPI_OK(MPI_Recv(&bytes, 1, MPI_INT64_T, peer, TAG, x->comm, MPI_STATUS_IGNORE));
    x->sent += (double)bytes;
    watchdog_feed();
    return clock_now() - start;
}

/* The passive side of a pair: receives what is announced and confirms it; -1 ends the round. */
static void answer(struct net *x, int peer)
{
    for (;;) {
        int64_t bytes;
        MPI_OK(MPI_Recv(&bytes, 1, MPI_INT64_T, peer, TAG, x->comm, MPI_STATUS_IGNORE));
        if (bytes < 0) return;
        transfer(x, peer, (size_t)bytes, false);
        MPI_OK(MPI_Send(&bytes, 1, MPI_INT64_T, peer, TAG, x->comm));
        x->sent += (double)bytes; /* came in: an interface counts it as well */
        watchdog_feed();
    }
}

static double there_and_back(struct net *x, int peer)
{
    double start = clock_now(), least = ask(x, peer, 0); /* the first also connects */
    for (int i = 0; i < PINGS && (i < 3 || clock_now() - start < PING_SECONDS); i++) {
        double t = ask(x, peer, 0);
        if (t < least) least = t;
    }
    return least;
}

/* A transfer that takes long enough, then the best of some like it: others on the machine or the
 * network only make it longer. */
static struct link measure(struct net *x, int peer)
{
    double ping = there_and_back(x, peer), seconds, best = 0;
    size_t bytes = SMALLEST;
    for (; (seconds = ask(x, peer, (int64_t)bytes)) < LONG_ENOUGH && bytes < LARGEST;) bytes *= 4;
    for (int i = 0; i < x->tries; i++) {
        double once = i == 0 ? seconds : ask(x, peer, (int64_t)bytes);
        double rate = (double)bytes / (once > 2 * ping ? once - ping : once);
        if (rate > best) best = rate;
    }
    ask(x, peer, -1);
    return (struct link){.from = x->me, .to = peer, .gbs = best / 1e9, .us = 1e6 * ping / 2};
}

/* ---- all links ---- */

/* Each way by itself; the lower end first. */
static void measure_pair(struct net *x, int peer)
{
    die_place("measuring messages with end %d of %d", peer, x->n);
    if (x->me > peer) answer(x, peer);
    x->mine[x->n_mine++] = measure(x, peer);
    if (x->me < peer) answer(x, peer);
    die_place(NULL);
}

static void measure_rounds(struct net *x)
{
    int all = rounds_all(x->n), rounds = all < MOST_ROUNDS ? all : MOST_ROUNDS;
    for (int k = 0; k < rounds; k++) {
        int peer = round_partner(x->n, k * all / rounds, x->me);
        if (peer >= 0) measure_pair(x, peer);
        together(x);
    }
}

/* On end 0, which alone judges and prints. */
static void collect(struct net *x, struct links *l)
{
    size_t room = (size_t)x->n * MOST_ROUNDS;
    struct link *all = memory_take(room, sizeof *all, "readings of links");
    int bytes = (int)sizeof x->mine;
    for (int i = x->n_mine; i < MOST_ROUNDS; i++) x->mine[i].from = -1;
    MPI_OK(MPI_Gather(x->mine, bytes, MPI_BYTE, all, bytes, MPI_BYTE, 0, x->comm));
    for (size_t i = 0; i < room && x->me == 0; i++)
        if (all[i].from >= 0) all[l->n_links++] = all[i];
    l->link = all;
}

/* The better reading counts; one that is not much better makes sure. */
static void link_again(struct link *k, double gbs)
{
    k->sure = gbs < 1.2 * k->gbs;
    if (gbs > k->gbs) k->gbs = gbs;
}

/* What seems slow once more, one link at a time. Returns how many they were. */
static int measure_again(struct net *x, struct links *l)
{
    struct link doubt[MOST_AGAIN] = {{0}};
    int of[MOST_AGAIN] = {0}, n = 0;
    if (x->me == 0) links_judge(l);
    for (int i = 0; i < l->n_links && n < MOST_AGAIN; i++)
        if (l->link[i].slow && !l->link[i].sure) of[n] = i, doubt[n++] = l->link[i];
    MPI_OK(MPI_Bcast(&n, 1, MPI_INT, 0, x->comm));
    MPI_OK(MPI_Bcast(doubt, (int)sizeof doubt, MPI_BYTE, 0, x->comm));
    for (int i = 0; i < n; i++) {
        if (x->me == doubt[i].from) doubt[i] = measure(x, doubt[i].to);
        if (x->me == doubt[i].to) answer(x, doubt[i].from);
        MPI_OK(MPI_Bcast(&doubt[i], (int)sizeof *doubt, MPI_BYTE, doubt[i].from, x->comm));
        together(x);
        if (x->me == 0) link_again(&l->link[of[i]], doubt[i].gbs);
    }
    if (x->me == 0) links_judge(l);
    return n;
}

/* ---- all-reduce ---- */

/* The time is the slowest rank's; the sum is checked. */
static double reduce_once(const struct net *x, float *buf, float *scratch, size_t n)
{
    double seconds, slowest;
    for (size_t i = 0; i < n; i++) buf[i] = (float)(x->me % 4);
    together(x);
    seconds = clock_now();
    coll_all_reduce(buf, n, 1, scratch, x->comm);
    seconds = clock_now() - seconds;
    MPI_OK(MPI_Allreduce(&seconds, &slowest, 1, MPI_DOUBLE, MPI_MAX, x->comm));
    float sum = (float)(x->n / 4 * 6 + x->n % 4 * (x->n % 4 - 1) / 2); /* small integers: exact */
    for (size_t i = 0; i < n; i++)
        SYS_OK(buf[i] == sum, "test the memory and the network of these hosts",
               "an all-reduce is wrong: %g instead of %g", (double)buf[i], (double)sum);
    return slowest;
}

/* Returns the bytes that were reduced; *seconds: all tries. */
static size_t measure_reduce(const struct net *x, struct readings *seconds)
{
    size_t n = SMALLEST, most = LARGEST / sizeof(float);
    float *scratch = memory_take(most + (size_t)x->n, sizeof *scratch, "an all-reduce");
    float *buf = (float *)(void *)x->buf;
    double once;
    while ((once = reduce_once(x, buf, scratch, n)) < 4 * LONG_ENOUGH && n < most) n *= 4;
    readings_add(seconds, once);
    for (int i = 1; i < x->tries; i++) readings_add(seconds, reduce_once(x, buf, scratch, n));
    free(scratch);
    return n * sizeof *buf;
}

/* ---- which interface ---- */

struct counter {
    char name[32];
    double bytes;
};
enum { MOST_INTERFACES = 64 };

/* In and out, as the kernel counts them in this host's network. */
static int read_counters(struct counter *c)
{
    FILE *f = fopen("/proc/self/net/dev", "r");
    char line[512];
    int n = 0;
    while (f && n < MOST_INTERFACES && fgets(line, sizeof line, f)) {
        double in, out;
        if (sscanf(line, " %31[^:]: %lf %*f %*f %*f %*f %*f %*f %*f %lf", c[n].name, &in, &out) ==
            3)
            c[n++].bytes = in + out;
    }
    if (f) fclose(f);
    return n;
}

/* The one that counted at least half of what was sent and received; messages that take none (shared
 * memory, RDMA) are not counted. */
static void interface_find(char *name, size_t size, const struct counter *before, int n_before,
                           double bytes)
{
    struct counter after[MOST_INTERFACES];
    int n = read_counters(after), best = -1;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n_before; k++)
            if (strcmp(after[i].name, before[k].name) == 0) after[i].bytes -= before[k].bytes;
    for (int i = 0; i < n; i++)
        if (after[i].bytes >= bytes / 2 && (best < 0 || after[i].bytes > after[best].bytes))
            best = i;
    snprintf(name, size, "%s", best < 0 ? "-" : after[best].name);
}

/* ---- putting together ---- */

static bool on_hosts(const struct world *w)
{
    return w->nodes > 1;
}

/* The interface is the one whose counters grew by what was sent. */
static void collect_ends(const struct net *x, struct links *l, const struct counter *before,
                         int n_before)
{
    struct end me = {.us = 0};
    if (on_hosts(x->w))
        snprintf(me.name, sizeof me.name, "%s", x->w->host);
    else
        snprintf(me.name, sizeof me.name, "rank-%d", x->w->rank);
    interface_find(me.interface, sizeof me.interface, before, n_before, x->sent);
    l->n = x->n;
    l->end = memory_take((size_t)l->n, sizeof *l->end, "hosts");
    MPI_OK(MPI_Gather(&me, (int)sizeof me, MPI_BYTE, l->end, (int)sizeof me, MPI_BYTE, 0, x->comm));
}

struct result {
    struct links links;
    struct readings seconds; /* of the all-reduce */
    size_t bytes;
    double all_reduce, expected; /* GB/s of an end */
    bool hosts;
    struct problems findings;
};

/* launch/preflight.sh reads these lines. */
static void print_text(const struct result *r)
{
    printf("messages between %d %s\n", r->links.n, r->hosts ? "hosts" : "ranks of one host");
    links_print(&r->links);
    printf("all-reduce of %.0f MiB: %.4g GB/s out of each", (double)r->bytes / 0x1p20,
           r->all_reduce);
    if (r->expected > 0) printf(" (the cluster file: %.4g)", r->expected);
    printf("\n");
    for (int i = 0; i < r->findings.n; i++) printf("slow: %s\n", r->findings.text[i]);
    if (r->findings.n == 0) printf("no slow links or hosts\n");
    fflush(stdout);
}

/* The same figures with their spread. */
static void print_json(const struct net *x, const struct result *r)
{
    json_t *found = json_array(), *out;
    for (int i = 0; i < r->findings.n; i++)
        json_array_append_new(found, json_string(r->findings.text[i]));
    out = json_pack("{s:s, s:s, s:i, s:o, s:{s:I, s:o, s:f}, s:f, s:o}", "bench", "network",
                    "between", r->hosts ? "hosts" : "ranks", "n", r->links.n, "messages",
                    links_json(&r->links), "all_reduce", "bytes", (json_int_t)r->bytes, "seconds",
                    readings_json(&r->seconds), "gb_per_second", r->all_reduce,
                    "expected_gb_per_second", r->expected, "findings", found);
    bench_print(x->w, out);
}

/* Slow readings are repeated: another process may have been the cause. */
static void net_run(struct net *x, struct result *r)
{
    struct counter before[MOST_INTERFACES];
    int n_before = read_counters(before);
    measure_rounds(x);
    collect(x, &r->links);
    collect_ends(x, &r->links, before, n_before);
    for (int i = 0; i < MOST_TIMES && measure_again(x, &r->links) > 0; i++) {
    }
    r->bytes = measure_reduce(x, &r->seconds);
    r->all_reduce =
        2e-9 * (x->n - 1) / x->n * (double)r->bytes / r->seconds.at[0]; /* reduce-scatter, gather */
    r->hosts = on_hosts(x->w);
}

/* The file of the first rank's host: others need not see the file. */
static double expected_rate(const struct bench_options *o, const struct world *w,
                            struct problems *p)
{
    struct cluster c;
    double gbs = 0;
    cluster_defaults(&c);
    if (w->rank == 0 && o->cluster && cluster_load(&c, o->cluster, p))
        gbs = on_hosts(w) ? c.between.gbs : c.inside.gbs;
    cluster_free(&c);
    return gbs;
}

void bench_network_check(const struct bench_options *o, const struct world *w, struct problems *p)
{
    if (w->size < 2)
        problems_add(p, NULL, 0,
                     "bench network needs at least two ranks: launch/run.sh --hostfile FILE -n "
                     "HOSTS, or launch/run.sh -n 2 for two ranks on this host");
    expected_rate(o, w, p);
}

/* One rank of each host takes part, the others wait; with a single host all its ranks do. */
void bench_network(const struct bench_options *o, const struct world *w)
{
    struct net x = {.w = w, .tries = o->steps};
    struct result r = {.bytes = 0};
    struct problems none = {0};
    bool takes_part = !on_hosts(w) || w->local_rank == 0;
    x.comm = mpi_split(w->comm, takes_part ? 0 : MPI_UNDEFINED, w->rank);
    if (takes_part) {
        MPI_OK(MPI_Comm_rank(x.comm, &x.me));
        MPI_OK(MPI_Comm_size(x.comm, &x.n));
        x.buf = memory_take(LARGEST, 1, "messages of 64 MiB");
        net_run(&x, &r);
        r.expected = expected_rate(o, w, &none);
        if (x.me == 0) links_findings(&r.links, r.expected, r.all_reduce, &r.findings);
        if (x.me == 0 && o->text) print_text(&r);
        if (x.me == 0 && !o->text) print_json(&x, &r);
        problems_free(&r.findings);
        free(r.links.end);
        free(r.links.link);
        free(x.buf);
        MPI_OK(MPI_Comm_free(&x.comm));
    }
    world_all(w, true); /* the others sleep here */
}
