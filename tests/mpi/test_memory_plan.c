/* ranks: 1 2 4 */
/* The planned memory is the memory: on every rank, kind by kind and in all, what memory_of_rank
 * says without MPI is what the trainer then has; and the slices of a checkpoint are the planned
 * ones. */
#include <unistd.h>

#include "comm/base/problems.h"
#include "tests/support/check_mpi.h"
#include "tests/support/recipe_text.h"
#include "tests/support/small_trainer.h"
#include "trainer/phases/phases.h"
#include "trainer/run/run.h"
#include "trainer/planner/picture.h"

static const char *const MODELS = "model: {layers: 9, hidden: 32, heads: 4, kv_heads: 2, ffn: 48, "
                                  "max_context: 96%s}\n"
                                  "mesh: {pp: %d, tp: %d, decode_slots: 6}\n"
                                  "data: {task: arithmetic, micro_batch_tokens: 128}\n"
                                  "schedule: %s\nprecision: %s\n"
                                  "phases: [{kind: sft, batch: 20, steps: 1}, {kind: grpo, "
                                  "prompts: 3, samples: 2, max_new: 20, steps: 1%s}]\n";

struct wish {
    int pp, tp;
    const char *model, *schedule, *precision, *phase;
};

static struct settings settings_of(const struct world *w, struct wish x)
{
    return recipe_of(w->size, MODELS, x.model, x.pp, x.tp, x.schedule, x.precision, x.phase);
}

/* The slices of the rank's picture are those that a run saves, but for where their data is. */
static bool saves_as_planned(struct run *r, const struct memory_job *job, struct mesh_at at)
{
    struct slice *plan;
    int n = picture_slices(&plan, job, at), is = optimizer_slices(&r->optimizer, NULL, SLICES_SAVE);
    struct slice *run = calloc((size_t)is + 1, sizeof *run);
    optimizer_slices(&r->optimizer, run, SLICES_SAVE);
    bool ok = n == is;
    for (int i = 0; ok && i < n; i++)
        ok = strcmp(plan[i].name, run[i].name) == 0 && plan[i].n == run[i].n &&
             memcmp(&plan[i].at, &run[i].at, sizeof run[i].at) == 0;
    free(plan);
    free(run);
    return ok;
}

static const int *host;  /* of every rank, as the plan is told; NULL: all on one */
static size_t residuals; /* floats that the last run had */

static struct memory hold_extent(struct world *w, struct settings s, struct extent e)
{
    struct run r;
    struct memory plan;
    size_t before = arena_live_bytes();
    run_open(&r, w, s, NULL, e);
    size_t have = arena_live_bytes() - before;
    struct memory_job job = {&r.settings, r.ops, r.stage.dims.V, e, host};
    const struct mesh_at at = {r.mesh.d, r.mesh.p, r.mesh.t};
    memory_of_rank(&plan, &job, at);
    residuals = r.optimizer.residuals;
    if (e.keep == KEEP_TRAINING) ck_all(saves_as_planned(&r, &job, at), "slices of a checkpoint");
    size_t gradients = r.stage.arena.of[ARENA_GRADIENTS] + r.optimizer.arena.of[ARENA_GRADIENTS];
    ck_all(plan.total == have, "planned %zu bytes, taken %zu", plan.total, have);
    bool weights = e.keep != KEEP_MASTERS;
    ck_all(plan.of[ARENA_PARAMETERS] == (weights ? r.stage.arena.of[ARENA_PARAMETERS] : 0),
           "parameters");
    ck_all(plan.of[ARENA_GRADIENTS] == gradients, "gradients");
    ck_all(plan.of[ARENA_OPTIMIZER] == r.optimizer.arena.of[ARENA_OPTIMIZER], "optimizer");
    ck_all(plan.of[ARENA_ACTIVATIONS] == r.stage.arena.of[ARENA_ACTIVATIONS], "activations");
    ck_all((plan.of[ARENA_CACHES] > 0) == e.sampling, "caches");
    run_close(&r);
    return plan;
}

static void hold_against_run(struct world *w, struct settings s)
{
    struct memory plan = hold_extent(w, s, extent_of(phase_kinds, &s));
    ck_all(plan.of[ARENA_ACTIVATIONS] > 0, "kinds left empty");
}

START_TEST(plan_is_run)
{
    struct world *w = &ck_world;
    for (int pp = 1; pp <= w->size; pp *= 2) {
        const char *two = pp == 1 ? "serial" : "dualpipe", *one = pp == 1 ? "serial" : "1f1b";
        const char *vee = pp == 1 ? "serial" : "dualpipev";
        const struct wish wish[] = {{pp, 1, "", two, "bf16", ""},
                                    {pp, 1, ", tied: true", "auto", "fp32", ", kl: 0.1"},
                                    {pp, 1, ", qk_norm: true", one, "fp32", ""},
                                    {pp, 1, ", experts: 4", vee, "bf16", ""}};
        for (int i = 0; i < 4; i++) hold_against_run(w, settings_of(w, wish[i]));
    }
}
END_TEST

