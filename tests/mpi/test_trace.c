/* ranks: 2 4 */
/* The trace of a step: every pass of every rank is in it once, none starts before the one it waits
 * for has ended (so the ranks' clocks agree), the prediction lies beside it, and the step gives the
 * bits of one that is not traced. */
#include <jansson.h>
#include <unistd.h>

#include "tests/support/check_mpi.h"
#include "tests/support/small_trainer.h"
#include "trainer/stage/trace.h"

enum { SEQUENCES = 24, CONTEXT = 32, LAYERS = 8, MOST_CHUNKS = 8, MOST_MB = 16 };

static struct small_batch batch;
static char folder[64];

struct when {
    double start, end;
    int times;
};
/* The measured passes: F and the backward (B or BW, whichever there is), by [dir][chunk][mb]. */
static struct when seen[2][2][MOST_CHUNKS][MOST_MB];
static int passes[3]; /* of process 1 (predicted) and 2 (measured) */

static void path_of(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", folder, name);
}

static void note(const json_t *e)
{
    const char *kind, *what, *name;
    int pid, chunk, dir, mb;
    double ts, dur;
    if (json_unpack((json_t *)e, "{s:s, s:s, s:s, s:i, s:F, s:F, s:{s:i, s:i, s:i}}", "ph", &kind,
                    "name", &name, "cat", &what, "pid", &pid, "ts", &ts, "dur", &dur, "args",
                    "chunk", &chunk, "dir", &dir, "mb", &mb) ||
        strcmp(kind, "X") != 0 || strncmp(name, "wait", 4) == 0)
        return;
    bool f = strcmp(what, "F") == 0, b = strcmp(what, "B") == 0 || strcmp(what, "BW") == 0;
    if (!f && !b && strcmp(what, "W") != 0) return;
    passes[pid]++;
    if (pid != 2 || (!f && !b)) return;
    struct when *w = &seen[b][dir][chunk][mb];
    w->start = ts;
    w->end = ts + dur;
    w->times++;
}

static void read_trace(void)
{
    char path[128];
    json_error_t why;
    memset(seen, 0, sizeof seen);
    memset(passes, 0, sizeof passes);
    path_of(path, sizeof path, "trace.json");
    json_t *all = json_load_file(path, 0, &why);
    ck_assert_msg(all != NULL, "%s", why.text);
    const json_t *events = json_is_array(all) ? all : json_object_get(all, "traceEvents");
    for (size_t i = 0; i < json_array_size(events); i++) note(json_array_get(events, i));
    json_decref(all);
}

/* A rank's clock is read within a microsecond or two of its message; other programs of the machine
 * may come between. */
static const double CLOCKS_US = 1000;

static void check_order(const struct plan *plan, const char *what)
{
    int M = plan_per_direction(plan), C = plan->chunks;
    for (int dir = 0; dir < plan->directions; dir++)
        for (int c = 0; c < C; c++)
            for (int m = 0; m < M; m++) {
                const struct when *f = &seen[0][dir][c][m], *b = &seen[1][dir][c][m];
                ck_assert_msg(f->times == 1 && b->times == 1, "%s: F %d times, B %d", what,
                              f->times, b->times);
                ck_assert_msg(b->start >= f->end - CLOCKS_US, "%s: B before F", what);
                if (c > 0)
                    ck_assert_msg(f->start >= seen[0][dir][c - 1][m].end - CLOCKS_US,
                                  "%s: F of chunk %d, micro-batch %d begins %.0f us too early",
                                  what, c, m, seen[0][dir][c - 1][m].end - f->start);
                if (c + 1 < C)
                    ck_assert_msg(b->start >= seen[1][dir][c + 1][m].end - CLOCKS_US,
                                  "%s: B of chunk %d, micro-batch %d begins %.0f us too early",
                                  what, c, m, seen[1][dir][c + 1][m].end - b->start);
            }
    ck_assert_msg(passes[1] == passes[2], "%s: %d passes predicted, %d measured", what, passes[1],
                  passes[2]);
}

static struct small_shape shape_of(int schedule)
{
    return (struct small_shape){.precision = PRECISION_FP32,
                                .dp = 1,
                                .pp = ck_world.size,
                                .schedule = schedule,
                                .layers = LAYERS,
                                .max_context = CONTEXT,
                                .micro_batch_tokens = 64,
                                .micro_batches = 8};
}

static void trace_one(int schedule, const char *name)
{
    struct small t;
    struct step_stats plain, traced;
    struct step_job job = small_job(&batch, &loss_sft);
    small_make(&t, &ck_world, shape_of(schedule));
    learner_step(&t.learner, &job, &plain);
    small_free(&t);
    small_make(&t, &ck_world, shape_of(schedule));
    t.learner.trace = folder;
    learner_step(&t.learner, &job, &traced);
    ck_all(plain.loss == traced.loss && plain.grad_norm == traced.grad_norm, "%s: other numbers",
           name);
    ck_all(t.learner.trace == NULL, "%s: traced once", name);
    if (ck_world.rank == 0) {
        struct plan plan;
        read_trace();
        schedule_plan(&plan, t.stage.settings, &t.stage.dims, t.learner.deal.bins);
        check_order(&plan, name);
        plan_free(&plan);
    }
    MPI_OK(MPI_Barrier(ck_world.comm));
    small_free(&t);
}

START_TEST(traces)
{
    strcpy(folder, "/tmp/duet_trace_XXXXXX");
    if (ck_world.rank == 0) ck_assert(mkdtemp(folder) != NULL);
    MPI_OK(MPI_Bcast(folder, sizeof folder, MPI_CHAR, 0, ck_world.comm));
    trace_one(SCHEDULE_1F1B, "1f1b");
    trace_one(SCHEDULE_ZB1P, "zb1p");
    trace_one(SCHEDULE_DUALPIPE, "dualpipe");
    trace_one(SCHEDULE_DUALPIPEV, "dualpipev");
    if (ck_world.rank > 0) return;
    static const char *const files[] = {"trace.json", "trace.svg"};
    for (int i = 0; i < 2; i++) {
        char path[128];
        path_of(path, sizeof path, files[i]);
        ck_assert_msg(unlink(path) == 0, "no %s", path);
    }
    ck_assert(rmdir(folder) == 0);
}
END_TEST

static void batches_make(void)
{
    small_batch_make(&batch, SEQUENCES, CONTEXT, 1);
}

#define TESTS(X) X(traces)

MPI_MAIN("trace", .before_all = batches_make)
