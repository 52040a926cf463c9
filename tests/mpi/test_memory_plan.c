/* ranks: 1 2 4 */
/* The planned memory is the memory: on every rank, kind by kind and in all, what memory_of_rank says without MPI is what
 * the trainer then has. */
#include "tests/support/check_mpi.h"
#include "tests/support/small_trainer.h"
#include "trainer/plan/memory.h"

static const char *const MODELS = "model: {layers: 5, hidden: 32, heads: 4, kv_heads: 2, ffn: 48, "
                                  "max_context: 96%s}\n"
                                  "mesh: {pp: %d, decode_slots: 6}\n"
                                  "data: {task: arithmetic, micro_batch_tokens: 128}\n"
                                  "schedule: %s\nprecision: %s\n"
                                  "phases: [{kind: sft, batch: 20, steps: 1}, {kind: grpo, "
                                  "prompts: 3, samples: 2, max_new: 20, steps: 1%s}]\n";

static struct settings settings_of(const struct world *w, int pp, const char *more,
                                   const char *schedule, const char *precision, const char *phase)
{
    char yaml[1024];
    struct settings s;
    struct problems p = {0};
    snprintf(yaml, sizeof yaml, MODELS, more, pp, schedule, precision, phase);
    settings_defaults(&s);
    bool ok =
        settings_parse(&s, yaml, strlen(yaml), "plan.yaml", &p) && settings_check(&s, w->size, &p);
    INVARIANT(ok, "%s", p.n ? p.text[0] : "?");
    return s;
}

static void hold_against_run(struct world *w, struct settings s)
{
    struct run r;
    struct memory plan;
    struct extent e = run_extent(&s);
    size_t before = arena_live_bytes();
    run_open(&r, w, s, NULL, e);
    size_t have = arena_live_bytes() - before;
    struct memory_job job = {&r.settings, r.ops, r.actor.dims.V, e};
    memory_of_rank(&plan, &job, r.mesh.d, r.mesh.p);
    size_t gradients = r.actor.arena.of[ARENA_GRADIENTS] + r.optimizer.arena.of[ARENA_GRADIENTS];
    ck_all(plan.total == have, "planned %zu bytes, taken %zu", plan.total, have);
    ck_all(plan.of[ARENA_PARAMETERS] == r.actor.arena.of[ARENA_PARAMETERS], "parameters");
    ck_all(plan.of[ARENA_GRADIENTS] == gradients, "gradients");
    ck_all(plan.of[ARENA_OPTIMIZER] == r.optimizer.arena.of[ARENA_OPTIMIZER], "optimizer");
    ck_all(plan.of[ARENA_ACTIVATIONS] == r.actor.arena.of[ARENA_ACTIVATIONS], "activations");
    ck_all(plan.of[ARENA_ACTIVATIONS] > 0 && plan.of[ARENA_CACHES] > 0, "kinds left empty");
    run_close(&r);
}

START_TEST(plan_is_run)
{
    struct world *w = &ck_world;
    for (int pp = 1; pp <= w->size; pp *= 2) {
        const char *schedule = pp == 1 ? "serial" : "dualpipe";
        hold_against_run(w, settings_of(w, pp, "", schedule, "bf16", ""));
        hold_against_run(w, settings_of(w, pp, ", tied: true", "auto", "fp32", ", kl: 0.1"));
        if (pp > 1) hold_against_run(w, settings_of(w, pp, ", qk_norm: true", "1f1b", "fp32", ""));
    }
}
END_TEST

/* Weights of the two ends, and an even share of the optimizer's state: from the parameter counts alone. */
START_TEST(kinds_by_hand)
{
    struct world *w = &ck_world;
    struct settings s = settings_of(w, 1, "", "serial", "fp32", "");
    struct memory m;
    struct memory_job job = {&s, ops_find(PRECISION_FP32, "plain"), 100, run_extent(&s)};
    struct dims dims = settings_dims(&s, 100);
    memory_of_rank(&m, &job, 0, 0);
    double n = (double)params_count(&dims);
    ck_all(fabs((double)m.of[ARENA_OPTIMIZER] / (12 * n / w->size) - 1) < 0.05, "%zu",
           m.of[ARENA_OPTIMIZER]);
    ck_all(fabs((double)m.of[ARENA_GRADIENTS] / (2 * 4 * n + 4 * n / w->size) - 1) < 0.05, "%zu",
           m.of[ARENA_GRADIENTS]);
    settings_free(&s);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *tests[] = {plan_is_run, kinds_by_hand};
    return check_mpi_main("memory plan", tests, 2, argc, argv);
}