/* What is computed again takes less room, in slots and in the plan alike. */
START_TEST(computed_again)
{
    struct world *w = &ck_world;
    int pp = w->size;
    const char *schedule = pp == 1 ? "serial" : "dualpipe";
    struct wish wish = {pp, 1, ", qk_norm: true, experts: 4, first_dense: 5", schedule, "bf16", ""};
    size_t before = SIZE_MAX;
    for (int r = RECOMPUTE_NONE; r <= RECOMPUTE_FULL; r++) {
        struct settings s = settings_of(w, wish);
        s.mesh.recompute = r;
        struct memory m = hold_extent(w, s, extent_of(phase_kinds, &s));
        ck_all(m.of[ARENA_ACTIVATIONS] < before, "setting %d: %zu bytes, before it %zu", r,
               m.of[ARENA_ACTIVATIONS], before);
        before = m.of[ARENA_ACTIVATIONS];
    }
}
END_TEST

/* With pretended hosts: what rounding between hosts leaves, and room for sums on their path, are in
 * the plan as the run has them, and in its checkpoint. */
START_TEST(hosts_apart)
{
    struct world *w = &ck_world;
    int of[4];
    for (int each = 1; each < w->size; each *= 2) {
        char text[16];
        snprintf(text, sizeof text, "%d", each);
        ck_assert_int_eq(setenv("DUET_RANKS_PER_NODE", text, 1), 0);
        for (int i = 0; i < w->size; i++) of[i] = i / each;
        host = of;
        for (int i = 0; i < 2 * (CODEC_INT8 + 1); i++) {
            struct wish wish = {1, 1, i % 2 ? ", experts: 4" : "", "serial", "bf16", ""};
            struct settings s = settings_of(w, wish);
            s.mesh.ep = i % 2 && w->size == 4 ? 2 : 1;
            s.reduction.wire = i / 2;
            s.reduction.path = i % 2 ? REDUCE_AUTO : REDUCE_NODES;
            hold_against_run(w, s);
            ck_all((residuals > 0) == (i / 2 != CODEC_FP32), "wire %d: %zu floats are kept", i / 2,
                   residuals);
        }
    }
    host = NULL;
    ck_assert_int_eq(unsetenv("DUET_RANKS_PER_NODE"), 0);
}
END_TEST

/* Experts shared by pairs of pipelines. */
START_TEST(expert_parallel)
{
    struct world *w = &ck_world;
    for (int pp = 1; 2 * pp <= w->size; pp *= 2) {
        struct wish wish = {pp,     1,      ", experts: 6, experts_active: 3, first_dense: 1",
                            "auto", "bf16", ""};
        struct settings s = settings_of(w, wish);
        s.mesh.ep = 2;
        hold_against_run(w, s);
    }
}
END_TEST

/* Shares of layers, of rows too; the last rank of a pair has the shorter half of a vocabulary that
 * is odd. */
START_TEST(tensor_parallel)
{
    struct world *w = &ck_world;
    for (int pp = 1; 2 * pp <= w->size; pp *= 2) {
        const char *two = pp == 1 ? "serial" : "dualpipe";
        hold_against_run(w, settings_of(w, (struct wish){pp, 2, "", two, "fp32", ""}));
        hold_against_run(
            w, settings_of(w, (struct wish){pp, 2, ", qk_norm: true", two, "bf16", ", kl: 0.1"}));
        struct settings s = settings_of(w, (struct wish){pp, 2, ", experts: 4", two, "bf16", ""});
        s.mesh.sequence_parallel = SEQUENCE_PARALLEL_ON;
        hold_against_run(w, s);
    }
}
END_TEST

/* Opened to answer, to score, or to be saved again: what there is beside weights (or masters) and
 * caches is work space, neither gradients nor moments. */
START_TEST(opened_only)
{
    struct world *w = &ck_world;
    const struct extent opened[] = {
        {.keep = KEEP_WEIGHTS,
         .answers = 5,
         .samples = 1,
         .questions = 5,
         .max_new = 9,
         .sampling = true},
        {.keep = KEEP_WEIGHTS, .sequences = 20, .answers = 1, .questions = 1, .max_new = 1},
        {.keep = KEEP_MASTERS, .answers = 1, .questions = 1, .max_new = 1}};
    for (int pp = 1; pp <= w->size; pp *= 2)
        for (int i = 0; i < 3; i++) {
            const char *schedule = pp == 1 ? "serial" : i == 1 ? "dualpipe" : "1f1b";
            const struct wish wish = {pp, 1, ", tied: true", schedule, "bf16", ""};
            struct settings s = settings_of(w, wish);
            struct dims dims = settings_dims(&s, 100);
            double n = (double)params_count(&dims);
            struct memory m = hold_extent(w, s, opened[i]);
            bool masters = opened[i].keep == KEEP_MASTERS;
            ck_all(m.of[ARENA_GRADIENTS] == 0 && m.of[ARENA_ACTIVATIONS] == 0, "kept for learning");
            ck_all((double)m.of[ARENA_OPTIMIZER] < (masters ? 4 * 1.6 * n : 1),
                   "%zu bytes of the optimizer, %.0f weights", m.of[ARENA_OPTIMIZER], n);
        }
}
END_TEST

