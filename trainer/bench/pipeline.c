/* duet bench pipeline: every schedule on the paced device (pipeline/paced.h), with real messages
 * between stages and real exchanges between the ranks of a stage, beside what the simulator and the
 * published formula say.
 *
 * For each length P in turn the first P * members ranks work, the others sleep. Schedules take
 * turns, so that a busy machine slows all alike. Schedules with fused pairs run once more with the
 * pair switched off (its F, then its backward), and all but serial once with unpaired passes
 * interleaved, too. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "comm/base/problems.h"
#include "trainer/bench/trial.h"

enum { MOST_LENGTHS = 16, MOST_TRIALS = TURNS * PLAN_KINDS };
enum { OVERLAP = 64 << 20, OVERLAP_TRIES = 5 };

/* ---- what is asked for ---- */

/* The numbers of "2,4,8"; -1 when it is no such list. */
static int read_lengths(const char *text, int length[MOST_LENGTHS])
{
    int n = 0;
    for (const char *at = text; n < MOST_LENGTHS;) {
        char *end;
        long x = strtol(at, &end, 10);
        if (end == at || x < 1 || x > 1024) return -1;
        length[n++] = (int)x;
        if (*end == 0) return n;
        if (*end != ',') return -1;
        at = end + 1;
    }
    return -1;
}

/* Which schedules a list names, as bits; NULL: all. p NULL: it was read before. */
static unsigned read_schedules(const char *text, struct problems *p)
{
    unsigned chosen = 0;
    if (!text) return ~0u;
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, ",");
        char name[32];
        enum plan_kind k;
        snprintf(name, sizeof name, "%.*s", (int)(n < 31 ? n : 31), at);
        if (plan_kind_find(name, &k))
            chosen |= 1u << k;
        else if (p)
            problems_add(p, NULL, 0, "--schedules: unknown schedule %s", name);
        at += n + (at[n] == ',');
    }
    return chosen;
}

/* "1,1,2.5" into o->share; false when it is no such list. */
static bool read_shares(struct bench_options *o)
{
    const char *at = o->shares;
    for (o->n_shares = 0; at && o->n_shares < MOST_SHARES;) {
        char *end;
        double x = strtod(at, &end);
        if (end == at || !(x > 0 && x <= 1000)) return false;
        o->share[o->n_shares++] = x;
        if (*end == 0) return true;
        if (*end != ',') return false;
        at = end + 1;
    }
    return !at;
}

/* The shortest length must fit; longer ones are skipped. */
void bench_pipeline_check(struct bench_options *o, int ranks, struct problems *p)
{
    int length[MOST_LENGTHS], n = read_lengths(o->stages, length), shortest = 1 << 30;
    if (n < 0)
        problems_add(p, NULL, 0,
                     "--stages: %.40s is not a list of at most %d lengths such as 2,4,8", o->stages,
                     MOST_LENGTHS);
    for (int i = 0; i < n; i++) shortest = length[i] < shortest ? length[i] : shortest;
    if (n > 0 && shortest > ranks)
        problems_add(
            p, NULL, 0,
            "--stages: %d stages need that many ranks, but there %s %d: launch/run.sh -n %d",
            shortest, ranks == 1 ? "is" : "are", ranks, shortest * o->members);
    if (read_schedules(o->schedules, p) == 0)
        problems_add(p, NULL, 0, "--schedules: the list is empty");
    if (!read_shares(o))
        problems_add(p, NULL, 0,
                     "--shares: %.40s is not a list of at most %d costs such as 2,1,1,3", o->shares,
                     MOST_SHARES);
}

/* ---- one length ---- */

static void length_up(struct length *l, int color, const struct world *w)
{
    l->group = mpi_split(w->comm, color, w->rank);
    if (color == MPI_UNDEFINED) return;
    l->position = w->rank / l->members;
    l->pipe = mpi_split(l->group, w->rank % l->members, w->rank);
    l->stage = mpi_split(l->group, l->position, w->rank);
    l->p2p = p2p_new(&transport_mpi, l->pipe, ENGINE_OPEN);
    if (l->members > 1) l->exchange = exchange_new(&transport_mpi, l->stage, 2);
}

static void length_down(struct length *l)
{
    p2p_free(l->p2p);
    exchange_free(l->exchange);
    MPI_OK(MPI_Comm_free(&l->stage));
    MPI_OK(MPI_Comm_free(&l->pipe));
    MPI_OK(MPI_Comm_free(&l->group));
}

/* ---- all of a length ---- */

/* Pairs in turn, then switched off. Returns how many trials there are then. */
static int trials_of(struct trial **s, int n, const struct bench_options *o, const struct length *l,
                     enum plan_kind k)
{
    bool chosen = read_schedules(o->schedules, NULL) >> k & 1;
    if (!chosen || !plan_possible(k, l->stages, l->micro_batches, NULL)) return n;
    s[n++] = trial_new(o, l, k, TURNS_PAIRS);
    if (trial_fused(s[n - 1])) s[n] = trial_new(o, l, k, TURNS_OFF), n++;
    if (k != PLAN_SERIAL && o->exchange > 0) s[n] = trial_new(o, l, k, TURNS_ALL), n++;
    return n;
}

/* The schedule against which others are compared comes first. */
static int trials_new(struct trial **s, const struct bench_options *o, const struct length *l)
{
    const enum plan_kind first = PLAN_1F1B;
    int n = trials_of(s, 0, o, l, first);
    for (int k = 0; k < PLAN_KINDS; k++)
        if (k != (int)first) n = trials_of(s, n, o, l, (enum plan_kind)k);
    return n;
}

