/* duet bench reduce: one array summed (or gathered) over all ranks in several ways in turn: on
 * which path, and how rounded between nodes. Beside what each takes and sends: what the formulas of
 * comm/reduce.h say crosses the busiest link. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/reduce.h"
#include "trainer/bench/bench.h"

static const struct way {
    const char *name;
    enum reduce_path path;
    enum codec wire;
    bool gather; /* of bf16 */
} ways[] = {
    {"flat", REDUCE_FLAT, CODEC_FP32, false},
    {"nodes", REDUCE_NODES, CODEC_FP32, false},
    {"flat-bf16", REDUCE_FLAT, CODEC_BF16, false},
    {"nodes-bf16", REDUCE_NODES, CODEC_BF16, false},
    {"flat-int8", REDUCE_FLAT, CODEC_INT8, false},
    {"nodes-int8", REDUCE_NODES, CODEC_INT8, false},
    {"gather-flat", REDUCE_FLAT, CODEC_FP32, true},
    {"gather-nodes", REDUCE_NODES, CODEC_FP32, true},
};
enum { WAYS = sizeof ways / sizeof *ways, REAL_BYTES = 2 };

struct summed_array {
    const struct world *w;
    size_t n, *count, *offset;
    int *node; /* of each rank, real or told */
    int nodes;
    float *in, *out, *right; /* right: my slice as the first way gave it */
};

struct reduce_trial {
    const struct way *way;
    struct reduce_form form;
    struct reduce *r;
    float *scratch, *residual;
    double busiest, total; /* bytes that should cross: the busiest link one way, all links */
    struct readings seconds, link, gain;
    double sent;
    bool same; /* bits as the first way gave them */
};

/* ---- what is asked for ---- */

/* Is the way in the list? NULL: all are. */
static bool is_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == n && strncmp(at, name, n) == 0) return true;
    return list == NULL;
}