/* A step of twice as many sequences may have twice as many micro-batches: their plans take twice
 * the memory, not four times. */
START_TEST(plans_grow_in_line)
{
    struct settings s = settings_of(&ck_world, (struct wish){1, 1, "", "serial", "fp32", ""});
    size_t total[3];
    for (int i = 0; i < 3; i++) {
        struct memory m;
        struct memory_job job = {&s, ops_find(PRECISION_FP32, "plain"), 100,
                                 extent_of(phase_kinds, &s), NULL};
        job.extent.sequences = 5000 << i;
        memory_of_rank(&m, &job, (struct mesh_at){0});
        total[i] = m.total;
    }
    double first = (double)(total[1] - total[0]), second = (double)(total[2] - total[1]);
    ck_all(first > 0 && second / first > 1.9 && second / first < 2.1, "%zu %zu %zu bytes", total[0],
           total[1], total[2]);
    settings_free(&s);
}
END_TEST

static double resident(void)
{
    long total = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &total, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* What a process has resident is the plan and what is beside it, everything included: tables of
 * messages, plans of a schedule, data, kernels. The first test: others leave kernels behind. What
 * libraries take for themselves differs between machines: within 2 % and 32 MiB. */
START_TEST(resident_is_planned)
{
    struct world *w = &ck_world;
    if (w->size > 2 || SANITIZED) return; /* a GiB each; the sanitizer's own is resident, too */
    struct settings s =
        recipe_of(w->size,
                  "model: {layers: 8, hidden: 512, heads: 8, ffn: 1408, max_context: 512}\n"
                  "mesh: {pp: %d}\ndata: {task: arithmetic, micro_batch_tokens: 1024}\n"
                  "schedule: %s\nphases: [{kind: sft, batch: 64, steps: 1}, {kind: grpo, prompts: "
                  "8, samples: 8, max_new: 100, steps: 1}]\n",
                  w->size, w->size == 1 ? "serial" : "1f1b");
    struct extent e = extent_of(phase_kinds, &s);
    struct run r;
    struct memory plan;
    run_open(&r, w, s, NULL, e);
    double is = resident();
    struct memory_job job = {&r.settings, r.ops, r.stage.dims.V, e, NULL};
    memory_of_rank(&plan, &job, (struct mesh_at){r.mesh.d, r.mesh.p, r.mesh.t});
    double planned = (double)plan.total + (double)memory_beside(&job);
    printf("%.0f MiB planned, of them %.0f beside; resident %.0f\n", planned / 0x1p20,
           (double)memory_beside(&job) / 0x1p20, is / 0x1p20);
    ck_all(fabs(is - planned) < 0.02 * planned + 0x1p25, "%.0f MiB resident, %.0f planned",
           is / 0x1p20, planned / 0x1p20);
    run_close(&r);
}
END_TEST

/* Weights of the two ends, and an even share of the optimizer's state: from the parameter counts
 * alone. */
START_TEST(kinds_by_hand)
{
    struct world *w = &ck_world;
    struct settings s = settings_of(w, (struct wish){1, 1, "", "serial", "fp32", ""});
    struct memory m;
    struct memory_job job = {&s, ops_find(PRECISION_FP32, "plain"), 100, extent_of(phase_kinds, &s),
                             NULL};
    struct dims dims = settings_dims(&s, 100);
    memory_of_rank(&m, &job, (struct mesh_at){0});
    double n = (double)params_count(&dims);
    ck_all(fabs((double)m.of[ARENA_OPTIMIZER] / (12 * n / w->size) - 1) < 0.05, "%zu",
           m.of[ARENA_OPTIMIZER]);
    double slice = w->size > 1 ? 4 * n / w->size : 0; /* the only replica sums in place */
    ck_all(fabs((double)m.of[ARENA_GRADIENTS] / (2 * 4 * n + slice) - 1) < 0.05, "%zu",
           m.of[ARENA_GRADIENTS]);
    settings_free(&s);
}
END_TEST

#define TESTS(X)           \
    X(resident_is_planned) \
    X(plan_is_run)         \
    X(computed_again)      \
    X(hosts_apart)         \
    X(expert_parallel)     \
    X(tensor_parallel)     \
    X(opened_only)         \
    X(plans_grow_in_line)  \
    X(kinds_by_hand)

MPI_MAIN("memory plan")
