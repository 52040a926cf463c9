/* duet bench pipeline: every schedule on the paced device (pipeline/paced.h), with real messages between stages and real
 * exchanges between the ranks of a stage, beside what the simulator and the published formula say.
 *
 * For each length P in turn the first P * members ranks work, the others sleep. Schedules take turns, so that a
 * busy machine slows all alike. The model is the same for all of them: P stages of equal work, or 2P chunks of half as
 * much. Schedules with fused pairs run once more with the pair switched off (its F, then its backward). */
#include <stdlib.h>
#include <string.h>
#include "pipeline/check.h"
#include "pipeline/paced.h"
#include "pipeline/simulate.h"
#include "trainer/bench/bench.h"

enum { MOST_LENGTHS = 16, MOST_TRIALS = 2 * PLAN_KINDS, OPS = PLAN_FB + 1, MESSAGE = 64 << 10 };
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

/* Which schedules a list names, as bits; NULL: all. */
static unsigned read_schedules(const char *text, struct problems *p)
{
    unsigned chosen = 0;
    if (!text) return ~0u;
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, ",");
        char name[32];
        enum plan_kind k;
        snprintf(name, sizeof name, "%.*s", (int)(n < 31 ? n : 31), at);
        if (plan_kind_find(name, &k) && k != PLAN_AUTO)
            chosen |= 1u << k;
        else
            problems_add(p, NULL, 0, "--schedules: %s is none", name);
        at += n + (at[n] == ',');
    }
    return chosen;
}

void bench_pipeline_check(const struct bench_options *o, int ranks, struct problems *p)
{
    int length[MOST_LENGTHS], n = read_lengths(o->stages, length), shortest = 1 << 30;
    if (n < 0)
        problems_add(p, NULL, 0, "--stages: %.40s is no list of at most %d lengths like 2,4,8",
                     o->stages, MOST_LENGTHS);
    for (int i = 0; i < n; i++) shortest = length[i] < shortest ? length[i] : shortest;
    if (n > 0 && shortest > ranks)
        problems_add(p, NULL, 0,
                     "--stages: %d stages need as many ranks, there %s %d: launch/run.sh -n %d",
                     shortest, ranks == 1 ? "is" : "are", ranks, shortest * o->members);
    if (read_schedules(o->schedules, p) == 0)
        problems_add(p, NULL, 0, "--schedules: none is named");
    if (o->micro_batches < 0 || o->micro_batches > 4096)
        problems_add(p, NULL, 0, "--micro-batches: %d is not in its range 0 to 4096",
                     o->micro_batches);
    if (o->members < 1 || o->members > 64)
        problems_add(p, NULL, 0, "--members: %d is not in its range 1 to 64", o->members);
    if (o->chunk_layers < 2 || o->chunk_layers > 128 || o->chunk_layers % 2)
        problems_add(p, NULL, 0, "--chunk-layers: %d is not an even number from 2 to 128",
                     o->chunk_layers);
    if (!(o->pass_ms > 0 && o->pass_ms <= 10000))
        problems_add(p, NULL, 0, "--pass-ms: %g is not in its range 0 to 10000", o->pass_ms);
    if (!(o->exchange >= 0 && o->exchange <= 100))
        problems_add(p, NULL, 0, "--exchange: %g is not in its range 0 to 100", o->exchange);
}

/* ---- one length ---- */

/* The ranks that work on one length, as this one sees them. */
struct length {
    int stages, members, micro_batches;
    MPI_Comm group, pipe, stage; /* all of them; one of each stage; those of one stage */
    int position;
    struct p2p *p2p;
    struct exchange *exchange; /* NULL: a stage is one rank */
};

static void length_up(struct length *l, int color, const struct world *w)
{
    MPI_OK(MPI_Comm_split(w->comm, color, w->rank, &l->group));
    if (color == MPI_UNDEFINED) return;
    MPI_OK(MPI_Comm_set_errhandler(l->group, MPI_ERRORS_RETURN));
    l->position = w->rank / l->members;
    MPI_OK(MPI_Comm_split(l->group, w->rank % l->members, w->rank, &l->pipe));
    MPI_OK(MPI_Comm_split(l->group, l->position, w->rank, &l->stage));
    l->p2p = p2p_new(l->pipe, ENGINE_OPEN);
    if (l->members > 1) l->exchange = exchange_new(l->stage, 2);
}

static void length_down(struct length *l)
{
    p2p_free(l->p2p);
    exchange_free(l->exchange);
    MPI_OK(MPI_Comm_free(&l->stage));
    MPI_OK(MPI_Comm_free(&l->pipe));
    MPI_OK(MPI_Comm_free(&l->group));
}

