/* ranks: 1 2 4 */
/* The engine with a toy model: every schedule gives the numbers of a plain loop without any
 * pipeline, bit for bit. Numbers are integers, and a chunk's "weight gradient" is a hash
 * that depends on the order in which micro-batches reach it. */
#include "comm/base/arena.h"
#include "pipeline/auto.h"
#include "pipeline/engine.h"
#include "pipeline/timeline.h"
#include "tests/support/check_mpi.h"
#include "tests/support/interleaved_plan.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

enum { MOST_MB = 14, MOST_CHUNKS = 8, STEPS = 5, STEPS_BACK = 3, HEADER = 4 };
enum { MOST_SLOTS = MOST_CHUNKS + 1 }; /* of a vee: 2P + 1 */

/* ---- the toy's mathematics, modulo 2^64: one number of a message at a time ---- */

typedef uint64_t number;

static number toy_input(int mb, int i)
{
    return 7919 * (number)(mb + 1) + 13 * (number)i;
}
static number toy_f(int chunk, number x)
{
    return 31 * x + (number)chunk + 1;
}
static number toy_top(number y)
{
    return (5 * y + 3) ^ (y >> 7);
} /* the loss's gradient */
static number toy_b(number x, number dy)
{
    return 17 * dy + x;
}
static number toy_w(number sum, number x, number dy)
{
    return 29 * sum + 3 * x + dy + 1;
}

/* ---- the toy as a stage ---- */

struct slot {
    number *x, *dy; /* what F read, what B read */
    bool used;
    struct plan_cell cell;
};

struct toy {
    struct plan *plan;
    int n; /* numbers in a message, header included */
    struct slot slot[MOST_SLOTS];
    number sum[MOST_CHUNKS][2]; /* [chunk][global micro-batch mod 2] */
    int steps_left[2];          /* of the row's first pass, of its second */
    bool last[MOST_CHUNKS][2];  /* [chunk][direction] its last W or BW was announced */
    int wrong;
    const char *first_wrong;
    bool slow;
};

static void expect(struct toy *t, bool ok, const char *what)
{
    if (!ok && t->wrong++ == 0) t->first_wrong = what;
}

static bool same_cell(struct plan_cell a, struct plan_cell b)
{
    return a.dir == b.dir && a.chunk == b.chunk && a.mb == b.mb;
}

/* Micro-batches of both directions counted together: the same data whatever the schedule. */
static int global_mb(const struct toy *t, struct plan_cell c)
{
    return t->plan->directions == 2 ? 2 * c.mb + c.dir : c.mb;
}

static void write_header(number *message, enum plan_op op, struct plan_cell c)
{
    message[0] = op == PLAN_F, message[1] = (number)c.dir;
    message[2] = (number)c.chunk, message[3] = (number)c.mb;
}

static bool header_is(const number *m, enum plan_op op, struct plan_cell c, int from_chunk)
{
    return m[0] == (op == PLAN_F) && m[1] == (number)c.dir && m[2] == (number)from_chunk &&
           m[3] == (number)c.mb;
}

static void note_last(struct toy *t, const struct engine_pass *p)
{
    bool *last = &t->last[p->cell.chunk][p->cell.dir];
    expect(t, !*last || p->op == PLAN_F, "a backward after the last one of its chunk");
    expect(t, !p->last || p->op == PLAN_W || p->op == PLAN_BW, "an F or B is the last W");
    *last = *last || p->last;
}

static void toy_begin(void *self, const struct engine_pass *p)
{
    struct toy *t = self;
    struct slot *s = &t->slot[p->slot];
    bool f = p->op == PLAN_F;
    expect(t, t->steps_left[p->turn] == 0, "three passes are open");
    t->steps_left[p->turn] =
        f ? STEPS : STEPS + 1; /* a backward ends with weights, when the forward is done */
    expect(t, f ? !s->used : s->used && same_cell(s->cell, p->cell), "the slot is another's");
    s->used = true, s->cell = p->cell;
    note_last(t, p);
    bool bottom = p->cell.chunk == 0, top = p->cell.chunk == t->plan->chunks - 1;
    bool w = p->op == PLAN_W;
    expect(t, (p->in == NULL) == (w || (f ? bottom : top)), "input where there is none, or none");
    expect(t, (p->out == NULL) == (w || (f ? top : bottom)), "output where there is none, or none");
}

static void run_f(struct toy *t, const struct engine_pass *p)
{
    struct slot *s = &t->slot[p->slot];
    const number *in = p->in;
    number *out = p->out;
    if (in) expect(t, header_is(in, p->op, p->cell, p->cell.chunk - 1), "the wrong activation");
    if (out) write_header(out, p->op, p->cell);
    for (int i = HEADER; i < t->n; i++) {
        s->x[i] = in ? in[i] : toy_input(global_mb(t, p->cell), i);
        if (out) out[i] = toy_f(p->cell.chunk, s->x[i]);
    }
    if (t->plan->forward_only) {
        number *sum = &t->sum[p->cell.chunk][global_mb(t, p->cell) % 2];
        for (int i = HEADER; i < t->n; i++) *sum = toy_w(*sum, s->x[i], 0);
        s->used = false;
    }
}

