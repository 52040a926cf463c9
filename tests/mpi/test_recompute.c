/* ranks: 1 2 4; on each instruction set: 1 2 */
/* A trainer that computes activations again ends with the weights of one that keeps them, bit for
 * bit: under every schedule, also where B and W are split and where passes are run in pairs, with
 * shared layers and with shared experts. */
#include "tests/support/small_outcome.h"

enum { SEQUENCES = 16, CONTEXT = 32, LAYERS = 8, MICRO_BATCHES = 8 };

static struct small_batch batch[STEPS];

static const struct variant variants[] = {
    {"bf16 grpo", "tied: true, qkv_bias: true, mlp_bias: true", PRECISION_BF16,
     &policy_shapes[POLICY_CLIP][0], 0.1f, 1},
    {"qk_norm fp32 sft", "qk_norm: true", PRECISION_FP32, &loss_sft, 0, 1},
    {"experts bf16 grpo", "experts: 4, experts_active: 2, first_dense: 1, balance: 0.1",
     PRECISION_BF16, &policy_shapes[POLICY_CLIP][0], 0, 1},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

struct way {
    int dp, pp, tp, ep, schedule;
};

/* Settings from `from` on. Both runs on the same mesh: whether meshes agree with each other is
 * test_step's. */
static void hold(const struct variant *v, struct way way, enum recompute from)
{
    static const char *const called[] = {"none", "selective", "products", "full"};
    struct outcome kept, again;
    char what[128];
    struct small_shape shape = {.model = v->model,
                                .precision = v->precision,
                                .dp = way.dp,
                                .pp = way.pp,
                                .tp = way.tp,
                                .ep = way.ep,
                                .schedule = way.schedule,
                                .layers = LAYERS,
                                .max_context = CONTEXT,
                                .micro_batch_tokens = 64,
                                .micro_batches = MICRO_BATCHES / way.dp,
                                .reference = v->kl > 0};
    outcome_run(&kept, &ck_world, shape, v, batch);
    ck_all(kept.stats[0].grad_norm > 1e-2, "%s: nothing to learn", v->name);
    for (int r = (int)from; r <= (int)RECOMPUTE_FULL; r++) {
        shape.recompute = (enum recompute)r;
        snprintf(what, sizeof what, "%s on %d x %d x %d x %d, schedule %d, %s", v->name, way.dp,
                 way.pp, way.ep, way.tp, way.schedule, called[r]);
        outcome_run(&again, &ck_world, shape, v, batch);
        same_on_all_ranks(&again, what);
        same_bits(&again, &kept, what);
        free(again.weights);
    }
    free(kept.weights);
}

START_TEST(schedules)
{
    int pp = ck_world.size;
    for (int schedule = SCHEDULE_AUTO; schedule < SCHEDULES; schedule++) {
        if ((schedule == SCHEDULE_SERIAL) != (pp == 1)) continue;
        for (int i = 0; i < VARIANTS; i++)
            hold(&variants[i], (struct way){1, pp, 1, 1, schedule}, RECOMPUTE_FULL);
    }
}
END_TEST

/* With exchanges to wait for, a pair's passes are really stepped in turn. */
START_TEST(shared_layers)
{
    int pp = ck_world.size / 2, schedule = pp == 1 ? SCHEDULE_SERIAL : SCHEDULE_DUALPIPE;
    if (ck_world.size == 1) return;
    for (int i = 0; i < VARIANTS; i++)
        hold(&variants[i], (struct way){1, pp, 2, 1, schedule}, RECOMPUTE_SELECTIVE);
    if (pp > 1) hold(&variants[0], (struct way){1, pp, 2, 1, SCHEDULE_DUALPIPEV}, RECOMPUTE_FULL);
}
END_TEST

START_TEST(shared_experts)
{
    int pp = ck_world.size / 2, schedule = pp == 1 ? SCHEDULE_SERIAL : SCHEDULE_DUALPIPE;
    if (ck_world.size == 1) return;
    hold(&variants[2], (struct way){2, pp, 1, 2, schedule}, RECOMPUTE_SELECTIVE);
    if (pp > 1) hold(&variants[2], (struct way){2, pp, 1, 2, SCHEDULE_ZB1P}, RECOMPUTE_FULL);
}
END_TEST

static void batches_make(void)
{
    small_batches_make(batch, STEPS, SEQUENCES, CONTEXT);
}

#define TESTS(X)     \
    X(schedules)     \
    X(shared_layers) \
    X(shared_experts)

MPI_MAIN("recompute", .before_all = batches_make)