/* A schedule on this length, the pair stepped in turn or not. */
struct trial {
    enum plan_kind kind;
    bool in_turn, fused; /* fused: it has pairs */
    struct plan plan;
    struct paced_costs *costs; /* [chunks] */
    struct paced_times times;  /* of a chunk */
    struct paced *paced;
    struct engine *engine;
    double step, worst, bubble, formula; /* simulated, by formula */
    struct readings measured, relative, idle, fraction, exposed, exposed_pairs, row[OPS];
};

static void *need(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    SYS_OK(memory != NULL, "free memory on this host", "no memory for a benchmark");
    return memory;
}

static double seconds_of_pair(const struct trial *s)
{
    return s->in_turn ? s->times.pair : s->times.f + s->times.bw;
}

static void simulate(struct trial *s)
{
    size_t n = (size_t)s->plan.chunks;
    double *each = need(4 * n, sizeof *each);
    const struct paced_times *t = &s->times;
    for (size_t i = 0; i < n; i++)
        each[i] = t->f, each[n + i] = t->b, each[2 * n + i] = t->w, each[3 * n + i] = t->bw;
    struct sim_costs costs = {.f = each, .b = each + n, .w = each + 2 * n, .bw = each + 3 * n};
    costs.pair = seconds_of_pair(s) / (t->f + t->bw);
    costs.pair_f = (s->in_turn ? t->pair_f : t->f) / seconds_of_pair(s);
    struct sim sim;
    sim_new(&sim, &s->plan);
    INVARIANT(sim_run(&sim, &s->plan, &costs), "the simulated plan hangs");
    s->step = sim.makespan, s->worst = sim.worst_idle, s->bubble = sim.bubble;
    sim_free(&sim);
    free(each);
    /* A formula's full backward: the one that the schedule runs, or, where it splits it, its two parts. */
    bool splits = s->kind != PLAN_SERIAL && s->kind != PLAN_1F1B;
    s->formula = plan_bubble_formula(
        s->kind, s->plan.stages,
        &(struct plan_costs){
            .f = t->f, .b = splits ? t->b : t->bw - t->w, .w = t->w, .fb = seconds_of_pair(s)});
    if (s->kind == PLAN_SERIAL) s->formula *= s->plan.micro_batches;
}

static bool has_pairs(const struct plan *plan)
{
    for (int r = 0; r < plan->stages; r++)
        for (int i = 0; i < plan->n_rows[r]; i++)
            if (plan->rows[r][i].op == PLAN_FB) return true;
    return false;
}

static struct trial *trial_new(const struct bench_options *o, const struct length *l,
                               enum plan_kind kind, bool in_turn)
{
    struct trial *s = need(1, sizeof *s);
    struct plan_facts facts;
    s->kind = kind, s->in_turn = in_turn;
    plan_make(&s->plan, kind, l->stages, l->micro_batches);
    INVARIANT(plan_check(&s->plan, NULL, &facts, NULL), "the plan is wrong");
    s->fused = has_pairs(&s->plan);
    s->costs = need((size_t)s->plan.chunks, sizeof *s->costs);
    double share = (double)l->stages / s->plan.chunks, each = 1e-3 * o->pass_ms * share;
    for (int c = 0; c < s->plan.chunks; c++)
        s->costs[c] = (struct paced_costs){.layers = (int)(o->chunk_layers * share),
                                           .f = each,
                                           .b = each,
                                           .w = each,
                                           .exchange_f = o->exchange * each,
                                           .exchange_b = o->exchange * each};
    s->times = paced_predict(&s->costs[0]);
    simulate(s);
    s->paced = paced_new(s->costs, l->exchange, MESSAGE);
    struct stage stage = paced_stage(s->paced, MESSAGE, facts.peak_slots, in_turn);
    s->engine = engine_new(l->p2p, l->position, l->stages, &stage, l->micro_batches);
    return s;
}

static void trial_free(struct trial *s)
{
    engine_free(s->engine);
    paced_free(s->paced);
    plan_free(&s->plan);
    free(s->costs);
    free(s);
}

static void reduce(double *x, int n, MPI_Op op, MPI_Comm comm)
{
    MPI_Request request;
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, x, n, MPI_DOUBLE, op, comm, &request));
    world_wait(&request, 1);
}

