#include "trainer/stage/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/world.h"
#include "pipeline/plan_parts.h"
#include "pipeline/schedules.h"
#include "pipeline/timeline.h"
#include "trainer/checkpoint/files.h"

/* --- one clock --- */

/* What must be added to this rank's clock to get the first rank's: half-way between asking and
 * being answered, the quickest answer of several. Collective. */
static double clock_offset(MPI_Comm pipe, int rank, int ranks)
{
    enum { TIMES = 64 };
    double mine = 0, *offset = memory_take((size_t)ranks, sizeof *offset, "a trace");
    for (int r = 1; r < ranks; r++) {
        double best = 1e9;
        for (int k = 0; k < TIMES && (rank == 0 || rank == r); k++) {
            double asked = clock_now(), theirs = asked;
            if (rank == 0) MPI_OK(MPI_Send(&theirs, 1, MPI_DOUBLE, r, 0, pipe));
            MPI_OK(MPI_Recv(&theirs, 1, MPI_DOUBLE, rank ? 0 : r, 0, pipe, MPI_STATUS_IGNORE));
            double now = clock_now();
            if (rank == r) MPI_OK(MPI_Send(&now, 1, MPI_DOUBLE, 0, 0, pipe));
            if (rank == 0 && now - asked < best) {
                best = now - asked;
                offset[r] = (asked + now) / 2 - theirs;
            }
        }
    }
    MPI_OK(MPI_Scatter(offset, 1, MPI_DOUBLE, &mine, 1, MPI_DOUBLE, 0, pipe));
    free(offset);
    return mine;
}

/* Times of this rank's spans, so far from its own start on, from the first start of all on. */
static void put_right(struct timeline *t, double started, MPI_Comm pipe, int rank)
{
    double mine = started + clock_offset(pipe, rank, t->ranks), first;
    MPI_OK(MPI_Allreduce(&mine, &first, 1, MPI_DOUBLE, MPI_MIN, pipe));
    for (int i = 0; i < t->n; i++) {
        t->span[i].start += mine - first;
        t->span[i].end += mine - first;
    }
}

/* All ranks' spans on the first one; `all` is made there (timeline_free), empty elsewhere. */
static void gather(struct timeline *all, const struct timeline *mine, MPI_Comm pipe)
{
    int bytes = mine->n * (int)sizeof *mine->span, total = 0;
    int *count = memory_take((size_t)mine->ranks, sizeof *count, "a trace");
    int *offset = memory_take((size_t)mine->ranks, sizeof *offset, "a trace");
    MPI_OK(MPI_Gather(&bytes, 1, MPI_INT, count, 1, MPI_INT, 0, pipe));
    for (int r = 0; r < mine->ranks; r++) {
        offset[r] = total;
        total += count[r];
    }
    timeline_new(all, mine->ranks, total / (int)sizeof *mine->span);
    MPI_OK(MPI_Gatherv(mine->span, bytes, MPI_BYTE, all->span, count, offset, MPI_BYTE, 0, pipe));
    all->n = all->room;
    free(count);
    free(offset);
}

/* --- what the passes took, for the simulator --- */

enum { TIMES_OF = PLAN_BW + 1 };
struct times {
    double *sum[TIMES_OF][2]; /* [op][paired][chunk] */
    int *n[TIMES_OF][2];
    double pairs, halves; /* of all pairs: what they took, what their halves take */
    struct sim_table table;
};

/* Means over all passes of a kind and chunk; halves of pairs only where a chunk has no others. */
static void times_new(struct times *t, const struct timeline *all, int chunks)
{
    *t = (struct times){0};
    for (int op = 0; op < TIMES_OF; op++)
        for (int k = 0; k < 2; k++) {
            t->sum[op][k] = memory_take((size_t)chunks, sizeof(double), "a trace");
            t->n[op][k] = memory_take((size_t)chunks, sizeof(int), "a trace");
        }
    for (int i = 0; i < all->n; i++) {
        const struct timeline_span *s = &all->span[i];
        if (s->kind != SPAN_PASS) continue;
        t->sum[s->op][s->paired][s->cell.chunk] += s->end - s->start;
        t->n[s->op][s->paired][s->cell.chunk]++;
    }
    for (int op = 0; op < TIMES_OF; op++)
        for (int c = 0; c < chunks; c++) {
            int k = t->n[op][0][c] ==
                    0; /* a half of a pair says how long a pass takes only when nothing else does */
            t->sum[op][0][c] = t->n[op][k][c] > 0 ? t->sum[op][k][c] / t->n[op][k][c] : 0;
        }
}

static void times_free(struct times *t)
{
    for (int op = 0; op < TIMES_OF; op++)
        for (int k = 0; k < 2; k++) {
            free(t->sum[op][k]);
            free(t->n[op][k]);
        }
    sim_table_free(&t->table);
}

/* From its first half's start to its last half's end; the halves of a pair follow each other on a
 * rank. */
