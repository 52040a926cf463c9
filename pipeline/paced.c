#include "pipeline/paced.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "comm/base/log.h"
#include "comm/base/memory.h"

/* One step of a pass: when the pass's open exchange is complete, compute, post the next,
 * compute on. */
struct action {
    double before;   /* seconds of computing up to the exchange */
    double exchange; /* seconds on the wire; 0: none is posted */
    double after;
    bool last;
};

/* Step i of a pass: the one description from which the device runs and paced_predict counts. */
static struct action action_of(const struct paced_costs *c, enum plan_op op, int i)
{
    int halves = 2 * c->layers;
    double part = 1.0 / halves, backward = op == PLAN_BW ? c->b + c->w : c->b;
    bool alone = (op == PLAN_F ? c->exchange_f : c->exchange_b) <= 0;
    double all = op == PLAN_F ? c->f : op == PLAN_W ? c->w : backward;
    if (alone) return (struct action){.before = all, .last = true};
    if (op == PLAN_W) return (struct action){.before = part * c->w, .last = i == halves - 1};
    if (op == PLAN_F && i < halves)
        return (struct action){.before = part * c->f, .exchange = part * c->exchange_f};
    if (op == PLAN_F) return (struct action){.last = true};
    if (i == 0) return (struct action){.exchange = part * c->exchange_b};
    if (i < halves)
        return (struct action){.before = part * c->b,
                               .exchange = part * c->exchange_b,
                               .after = op == PLAN_BW ? part * c->w : 0};
    if (i == halves) return (struct action){.before = part * c->b, .last = op == PLAN_B};
    return (struct action){.before = part * c->w, .last = true};
}

/* ---- counting ---- */

struct pass_at {
    enum plan_op op;
    int i;
    double due; /* when the open exchange ends */
    bool done;
};

struct count {
    double now, wire; /* the wire is free from then on */
};

static void count_step(struct count *t, const struct paced_costs *c, struct pass_at *p)
{
    struct action a = action_of(c, p->op, p->i++);
    t->now = (p->due > t->now ? p->due : t->now) + a.before;
    if (a.exchange > 0) {
        t->wire = (t->wire > t->now ? t->wire : t->now) + a.exchange;
        p->due = t->wire;
    }
    t->now += a.after;
    p->done = a.last;
}

static double count_pass(const struct paced_costs *c, enum plan_op op)
{
    struct count t = {0};
    struct pass_at p = {.op = op};
    while (!p.done) count_step(&t, c, &p);
    return t.now;
}

/* Must step in the order of the engine, or the simulator's pair would not be the engine's. */
double paced_pair(const struct paced_costs *f, const struct paced_costs *b, double *f_done)
{
    struct count t = {0};
    struct pass_at forward = {.op = PLAN_F}, backward = {.op = PLAN_BW};
    count_step(&t, b, &backward);
    while (!forward.done || !backward.done) { /* the order of the engine */
        if (!forward.done) {
            count_step(&t, f, &forward);
            *f_done = t.now;
        }
        if (!backward.done) count_step(&t, b, &backward);
    }
    return t.now;
}

/* As paced_pair, for two passes of any kind. */
struct sim_interleaved paced_interleaved(const struct paced_costs *a, enum plan_op op_a,
                                         const struct paced_costs *b, enum plan_op op_b)
{
    struct count t = {0};
    struct sim_interleaved both = {0};
    const struct paced_costs *costs[2] = {a, b};
    struct pass_at pass[2] = {{.op = op_a}, {.op = op_b}};
    int first = op_a == PLAN_F && op_b == PLAN_B; /* the order of the engine */
    while (!pass[0].done || !pass[1].done)
        for (int i = 0; i < 2; i++) {
            int k = i ^ first;
            if (pass[k].done) continue;
            count_step(&t, costs[k], &pass[k]);
            both.done[k] = t.now;
        }
    both.takes = t.now;
    return both;
}

struct paced_times paced_predict(const struct paced_costs *c)
{
    struct paced_times t = {.f = count_pass(c, PLAN_F), .b = count_pass(c, PLAN_B)};
    t.w = count_pass(c, PLAN_W), t.bw = count_pass(c, PLAN_BW);
    t.pair = paced_pair(c, c, &t.pair_f);
    return t;
}

/* ---- running ---- */

struct open {
    int i;      /* next step */
    int op;     /* the exchange under way */
    double due; /* on the clock: not over before then */
};