static void run_b(struct toy *t, const struct engine_pass *p)
{
    struct slot *s = &t->slot[p->slot];
    const number *in = p->in;
    number *out = p->out;
    if (in) expect(t, header_is(in, PLAN_B, p->cell, p->cell.chunk + 1), "the wrong gradient");
    if (out) write_header(out, PLAN_B, p->cell);
    for (int i = HEADER; i < t->n; i++) {
        s->dy[i] = in ? in[i] : toy_top(toy_f(p->cell.chunk, s->x[i]));
        if (out) out[i] = toy_b(s->x[i], s->dy[i]);
    }
}

static void run_w(struct toy *t, const struct engine_pass *p)
{
    struct slot *s = &t->slot[p->slot];
    number *sum = &t->sum[p->cell.chunk][global_mb(t, p->cell) % 2];
    for (int i = HEADER; i < t->n; i++) *sum = toy_w(*sum, s->x[i], s->dy[i]);
    s->used = false;
}

static void be_slow(const struct engine_pass *p)
{
    int us = 20 * ((p->cell.mb * 7 + p->cell.chunk * 5 + (int)p->op) % 9);
    nanosleep(&(struct timespec){0, us * 1000L}, NULL);
}

/* All is done in the last step, so that an input overwritten too early is noticed. */
static bool toy_step(void *self, const struct engine_pass *p)
{
    struct toy *t = self;
    bool f = p->op == PLAN_F;
    if (t->slow) be_slow(p);
    if (--t->steps_left[p->turn] > 0) return false;
    if (f) run_f(t, p);
    if (p->op == PLAN_B || p->op == PLAN_BW) run_b(t, p);
    if (p->op == PLAN_W || p->op == PLAN_BW) run_w(t, p);
    return true;
}

/* ---- the same without a pipeline ---- */

static void plain_loop(number sum[][2], int chunks, int micro_batches, int n, bool forward_only)
{
    for (int m = 0; m < micro_batches; m++)
        for (int i = HEADER; i < n; i++) {
            number x[MOST_CHUNKS + 1] = {0}, dy;
            x[0] = toy_input(m, i);
            for (int c = 0; c < chunks; c++) x[c + 1] = toy_f(c, x[c]);
            dy = toy_top(x[chunks]);
            for (int c = chunks - 1; c >= 0; c--) {
                number *s = &sum[c][m % 2];
                *s = toy_w(*s, x[c], forward_only ? 0 : dy);
                dy = toy_b(x[c], dy);
            }
        }
}

/* ---- the bench ---- */

struct bench {
    struct toy toy;
    struct stage_ops stage;
    struct p2p *p2p;
    struct engine *engine;
};

static void bench_up(struct bench *b, int n, int slots, bool in_turn)
{
    *b = (struct bench){.toy = {.n = n, .first_wrong = "-"}};
    for (int s = 0; s < slots; s++) {
        b->toy.slot[s].x = calloc((size_t)n, sizeof(number));
        b->toy.slot[s].dy = calloc((size_t)n, sizeof(number));
    }
    b->stage = (struct stage_ops){.self = &b->toy,
                                  .device = &device_host,
                                  .message_bytes = (size_t)n * sizeof(number),
                                  .slots = slots,
                                  .begin = toy_begin,
                                  .step = toy_step,
                                  .in_turn = in_turn,
                                  .any_interleaved = in_turn};
    b->p2p = p2p_new(&transport_mpi, ck_world.comm, ENGINE_OPEN);
    b->engine = engine_new(b->p2p, ck_world.rank, ck_world.size, &b->stage, MOST_MB);
}

static void bench_down(struct bench *b)
{
    engine_free(b->engine);
    p2p_free(b->p2p);
    for (int s = 0; s < b->stage.slots; s++) {
        free(b->toy.slot[s].x);
        free(b->toy.slot[s].dy);
    }
}

/* The last W of each chunk here was announced; of forwards alone none. */
static void expect_lasts(struct toy *t)
{
    int chunk[2], n = plan_held(t->plan->place, ck_world.size, ck_world.rank, chunk), all = 0;
    for (int c = 0; c < MOST_CHUNKS; c++) all += t->last[c][0] + t->last[c][1];
    expect(t, all == (t->plan->forward_only ? 0 : n), "as many last Ws as chunks");
    for (int k = 0; k < n && !t->plan->forward_only; k++)
        expect(t, t->last[chunk[k]][plan_held_dir(t->plan->place, k)], "no last W");
}