/* The serial plan is long and without surprises: once. */
static void length_run(const struct bench_options *o, const struct length *l, const struct world *w,
                       json_t *results)
{
    struct trial *s[MOST_TRIALS];
    int n = trials_new(s, o, l);
    for (int step = 0; step < o->steps; step++) {
        double first = 0;
        for (int i = 0; i < n; i++) {
            if (trial_kind(s[i]) == PLAN_SERIAL && step > 0) continue;
            double seconds = trial_run(s[i], l);
            if (trial_kind(s[i]) == PLAN_1F1B && i == 0) first = seconds;
            if (first > 0) trial_compare(s[i], first / seconds);
        }
    }
    if (w->rank == 0 && o->text) trial_heading(o, l);
    for (int i = 0; i < n; i++) {
        if (w->rank == 0 && o->text) trial_print(s[i]);
        json_array_append_new(results, trial_json(s[i], l));
        trial_free(s[i]);
    }
    if (o->text) fflush(stdout);
}

/* Ranks that are left over wait in world_all. */
static void bench_length(const struct bench_options *o, const struct world *w, int stages,
                         json_t *results)
{
    struct length l = {.stages = stages, .members = o->members};
    if (stages > w->size) return;
    if (stages * l.members > w->size) l.members = 1;
    int least = o->micro_batches > 0 ? o->micro_batches : (5 * stages + 1) / 2;
    l.micro_batches =
        plan_micro_batches(stages % 2 ? PLAN_DUALPIPEV : PLAN_DUALPIPE, stages, least);
    bool works = w->rank < stages * l.members;
    length_up(&l, works ? 0 : MPI_UNDEFINED, w);
    if (works) {
        length_run(o, &l, w, results);
        length_down(&l);
    }
    world_all(w, true); /* the others sleep here */
}

/* ---- how much of one large exchange is hidden ---- */

static double slower(double seconds, MPI_Comm comm)
{
    MPI_Request request;
    double all;
    MPI_OK(MPI_Iallreduce(&seconds, &all, 1, MPI_DOUBLE, MPI_MAX, comm, &request));
    world_wait(&request, 1);
    return all;
}

/* Seconds of waiting for 64 MiB each way when the rank is away for `away` after posting, of the
 * slower rank. */
static double overlap_once(struct exchange *x, unsigned char *buf, double away, MPI_Comm comm)
{
    size_t n = OVERLAP, me = (size_t)exchange_rank(x), count[2] = {n, n}, at[2] = {0, 0},
           out[2] = {n, n};
    struct timespec t = {.tv_sec = (time_t)away};
    count[me] = 0;
    t.tv_nsec = (long)((away - (double)t.tv_sec) * 1e9);
    slower(0, comm); /* together */
    int op = exchange_all_to_all(x, 0, buf, count, at, buf, count, out);
    exchange_waited(x);
    if (away > 0) nanosleep(&t, NULL);
    exchange_wait(x, op);
    return slower(exchange_waited(x), comm);
}

/* What an exchange costs beside a pass: one that leaves the processor alone and takes twice as long
 * as the exchange. */
static json_t *overlap(const struct bench_options *o, const struct world *w)
{
    struct readings alone = {0}, hidden = {0};
    MPI_Comm two = mpi_split(w->comm, w->rank < 2 ? 0 : MPI_UNDEFINED, w->rank);
    if (w->rank < 2) {
        unsigned char *buf = malloc(2 * (size_t)OVERLAP);
        SYS_OK(buf, "free memory on this host", "no memory for an exchange of 64 MiB");
        memset(buf, 1, 2 * (size_t)OVERLAP);
        struct exchange *x = exchange_new(&transport_mpi, two, 1);
        overlap_once(x, buf, 0, two);
        for (int i = 0; i < OVERLAP_TRIES; i++) {
            double bare = overlap_once(x, buf, 0, two);
            readings_add(&alone, bare);
            readings_add(&hidden, 1 - overlap_once(x, buf, 2 * bare, two) / bare);
        }
        exchange_free(x);
        free(buf);
        MPI_OK(MPI_Comm_free(&two));
        if (w->rank == 0 && o->text)
            printf("64 MiB each way: %.1f ms alone; %.1f %% hidden behind a pass twice as long\n",
                   1e3 * readings_median(&alone), 100 * readings_median(&hidden));
    }
    world_all(w, true);
    if (w->rank >= 2) return json_null();
    return json_pack("{s:I, s:o, s:o}", "bytes", (json_int_t)OVERLAP, "seconds_alone",
                     readings_json(&alone), "hidden", readings_json(&hidden));
}

/* First what a message hides behind a sleeping pass, then the schedules. */
void bench_pipeline(const struct bench_options *o, const struct world *w)
{
    int length[MOST_LENGTHS], n = read_lengths(o->stages, length);
    json_t *results = json_array(), *hidden = w->size > 1 ? overlap(o, w) : json_null();
    for (int i = 0; i < n; i++) bench_length(o, w, length[i], results);
    json_t *out =
        json_pack("{s:s, s:i, s:f, s:f, s:i, s:i, s:o, s:o}", "bench", o->args[0], "ranks", w->size,
                  "pass_ms", o->pass_ms, "exchange", o->exchange, "chunk_layers", o->chunk_layers,
                  "steps", o->steps, "overlap", hidden, "results", results);
    if (o->text)
        json_decref(out);
    else
        bench_print(w, out);
}