/* All unknown names are reported, each with the nearest known one. */
void bench_reduce_check(const struct bench_options *o, const struct world *w, struct problems *p)
{
    const char *names[WAYS];
    for (int i = 0; i < WAYS; i++) names[i] = ways[i].name;
    for (const char *at = o->ways; at && *at; at += strcspn(at, ","), at += *at == ',') {
        char name[32];
        bool known = false;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
        for (int i = 0; i < WAYS; i++) known |= strcmp(name, names[i]) == 0;
        const char *near = nearest_name(name, names, WAYS);
        if (!known)
            problems_add(p, NULL, 0, "--ways: unknown way %s%s%s%s", name,
                         near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    if (o->node_ranks > 0 && w->size % o->node_ranks)
        problems_add(p, NULL, 0, "--node-ranks: %d does not divide %d ranks", o->node_ranks,
                     w->size);
}

/* ---- the array ---- */

static double over_ranks(const struct world *w, double x, MPI_Op op)
{
    MPI_Request request;
    double all;
    MPI_OK(MPI_Iallreduce(&x, &all, 1, MPI_DOUBLE, op, w->comm, &request));
    world_wait(&request, 1);
    watchdog_feed();
    return all;
}

/* Numbers with full mantissas, different on each rank: an order that differs shows in the sum. */
static void array_make(struct summed_array *a, const struct bench_options *o, const struct world *w)
{
    size_t R = (size_t)w->size;
    MPI_Request request;
    int mine = o->node_ranks > 0 ? w->rank / o->node_ranks : w->node;
    *a = (struct summed_array){.w = w, .n = ((size_t)o->mib << 18) / R * R};
    a->count = memory_take(R, sizeof *a->count, "slices");
    a->offset = memory_take(R, sizeof *a->offset, "slices");
    a->node = memory_take(R, sizeof *a->node, "nodes");
    a->in = memory_take(a->n, sizeof *a->in, "an array");
    a->out = memory_take(a->n / R, sizeof *a->out, "a slice");
    a->right = memory_take(a->n / R, sizeof *a->right, "a slice");
    MPI_OK(MPI_Iallgather(&mine, 1, MPI_INT, a->node, 1, MPI_INT, w->comm, &request));
    world_wait(&request, 1);
    for (size_t i = 0; i < R; i++) {
        a->count[i] = a->n / R, a->offset[i] = a->n / R * i;
        if (a->node[i] >= a->nodes) a->nodes = a->node[i] + 1;
    }
    for (size_t i = 0; i < a->n; i++)
        a->in[i] = 1.0f / (float)((i * 7 + (size_t)w->rank * 11) % 1000 + 1);
}

static void array_free(struct summed_array *a)
{
    free(a->count);
    free(a->offset);
    free(a->node);
    free(a->in);
    free(a->out);
    free(a->right);
}

/* ---- what should cross ---- */

static double sends(const struct summed_array *a, const struct way *way, struct reduce_form f,
                    int from, int to)
{
    f.me = from;
    return (double)(way->gather ? reduce_gather_sends_to(&f, a->count, REAL_BYTES, to)
                                : reduce_sends_to(&f, a->count, to));
}

/* By the function that training's planner uses, link by link. */
static void predict(struct reduce_trial *t, const struct summed_array *a)
{
    double *link = memory_take(2 * (size_t)a->nodes, sizeof *link, "links"); /* out, in of each */
    for (int i = 0; i < a->w->size; i++)
        for (int j = 0; j < a->w->size; j++) {
            double bytes = sends(a, t->way, t->form, i, j);
            link[2 * a->node[i]] += bytes;
            link[2 * a->node[j] + 1] += bytes;
            t->total += bytes;
        }
    for (int i = 0; i < 2 * a->nodes; i++)
        if (link[i] > t->busiest) t->busiest = link[i];
    free(link);
}

/* Everything that a reduction needs is allocated before it is timed. */
static struct reduce_trial *trial_new(const struct way *way, const struct summed_array *a)
{
    struct reduce_trial *t = memory_take(1, sizeof *t, "a trial");
    t->way = way;
    t->form = (struct reduce_form){.members = a->w->size,
                                   .me = a->w->rank,
                                   .inner = 1,
                                   .node = a->node,
                                   .path = way->path,
                                   .wire = way->wire};
    t->form.map = reduce_map_of(&t->form);
    t->r = reduce_new(&transport_mpi, a->w->comm, &t->form, 1);
    t->scratch = memory_take(reduce_scratch(&t->form, a->n), sizeof *t->scratch, "sums");
    t->residual = memory_take(reduce_residual(&t->form, a->n), sizeof *t->residual, "rounding");
    predict(t, a);
    return t;
}

static void trial_free(struct reduce_trial *t)
{
    reduce_free(t->r);
    free(t->scratch);
    free(t->residual);
    free(t);
}

/* ---- measuring ---- */

/* Bytes that have come and gone over this host's interfaces, but not to itself, less the headers of
 * Ethernet, IPv4 and TCP with time stamps: what the ranks sent, sent twice where packets were lost.
 */
static void link_bytes(double *received, double *sent)
{
    enum { HEADERS = 14 + 20 + 32 };
    char line[512], name[32];
    FILE *f = fopen("/proc/self/net/dev", "r");
    *received = *sent = 0;
    while (f && fgets(line, sizeof line, f)) {
        double in, out, in_packets, out_packets;
        int n = sscanf(line, " %31[^:]: %lf %lf %*s %*s %*s %*s %*s %*s %lf %lf", name, &in,
                       &in_packets, &out, &out_packets);
        if (n != 5 || strcmp(name, "lo") == 0) continue;
        *received += in - HEADERS * in_packets;
        *sent += out - HEADERS * out_packets;
    }
    if (f) fclose(f);
}

/* Either the sum or the gather, as the way says. */
static void trial_once(struct reduce_trial *t, const struct summed_array *a)
{
    struct reduce_job job = {.out = a->out,
                             .in = a->in,
                             .count = a->count,
                             .offset = a->offset,
                             .scratch = t->scratch,
                             .residual = t->residual};
    if (t->way->gather)
        reduce_gather(t->r, a->in, a->count, a->offset, REAL_BYTES);
    else
        reduce_wait(t->r, reduce_start(t->r, &job));
}

/* Seconds of the slowest rank. */
static double trial_run(struct reduce_trial *t, const struct summed_array *a)
{
    double in[2], out[2];
    over_ranks(a->w, 0, MPI_MAX); /* together */
    link_bytes(&in[0], &out[0]);
    double start = clock_now();
    trial_once(t, a);
    double seconds = over_ranks(a->w, clock_now() - start, MPI_MAX);
    link_bytes(&in[1], &out[1]);
    in[1] -= in[0], out[1] -= out[0];
    readings_add(&t->seconds, seconds);
    readings_add(&t->link, over_ranks(a->w, in[1] > out[1] ? in[1] : out[1], MPI_MAX));
    t->sent = over_ranks(a->w, (double)reduce_crossed(t->r), MPI_SUM);
    return seconds;
}

/* The first of a kind, with which the others are compared. */
static const struct reduce_trial *base_of(struct reduce_trial *const *t, int i)
{
    int k = 0;
    while (t[k]->way->gather != t[i]->way->gather) k++;
    return t[k];
}

/* Once before it counts; sums that are not rounded must have the same bits on all paths. */
static void trial_warm_up(struct reduce_trial *t, const struct summed_array *a, bool first)
{
    size_t bytes = a->count[a->w->rank] * sizeof *a->out;
    trial_once(t, a);
    reduce_crossed(t->r);
    if (first) memcpy(a->right, a->out, bytes);
    t->same = world_all(a->w, memcmp(a->right, a->out, bytes) == 0);
}

/* In turn, so that all see the same machine. */
static void trials_run(struct reduce_trial **t, int n, const struct summed_array *a, int steps)
{
    double seconds[WAYS];
    for (int i = 0; i < n; i++) trial_warm_up(t[i], a, i == 0);
    for (int step = 0; step < steps; step++)
        for (int i = 0; i < n; i++) {
            int k = 0;
            seconds[i] = trial_run(t[i], a);
            while (t[k] != base_of(t, i)) k++;
            readings_add(&t[i]->gain, seconds[k] / seconds[i]);
        }
}

/* ---- telling ---- */

static double gain_predicted(const struct reduce_trial *t, const struct reduce_trial *base)
{
    return t->busiest > 0 ? base->busiest / t->busiest : 1;
}

static json_t *trial_json(const struct reduce_trial *t, const struct reduce_trial *base)
{
    return json_pack("{s:s, s:o, s:I, s:I, s:I, s:o, s:f, s:o, s:o}", "way", t->way->name,
                     "same_bits", t->way->gather ? json_null() : json_boolean(t->same),
                     "bytes_predicted", (json_int_t)t->total, "bytes", (json_int_t)t->sent,
                     "busiest_link_bytes_predicted", (json_int_t)t->busiest, "busiest_link_bytes",
                     readings_json(&t->link), "gain_predicted", gain_predicted(t, base), "gain",
                     readings_json(&t->gain), "seconds", readings_json(&t->seconds));
}

static void trial_print(const struct reduce_trial *t, const struct reduce_trial *base)
{
    const double mib = 1 << 20;
    printf("%-12s | %9.2f %8.2f | %9.2f %8.2f | %8.3f | %9.2f %4.2f\n", t->way->name,
           t->total / mib, t->sent / mib, t->busiest / mib, readings_median(&t->link) / mib,
           readings_median(&t->seconds), gain_predicted(t, base), readings_median(&t->gain));
}

/* Each way is compared with the flat one of its kind. */
static void tell_trials(const struct bench_options *o, const struct summed_array *a,
                        struct reduce_trial **t, int n)
{
    json_t *results = json_array();
    if (o->text && a->w->rank == 0)
        printf(
            "%d ranks on %d nodes, %d MiB; MiB and seconds are medians of %d\n"
            "             |   between nodes    |    busiest link    |          |   x as fast\n"
            "             | predicted     sent | predicted  counted |  seconds | predicted   is\n",
            a->w->size, a->nodes, o->mib, o->steps);
    for (int i = 0; i < n; i++) {
        if (o->text && a->w->rank == 0) trial_print(t[i], base_of(t, i));
        json_array_append_new(results, trial_json(t[i], base_of(t, i)));
    }
    json_t *out =
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:o}", "bench", o->args[0], "ranks", a->w->size,
                  "nodes", a->nodes, "mib", o->mib, "steps", o->steps, "results", results);
    if (o->text)
        json_decref(out);
    else
        bench_print(a->w, out);
}

/* The ways alternate, round by round, so that all see the same machine. */
void bench_reduce(const struct bench_options *o, const struct world *w)
{
    struct summed_array a;
    struct reduce_trial *t[WAYS];
    int n = 0;
    array_make(&a, o, w);
    for (int i = 0; i < WAYS; i++)
        if (is_listed(o->ways, ways[i].name)) t[n++] = trial_new(&ways[i], &a);
    trials_run(t, n, &a, o->steps);
    tell_trials(o, &a, t, n);
    for (int i = 0; i < n; i++) trial_free(t[i]);
    array_free(&a);
}