/* One step; returns its seconds, those of the slowest rank. */
static double trial_run(struct trial *s, const struct length *l)
{
    struct engine_times t;
    double together = 0;
    reduce(&together, 1, MPI_SUM, l->group);
    paced_start(s->paced);
    engine_run(s->engine, &s->plan, &t);
    double total = t.total, sum[3 * OPS + 1], rows = 0;
    reduce(&total, 1, MPI_MAX, l->group);
    for (int k = 0; k < OPS; k++) {
        sum[3 * k] = t.row[k].n, rows += t.row[k].n * t.row[k].seconds;
        sum[3 * k + 1] = t.row[k].n * t.row[k].seconds;
        sum[3 * k + 2] = t.row[k].n * t.row[k].waited;
    }
    double idle = total - rows, ranks = l->stages * l->members;
    sum[3 * OPS] = idle;
    reduce(&idle, 1, MPI_MAX, l->group);
    reduce(sum, 3 * OPS + 1, MPI_SUM, l->group);
    double waited = 0;
    for (int k = 0; k < OPS; k++) {
        if (sum[3 * k] > 0) readings_add(&s->row[k], sum[3 * k + 1] / sum[3 * k]);
        waited += sum[3 * k + 2];
    }
    readings_add(&s->measured, total);
    readings_add(&s->idle, idle);
    readings_add(&s->fraction, sum[3 * OPS] / ranks / total);
    readings_add(&s->exposed, waited / ranks / total);
    if (s->fused) readings_add(&s->exposed_pairs, sum[3 * PLAN_FB + 2] / sum[3 * PLAN_FB + 1]);
    return total;
}

/* ---- printing ---- */

static double milli(const struct readings *r)
{
    return r->n > 0 ? 1e3 * readings_median(r) : 0;
}

static void print_heading(const struct bench_options *o, const struct length *l)
{
    struct paced_costs c = {o->chunk_layers, o->pass_ms, o->pass_ms, o->pass_ms, 0, 0};
    c.exchange_f = c.exchange_b = o->exchange * o->pass_ms;
    struct paced_times t = paced_predict(&c);
    printf("\nP = %d, %d rank%s a stage, M = %d; a stage: F %.1f  B %.1f  W %.1f  B+W %.1f  F&B "
           "%.1f ms\n",
           l->stages, l->members, l->members > 1 ? "s" : "", l->micro_batches, t.f, t.b, t.w, t.bw,
           t.pair);
    printf("%-13s %9s %9s %6s | %6s %6s %6s %6s %6s | %7s %7s %7s | %6s %6s | %6s %6s | %6s\n",
           "plan", "step ms", "simul.", "ratio", "F", "B", "W", "B+W", "F&B", "idle ms", "simul.",
           "formula", "bubble", "simul.", "in F&B", "in all", "x 1f1b");
}

static void print_line(const struct trial *s)
{
    char name[32];
    snprintf(name, sizeof name, "%s%s", plan_kind_name(s->kind),
             s->fused && !s->in_turn ? ", off" : "");
    printf("%-13s %9.1f %9.1f %6.3f |", name, milli(&s->measured), 1e3 * s->step,
           milli(&s->measured) / (1e3 * s->step));
    for (int k = 0; k < OPS; k++) printf(" %6.2f", milli(&s->row[k]));
    printf(" | %7.1f %7.1f %7.1f | %5.1f%% %5.1f%% |", milli(&s->idle), 1e3 * s->worst,
           1e3 * s->formula, 0.1 * milli(&s->fraction), 100 * s->bubble);
    printf(" %5.1f%% %5.1f%% | %6.2f\n", 0.1 * milli(&s->exposed_pairs), 0.1 * milli(&s->exposed),
           1e-3 * milli(&s->relative));
}

static json_t *or_null(const struct readings *r)
{
    return r->n > 0 ? readings_json(r) : json_null();
}

static json_t *trial_json(const struct trial *s, const struct length *l)
{
    json_t *rows = json_object();
    for (int k = 0; k < OPS; k++)
        if (s->row[k].n > 0)
            json_object_set_new(rows, plan_op_name((enum plan_op)k), readings_json(&s->row[k]));
    const struct paced_times *t = &s->times;
    json_t *predicted = json_pack("{s:f, s:f, s:f, s:f, s:f}", "F", t->f, "B", t->b, "W", t->w,
                                  "BW", t->bw, "F+B", seconds_of_pair(s));
    json_t *out = json_pack(
        "{s:i, s:i, s:i, s:s, s:b, s:o, s:o}", "stages", l->stages, "ranks_per_stage", l->members,
        "micro_batches", l->micro_batches, "schedule", plan_kind_name(s->kind), "pair_in_turn",
        s->fused && s->in_turn, "row_seconds", rows, "row_seconds_given", predicted);
    json_object_set_new(out, "seconds_per_step", readings_json(&s->measured));
    json_object_set_new(out, "seconds_per_step_simulated", json_real(s->step));
    json_object_set_new(out, "worst_idle_seconds", readings_json(&s->idle));
    json_object_set_new(out, "worst_idle_seconds_simulated", json_real(s->worst));
    json_object_set_new(out, "worst_idle_seconds_formula", json_real(s->formula));
    json_object_set_new(out, "bubble_fraction", readings_json(&s->fraction));
    json_object_set_new(out, "bubble_fraction_simulated", json_real(s->bubble));
    json_object_set_new(out, "exposed_fraction_of_pairs", or_null(&s->exposed_pairs));
    json_object_set_new(out, "exposed_fraction", readings_json(&s->exposed));
    json_object_set_new(out, "speed_of_1f1b", or_null(&s->relative));
    return out;
}

