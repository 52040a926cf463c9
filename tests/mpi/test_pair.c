/* ranks: 4 */
/* The fused pair on the paced device: two stages of two ranks each that exchange, dualpipe. Stepped
 * in turn, the halves of a pair hide each other's exchanges; one after the other they do not.
 * Ratios within one run, and the best of some tries, since the machine is shared. */
#include "tests/support/check_mpi.h"

#include <time.h>

#include "comm/base/log.h"
#include "pipeline/schedules.h"
#include "pipeline/timeline.h"
#include "tests/support/interleaved_plan.h"

enum { STAGES = 2, MEMBERS = 2, MB = 4, BYTES = 128 << 10, TRIES = 8 };

static const struct paced_costs costs[STAGES] = {{2, 8e-3, 8e-3, 8e-3, 8e-3, 8e-3},
                                                 {2, 8e-3, 8e-3, 8e-3, 8e-3, 8e-3}};

struct bench {
    int position;
    MPI_Comm pipe, stage;
    struct p2p *p2p;
    struct exchange *exchange;
    struct paced *paced;
    struct plan plan;
    struct engine *engine[2]; /* one after the other, in turn */
};

static void bench_up(struct bench *b)
{
    struct plan_facts facts;
    int position = b->position = ck_world.rank / MEMBERS;
    MPI_OK(MPI_Comm_split(ck_world.comm, ck_world.rank % MEMBERS, position, &b->pipe));
    MPI_OK(MPI_Comm_split(ck_world.comm, position, ck_world.rank, &b->stage));
    b->p2p = p2p_new(&transport_mpi, b->pipe, ENGINE_OPEN);
    b->exchange = exchange_new(&transport_mpi, b->stage, 2);
    b->paced = paced_new(costs, b->exchange, BYTES);
    plan_make(&b->plan, PLAN_DUALPIPE, STAGES, MB);
    plan_check(&b->plan, NULL, &facts, NULL);
    for (int k = 0; k < 2; k++) {
        struct stage_ops s = paced_stage(b->paced, BYTES, facts.peak_slots, k);
        b->engine[k] = engine_new(b->p2p, position, STAGES, &s, MB);
    }
}

static void bench_down(struct bench *b)
{
    for (int k = 0; k < 2; k++) engine_free(b->engine[k]);
    plan_free(&b->plan);
    paced_free(b->paced);
    exchange_free(b->exchange);
    p2p_free(b->p2p);
    MPI_OK(MPI_Comm_free(&b->stage));
    MPI_OK(MPI_Comm_free(&b->pipe));
}

static struct engine_times run(struct bench *b, bool in_turn)
{
    struct engine_times t;
    const struct plan_part part = plan_part_of(&b->plan, b->position);
    MPI_OK(MPI_Barrier(ck_world.comm));
    paced_start(b->paced);
    engine_run(b->engine[in_turn], &part, &t);
    watchdog_feed();
    return t;
}

/* The same number on all ranks: the worst. */
static double worst(double x)
{
    double all;
    MPI_OK(MPI_Allreduce(&x, &all, 1, MPI_DOUBLE, MPI_MAX, ck_world.comm));
    return all;
}

START_TEST(the_pair_hides_exchanges)
{
    struct bench b;
    double saved = 0, exposed = 1, off = 0;
    bench_up(&b);
    for (int i = 0; i < TRIES && (saved < 1.3 || exposed > 0.05); i++) {
        struct engine_times one = run(&b, false), both = run(&b, true);
        double ratio = one.row[PLAN_FB].seconds / both.row[PLAN_FB].seconds;
        double waited = worst(both.row[PLAN_FB].waited / both.row[PLAN_FB].seconds);
        ratio = -worst(-ratio);
        if (ratio > saved) saved = ratio;
        if (waited < exposed)
            exposed = waited, off = one.row[PLAN_FB].waited / one.row[PLAN_FB].seconds;
    }
    if (ck_world.rank == 0)
        fprintf(stderr, "pair %.2f times as fast; exposed %.1f %%, switched off %.1f %%\n", saved,
                100 * exposed, 100 * off);
    ck_all(saved > 1.2, "%.2f times as fast, counted: 42 / 30", saved);
    ck_all(exposed < off / 2, "%.1f %% exposed, %.1f %% without", 100 * exposed, 100 * off);
    bench_down(&b);
}
END_TEST

/* Passes that run alone wait for their own exchanges; in turn with others, the plan waits 0.56
 * times as long (simulated). */
START_TEST(unpaired_passes_hide_exchanges)
{
    struct bench b;
    struct sim_table given;
    struct plan_facts facts;
    struct plan published, unpaired;
    double best = 1, two = 0;
    bench_up(&b);
    interleaved_costs_make(&given, PLACE_MIRROR, STAGES, 1);
    published = b.plan;
    interleaved_plan_make(&unpaired, PLAN_DUALPIPE, STAGES, MB, &given.sim, &facts);
    for (int i = 0; i < TRIES && best > 0.6; i++) {
        b.plan = published;
        double alone = run(&b, true).exchanges;
        b.plan = unpaired;
        struct engine_times t = run(&b, true);
        double share = worst(t.exchanges / alone);
        if (share < best) best = share;
        two = t.row[PLAN_INTERLEAVED].n;
    }
    b.plan = published;
    if (ck_world.rank == 0) fprintf(stderr, "unpaired passes wait %.2f times as long\n", best);
    ck_all(best < 0.8 && two > 0, "%.2f times, %g rows of two", best, two);
    plan_free(&unpaired);
    sim_table_free(&given);
    bench_down(&b);
}
END_TEST

/* Its passes take what was asked and leave the processor alone; the forward of a pair ends before
 * the backward does. */
START_TEST(passes_take_their_time)
{
    struct bench b;
    struct timeline line;
    struct engine_times t;
    struct timespec cpu[2];
    int wrong = 0;
    bench_up(&b);
    timeline_new(&line, STAGES, 400);
    engine_record(b.engine[1], &line);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu[0]);
    t = run(&b, true);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu[1]);
    double used =
        (double)(cpu[1].tv_sec - cpu[0].tv_sec) + 1e-9 * (double)(cpu[1].tv_nsec - cpu[0].tv_nsec);
    struct paced_times given = paced_predict(&costs[0]);
    const double each[] = {[PLAN_F] = given.f, given.b, given.w, given.bw, given.pair};
    double took = 0, asked = 0; /* a row that ends late makes the next one shorter */
    for (int op = 0; op <= PLAN_FB; op++) {
        took += t.row[op].n * t.row[op].seconds;
        asked += t.row[op].n * each[op];
    }
    ck_all(took > 0.97 * asked && took < t.total, "%g s of %g", took, asked);
    ck_all(used < 0.25 * t.total, "%.3f s of the processor in %.3f s", used, t.total);
    for (int i = 0; i < line.n; i++) {
        const struct timeline_span *s = &line.span[i], *f = s + 1;
        if (s->kind != SPAN_PASS || !s->paired || s->op != PLAN_BW) continue;
        while (f->kind != SPAN_PASS) f++;
        wrong += !(f->op == PLAN_F && f->end < s->end);
    }
    ck_all(wrong == 0, "%d forwards end after their backward", wrong);
    timeline_free(&line);
    bench_down(&b);
}
END_TEST

#define TESTS(X)                      \
    X(the_pair_hides_exchanges)       \
    X(unpaired_passes_hide_exchanges) \
    X(passes_take_their_time)

MPI_MAIN("pair")