static void run_part(struct bench *b, const struct plan *plan, struct engine_times *times)
{
    const struct plan_part part = plan_part_of(plan, ck_world.rank);
    engine_run(b->engine, &part, times);
}

/* Runs the plan and holds what all ranks found together against the plain loop. */
static void run_and_compare(struct bench *b, struct plan *plan)
{
    number sum[MOST_CHUNKS][2], right[MOST_CHUNKS][2] = {{0}};
    struct engine_times times;
    struct toy *t = &b->toy;
    long allocations = arena_allocations();
    t->plan = plan;
    memset(t->sum, 0, sizeof t->sum);
    memset(t->last, 0, sizeof t->last);
    run_part(b, plan, &times);
    expect_lasts(t);
    for (int s = 0; s < b->stage.slots; s++) expect(t, !t->slot[s].used, "a slot is still in use");
    expect(t, arena_allocations() == allocations, "the run allocated");
    expect(t, times.busy > 0 && times.exposed >= 0, "times below zero");
    expect(t, times.busy + times.exposed <= times.total, "times do not add up");
    expect(t, times.bubble_fraction >= 0 && times.bubble_fraction < 1, "bubble");
    MPI_OK(MPI_Allreduce(t->sum, sum, MOST_CHUNKS * 2, MPI_UINT64_T, MPI_SUM, ck_world.comm));
    plain_loop(right, plan->chunks, plan->micro_batches, t->n, plan->forward_only);
    expect(t, memcmp(sum, right, sizeof sum) == 0, "weight sums are not those of the plain loop");
    ck_all(t->wrong == 0, "%s, %d micro-batches: %d wrong, first: %s", plan_kind_name(plan->kind),
           plan->micro_batches, t->wrong, t->first_wrong);
}

/* With its forwards alone in between; frees the plan. */
static void run_plan(struct bench *b, struct plan *plan)
{
    struct plan forward;
    plan_forward_only(&forward, plan);
    run_and_compare(b, plan);
    run_and_compare(b, &forward);
    run_and_compare(b, plan);
    plan_free(plan);
    plan_free(&forward);
}

static void run_schedule(struct bench *b, enum plan_kind k, int micro_batches)
{
    struct plan plan;
    if (!plan_possible(k, ck_world.size, micro_batches, NULL)) return;
    plan_make_any(&plan, k, ck_world.size, micro_batches);
    run_plan(b, &plan);
}

START_TEST(every_schedule_equals_the_plain_loop)
{
    static const int counts[] = {1, 3, 4, 8, 14};
    struct bench b;
    for (int in_turn = 0; in_turn < 2; in_turn++) {
        bench_up(&b, 600, MOST_SLOTS, in_turn);
        for (int i = 0; i < (int)(sizeof counts / sizeof counts[0]); i++) {
            b.toy.slow = i % 2;
            for (int k = 0; k < PLAN_KINDS; k++) run_schedule(&b, (enum plan_kind)k, counts[i]);
        }
        bench_down(&b);
    }
}
END_TEST

/* Plans that a search made for uneven stages and a pair that saves time, on every placement: the
 * engine has room for what plan_check allows, in whatever order. */
START_TEST(searched_plans_equal_the_plain_loop)
{
    double time[MOST_CHUNKS];
    for (int i = 0; i < MOST_CHUNKS; i++) time[i] = 1 + (i * 5 % 7) / 4.0;
    struct sim_costs costs = {.f = time, .b = time, .w = time, .pair = 0.7, .message = 0.1};
    struct bench b;
    bench_up(&b, 600, MOST_SLOTS, true);
    for (int place = 0; place < PLACES; place++)
        for (int m = 2; m <= 14; m += 6) {
            struct plan plan;
            struct auto_option option[PLACES] = {{0}};
            option[place] = (struct auto_option){.costs = &costs, .limits = {.slots = MOST_SLOTS}};
            if (plan_auto(&plan, ck_world.size, m, option, NULL)) run_plan(&b, &plan);
        }
    bench_down(&b);
}
END_TEST

/* Named plans with unpaired passes in turn, by stages that can do so and by ones that cannot. */
START_TEST(unpaired_passes_equal_the_plain_loop)
{
    struct bench b;
    for (int in_turn = 0; in_turn < 2; in_turn++) {
        bench_up(&b, 600, MOST_SLOTS, in_turn);
        for (int k = PLAN_1F1B; k < PLAN_AUTO; k++)
            for (int m = 3; m <= 14; m += 5) {
                struct plan plan;
                struct plan_facts facts;
                struct sim_table costs;
                if (!plan_possible((enum plan_kind)k, ck_world.size, m, NULL)) continue;
                interleaved_costs_make(&costs, plan_kind_place((enum plan_kind)k), ck_world.size,
                                       1);
                interleaved_plan_make(&plan, (enum plan_kind)k, ck_world.size, m, &costs.sim,
                                      &facts);
                b.toy.slow = m == 8;
                run_plan(&b, &plan);
                sim_table_free(&costs);
            }
        bench_down(&b);
    }
}
END_TEST