struct paced {
    const struct paced_costs *costs;
    struct exchange *exchange;
    size_t *count, *offset; /* (members) the same both ways */
    unsigned char *in[2],
        *out[2]; /* (members * bytes) of the first, of the second open pass's exchanges */
    struct open open[2];
    double at;   /* the device's clock: what it was given to do is done then */
    double wire; /* the wire is free from then on */
    double waited;
};

/* Exchanges are real messages of the given size; only computation is replaced by sleeping. */
struct paced *paced_new(const struct paced_costs *costs, struct exchange *x, size_t bytes)
{
    struct paced *p = memory_take(1, sizeof *p, "a paced device");
    size_t members = (size_t)exchange_size(x), me = (size_t)exchange_rank(x);
    p->costs = costs;
    p->exchange = x;
    p->count = memory_take(members, sizeof *p->count, "a paced device");
    p->offset = memory_take(members, sizeof *p->offset, "a paced device");
    for (size_t i = 0; i < members; i++)
        p->count[i] = i == me ? 0 : bytes, p->offset[i] = i * bytes;
    for (int k = 0; k < 2; k++)
        p->in[k] = memory_take(members, bytes, "a paced device"),
        p->out[k] = memory_take(members, bytes, "a paced device");
    return p;
}

void paced_free(struct paced *p)
{
    if (!p) return;
    for (int k = 0; k < 2; k++) {
        free(p->in[k]);
        free(p->out[k]);
    }
    free(p->count);
    free(p->offset);
    free(p);
}

void paced_start(struct paced *p)
{
    p->at = p->wire = clock_now();
}

/* Naps until the clock comes up with the device's. That a nap ends late, or that the processor was
 * busy between two steps, is this machine's fault, not the device's (whose queue would have been
 * filled ahead): what follows is as much shorter. Only real waiting, for a message or for the other
 * members, moves the device's clock. */
static void nap_until(double end)
{
    struct timespec t = {.tv_sec = (time_t)end};
    t.tv_nsec = (long)((end - (double)t.tv_sec) * 1e9);
    while (clock_now() < end) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void compute(struct paced *p, double seconds)
{
    p->at += seconds;
    if (seconds > 0) nap_until(p->at);
}

static void post(struct paced *p, struct open *o, double seconds)
{
    int channel = o == &p->open[1];
    o->op = exchange_all_to_all(p->exchange, channel, p->in[channel], p->count, p->offset,
                                p->out[channel], p->count, p->offset);
    p->wire = (p->wire > p->at ? p->wire : p->at) + seconds;
    o->due = p->wire;
}

static const double no_time = 20e-6; /* a look whether something is there */

/* Time is kept in p->at, not read from the clock, so that oversleeping does not add up. */
static void complete(struct paced *p, struct open *o)
{
    if (o->due == 0) return;
    double since = clock_now(), before = p->at;
    exchange_wait(p->exchange, o->op);
    o->op = EXCHANGE_NONE;
    double now = clock_now();
    if (now - since > no_time && now > p->at) p->at = now;
    if (o->due > p->at) p->at = o->due;
    nap_until(p->at);
    o->due = 0;
    p->waited += p->at - before;
}

static struct open *open_of(struct paced *p, const struct engine_pass *s)
{
    return &p->open[s->turn];
}

static void paced_begin(void *self, const struct engine_pass *s)
{
    struct paced *p = self;
    double now = clock_now();
    *open_of(p, s) = (struct open){.op = EXCHANGE_NONE};
    if (s->waited > no_time && now > p->at) p->at = now;
}

static bool paced_step(void *self, const struct engine_pass *s)
{
    struct paced *p = self;
    struct open *o = open_of(p, s);
    struct action a = action_of(&p->costs[s->cell.chunk], s->op, o->i++);
    complete(p, o);
    compute(p, a.before);
    if (a.exchange > 0) post(p, o, a.exchange);
    compute(p, a.after);
    return a.last;
}

static double waited(void *self)
{
    struct paced *p = self;
    double seconds = p->waited;
    p->waited = 0;
    return seconds;
}

/* The stage_ops of a paced device: the engine runs it like a real stage. */
struct stage_ops paced_stage(struct paced *p, size_t message_bytes, int slots, bool in_turn)
{
    return (struct stage_ops){.self = p,
                              .device = &device_host,
                              .message_bytes = message_bytes,
                              .slots = slots,
                              .begin = paced_begin,
                              .step = paced_step,
                              .waited = waited,
                              .in_turn = in_turn,
                              .any_interleaved = in_turn};
}