/* ---- all of a length ---- */

/* Pairs in turn, then switched off; the schedule against which others are compared comes first. */
static int trials_new(struct trial **s, const struct bench_options *o, const struct length *l)
{
    static const enum plan_kind order[] = {PLAN_1F1B, PLAN_SERIAL, PLAN_ZB1P, PLAN_DUALPIPE,
                                           PLAN_DUALPIPEV};
    unsigned chosen = read_schedules(o->schedules, NULL);
    int n = 0;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        enum plan_kind k = order[i];
        if (!(chosen >> k & 1) || !plan_possible(k, l->stages, l->micro_batches, NULL)) continue;
        s[n++] = trial_new(o, l, k, true);
        if (s[n - 1]->fused) s[n] = trial_new(o, l, k, false), n++;
    }
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
            if (s[i]->kind == PLAN_SERIAL && step > 0) continue;
            double seconds = trial_run(s[i], l);
            if (s[i]->kind == PLAN_1F1B) first = seconds;
            if (first > 0) readings_add(&s[i]->relative, first / seconds);
        }
    }
    if (w->rank == 0 && o->text) print_heading(o, l);
    for (int i = 0; i < n; i++) {
        if (w->rank == 0 && o->text) print_line(s[i]);
        json_array_append_new(results, trial_json(s[i], l));
        trial_free(s[i]);
    }
    if (o->text) fflush(stdout);
}

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

/* Seconds of waiting for 64 MiB each way when the rank is away for `away` after posting, of the slower rank. */
static double overlap_once(struct exchange *x, unsigned char *buf, double away, MPI_Comm comm)
{
    size_t n = OVERLAP, me = (size_t)exchange_rank(x), count[2] = {n, n}, at[2] = {0, 0},
           out[2] = {n, n};
    struct timespec t = {.tv_sec = (time_t)away};
    count[me] = 0;
    t.tv_nsec = (long)((away - (double)t.tv_sec) * 1e9);
    double waited = 0;
    reduce(&waited, 1, MPI_SUM, comm);
    int op = exchange_all_to_all(x, 0, buf, count, at, buf, count, out);
    exchange_waited(x);
    if (away > 0) nanosleep(&t, NULL);
    exchange_wait(x, op);
    waited = exchange_waited(x);
    reduce(&waited, 1, MPI_MAX, comm);
    return waited;
}

/* The form of SYSTEMS 7.1: a pass that leaves the processor alone and takes twice as long as the exchange. */
static json_t *overlap(const struct bench_options *o, const struct world *w)
{
    struct readings alone = {0}, hidden = {0};
    MPI_Comm two;
    MPI_OK(MPI_Comm_split(w->comm, w->rank < 2 ? 0 : MPI_UNDEFINED, w->rank, &two));
    if (w->rank < 2) {
        unsigned char *buf = need(2, OVERLAP);
        memset(buf, 1, 2 * (size_t)OVERLAP);
        struct exchange *x = exchange_new(two, 1);
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
            printf("64 MiB each way: alone %.1f ms; under a pass twice as long %.1f %% hidden\n",
                   milli(&alone), 0.1 * milli(&hidden));
    }
    world_all(w, true);
    if (w->rank >= 2) return json_null();
    return json_pack("{s:I, s:o, s:o}", "bytes", (json_int_t)OVERLAP, "seconds_alone",
                     readings_json(&alone), "hidden", readings_json(&hidden));
}

void bench_pipeline(const struct bench_options *o, const struct world *w)
{
    int length[MOST_LENGTHS], n = read_lengths(o->stages, length);
    json_t *results = json_array(), *hidden = w->size > 1 ? overlap(o, w) : json_null();
    for (int i = 0; i < n; i++) bench_length(o, w, length[i], results);
    json_t *out =
        json_pack("{s:s, s:i, s:f, s:f, s:i, s:i, s:o, s:o}", "bench", o->what, "ranks", w->size,
                  "pass_ms", o->pass_ms, "exchange", o->exchange, "chunk_layers", o->chunk_layers,
                  "steps", o->steps, "overlap", hidden, "results", results);
    if (o->text)
        json_decref(out);
    else
        bench_print(w, out);
}