static void times_pairs(struct times *t, const struct timeline *all)
{
    const struct timeline_span *first = NULL;
    for (int i = 0; i < all->n; i++) {
        const struct timeline_span *s = &all->span[i];
        if (s->kind != SPAN_PASS || !s->paired) continue;
        if (!first) {
            first = s;
            continue;
        }
        double start = first->start < s->start ? first->start : s->start;
        double end = first->end > s->end ? first->end : s->end;
        t->pairs += end - start;
        t->halves += t->sum[first->op][0][first->cell.chunk] + t->sum[s->op][0][s->cell.chunk];
        first = NULL;
    }
}

/* Plans that never run a part by itself still need a number for it: B and W are about equal. */
static void times_costs(struct times *t, const struct timeline *all, int chunks)
{
    sim_table_new(&t->table, chunks, SIM_WHOLE);
    for (int c = 0; c < chunks; c++) {
        double *b = &t->sum[PLAN_B][0][c], *w = &t->sum[PLAN_W][0][c], *bw = &t->sum[PLAN_BW][0][c];
        if (*bw <= 0) *bw = *b + *w;
        if (*b <= 0) *b = *w > 0 && *w < *bw ? *bw - *w : *bw / 2;
        if (*w <= 0) *w = *b < *bw ? *bw - *b : *bw / 2;
        t->table.f[c] = t->sum[PLAN_F][0][c];
        t->table.b[c] = *b, t->table.w[c] = *w, t->table.bw[c] = *bw;
    }
    times_pairs(t, all);
    if (t->halves > 0) t->table.sim.pair = t->pairs / t->halves;
}

/* --- files --- */

/* Written beside and renamed: a reader never sees half a file. */
static void write_drawing(const char *folder, const char *name, const struct timeline_drawing *d,
                          void (*write)(FILE *, const struct timeline_drawing *))
{
    char path[PATH_BYTES];
    struct failure failure = {0};
    path_make(path, "%s/%s.tmp", folder, name);
    FILE *f = fopen(path, "w");
    SYS_OK(f, "choose another run folder: --set out=FOLDER", "cannot write %s: %s", path,
           strerror(errno));
    write(f, d);
    const bool written = fflush(f) == 0 && !ferror(f);
    SYS_OK(fclose(f) == 0 && written && file_commit(folder, name, &failure),
           "free space on that disk", "cannot write %s: %s", path,
           failed(&failure) ? failure.why : strerror(errno));
}

static double bubble_of(const struct timeline *t)
{
    double busy = 0, end = timeline_end(t);
    for (int r = 0; r < t->ranks; r++) busy += timeline_busy(t, r) / t->ranks;
    return end > 0 ? 1 - busy / end : 0;
}

/* The prediction uses the measured means, so that it shows the schedule's share of the difference.
 */
static void write_files(const struct plan *plan, const struct timeline *measured,
                        const char *folder)
{
    struct times times;
    struct sim sim;
    struct timeline predicted;
    times_new(&times, measured, plan->chunks);
    times_costs(&times, measured, plan->chunks);
    sim_new(&sim, plan);
    bool done = sim_run(&sim, plan, &times.table.sim);
    INVARIANT(done, "a plan that ran hangs in the simulator");
    timeline_of_sim(&predicted, plan, &sim);
    char title[128];
    snprintf(title, sizeof title, "%s, %d stages, %d micro-batches", plan_kind_name(plan->kind),
             plan->stages, plan->micro_batches);
    struct timeline_drawing d = {.title = title,
                                 .name = {"predicted", "measured"},
                                 .timeline = {&predicted, measured},
                                 .n = 2,
                                 .unit = "ms",
                                 .per_unit = 1e-3};
    write_drawing(folder, "trace.json", &d, timeline_trace);
    write_drawing(folder, "trace.svg", &d, timeline_svg);
    log_info("trace of %s: measured %.1f ms, bubble %.1f %%; predicted from the mean times of its "
             "passes, "
             "messages free: %.1f ms, bubble %.1f %% (trace.json, trace.svg)",
             title, 1e3 * timeline_end(measured), 100 * bubble_of(measured),
             1e3 * timeline_end(&predicted), 100 * bubble_of(&predicted));
    timeline_free(&predicted);
    sim_free(&sim);
    times_free(&times);
}

/* One pipeline is recorded: the first, of tp its first rank. */
void trace_run(struct stage *s, int micro_batches, struct engine_times *t, const char *folder)
{
    const struct plan_part *part = stage_plan(s, micro_batches, false);
    const struct mesh *m = s->mesh;
    struct timeline mine, all;
    struct plan plan;
    if (m->d > 0 || m->t > 0) {
        stage_run(s, micro_batches, false, t);
        return;
    }
    timeline_new(&mine, m->pp, 8 * part->room); /* a pass, and waits for input, output, exchanges */
    engine_record(s->engine, &mine);
    double started = clock_now();
    stage_run(s, micro_batches, false, t);
    engine_record(s->engine, NULL);
    put_right(&mine, started, m->pipe, m->p);
    gather(&all, &mine, m->pipe);
    plan_gather(&plan, part, 0, m->pipe);
    if (m->p == 0) write_files(&plan, &all, folder);
    plan_free(&plan);
    timeline_free(&all);
    timeline_free(&mine);
}