/* Messages above 2 MiB travel in pieces, and no MPI buffers them: every send waits for its receive.
 */
START_TEST(large_messages)
{
    struct bench b;
    bench_up(&b, 300 * 1024, MOST_SLOTS, true);
    for (int k = 0; k < PLAN_KINDS; k++) run_schedule(&b, (enum plan_kind)k, 8);
    bench_down(&b);
}
END_TEST

/* On several ranks the serial plan is mostly waiting, and the engine says so. */
START_TEST(waiting_is_measured)
{
    struct bench b;
    struct plan plan;
    struct engine_times t;
    bench_up(&b, 600, 1, false);
    plan_make(&plan, PLAN_SERIAL, ck_world.size, 8);
    b.toy.plan = &plan;
    b.toy.slow = true;
    run_part(&b, &plan, &t);
    double idle = t.total - t.busy;
    ck_all(ck_world.size == 1 ? t.exposed < t.busy : t.exposed > 0.5 * idle,
           "total %g busy %g exposed %g", t.total, t.busy, t.exposed);
    plan_free(&plan);
    bench_down(&b);
}
END_TEST

/* What the engine says of rows and records of passes is what the plan holds: each pass once, a
 * pair's halves at the same time, the forward's end (when its message leaves) before the
 * backward's. */
START_TEST(what_ran_is_recorded)
{
    struct bench b;
    struct plan plan;
    struct engine_times t;
    struct timeline line;
    int passes = 0, pairs = 0, wrong = 0, n[PLAN_FB + 1] = {0};
    enum plan_kind k = ck_world.size == 1 ? PLAN_DUALPIPEV : PLAN_DUALPIPE;
    bench_up(&b, 600, MOST_SLOTS, true);
    plan_make(&plan, k, ck_world.size, 8);
    timeline_new(&line, ck_world.size, 500);
    b.toy.plan = &plan;
    b.toy.slow = true;
    run_part(&b, &plan, &t); /* now it knows how many steps a pass has */
    engine_record(b.engine, &line);
    run_part(&b, &plan, &t);
    engine_record(b.engine, NULL);
    for (int i = 0; i < line.n; i++) {
        const struct timeline_span *s = &line.span[i], *f = s + 1;
        wrong += s->start > s->end || s->end > t.total || s->rank != ck_world.rank;
        if (s->kind != SPAN_PASS) continue;
        passes++;
        n[s->op]++;
        if (!s->paired || s->op != PLAN_BW) continue;
        while (f < line.span + line.n && f->kind != SPAN_PASS) f++;
        pairs++;
        wrong += !(f->op == PLAN_F && f->paired && f->start < s->end && f->end < s->end);
    }
    int rows = 0, fused = t.row[PLAN_FB].n;
    for (int op = 0; op <= PLAN_FB; op++) rows += t.row[op].n;
    ck_all(wrong == 0, "%d spans are wrong", wrong);
    ck_all(rows == plan.n_rows[ck_world.rank] && passes == rows + fused, "%d rows", rows);
    ck_all(pairs == fused && fused > 0 && n[PLAN_F] == t.row[PLAN_F].n + fused, "%d pairs", pairs);
    ck_all(t.row[PLAN_FB].seconds > 0 && t.exchanges == 0, "seconds");
    timeline_free(&line);
    plan_free(&plan);
    bench_down(&b);
}
END_TEST

START_TEST(memory_is_what_it_says)
{
    struct bench b;
    size_t before = arena_live_bytes();
    bench_up(&b, 600, MOST_SLOTS, false);
    size_t messages = ENGINE_OPEN * 600 * sizeof(number);
    if (ck_world.size == 1) messages /= 2; /* a vee hands over to its own rank */
    ck_all(engine_bytes(b.engine) == arena_live_bytes() - before, "bytes");
    ck_all(engine_bytes(b.engine) >= messages && engine_bytes(b.engine) < messages + 4096,
           "%zu bytes", engine_bytes(b.engine));
    bench_down(&b);
    ck_all(arena_live_bytes() == before, "%zu bytes left", arena_live_bytes() - before);
}
END_TEST

#define TESTS(X)                            \
    X(every_schedule_equals_the_plain_loop) \
    X(searched_plans_equal_the_plain_loop)  \
    X(unpaired_passes_equal_the_plain_loop) \
    X(large_messages)                       \
    X(waiting_is_measured)                  \
    X(what_ran_is_recorded)                 \
    X(memory_is_what_it_says)

MPI_MAIN("engine")
