/* ranks: 1 2 */
/* Whole updates on a device whose memory faults when the host touches it
 * (tests/support/test_device.h): losses, norms and weights after two of them are the host's, bit
 * for bit, whatever rows the device lacks. */
#include "comm/base/missing.h"
#include "tests/support/small_outcome.h"
#include "tests/support/test_loss.h"
#include "tests/support/test_ops.h"
#include "tests/support/test_transport.h"

enum { SEQUENCES = 16, CONTEXT = 32, MESHES = 16 };

static const struct variant variants[] = {
    {"tied fp32 sft", "tied: true, qk_norm: true", PRECISION_FP32, &loss_sft, 0, 1},
    {"dense bf16 grpo kl", "", PRECISION_BF16, &policy_shapes[POLICY_CLIP][0], 0.1f, 0.8f},
    {"experts bf16 grpo", "experts: 4, experts_active: 3, first_dense: 1, balance: 0.1",
     PRECISION_BF16, &policy_shapes[POLICY_CLIP][0], 0, 1},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static struct small_batch batch[STEPS];

/* The two copies of a tied tensor lie at either end of a line, and on one rank of a mirror. */
static int schedule_of(const struct variant *v, int pp, int tp)
{
    if (pp == 1) return SCHEDULE_SERIAL;
    return tp > 1 || strstr(v->model, "tied") ? SCHEDULE_1F1B : SCHEDULE_DUALPIPE;
}

/* Every mesh of this world: its pipelines, replicas, shares of layers and of experts. */
static int meshes_make(struct small_shape *out, const struct variant *v)
{
    bool experts = strstr(v->model, "experts");
    int n = 0, size = ck_world.size;
    for (int pp = 1; pp <= size; pp *= 2)
        for (int tp = 1; tp * pp <= size && tp <= 2; tp *= 2)
            for (int ep = 1; ep <= 2; ep *= 2) {
                int dp = size / pp / tp;
                if (dp % ep != 0 || (ep > 1 && !experts)) continue;
                out[n++] =
                    (struct small_shape){.model = v->model,
                                         .precision = v->precision,
                                         .dp = dp,
                                         .pp = pp,
                                         .tp = tp,
                                         .ep = ep,
                                         .schedule = schedule_of(v, pp, tp),
                                         .layers = 4,
                                         .max_context = CONTEXT,
                                         .micro_batch_tokens = 64,
                                         .micro_batches = 8 / dp,
                                         .reference = v->kl > 0,
                                         .reduction = tp == 1 && pp == 1 ? "wire: bf16" : ""};
            }
    return n;
}

static void compare(const struct variant *v, struct small_shape shape)
{
    static const struct transport *const transports[] = {&test_transport, &test_transport_whole};
    struct outcome host, device;
    struct variant there = *v;
    struct loss_shape loss = *v->loss;
    char what[96];
    outcome_run(&host, &ck_world, shape, v, batch);
    loss.rows = test_loss_rows;
    there.loss = &loss;
    for (int i = 0; i < 2; i++) {
        shape.transport = transports[i];
        shape.ops = test_ops(v->precision, i == 1);
        const char *name = shape.transport->device->name;
        snprintf(what, sizeof what, "%s on %d x %d x %d, ep %d, %s", v->name, shape.dp, shape.pp,
                 shape.tp, shape.ep, name);
        unsigned long before = missing_uses(name, loss.name);
        outcome_run(&device, &ck_world, shape, &there, batch);
        unsigned long times = missing_uses(name, loss.name) - before;
        ck_all(world_any(&ck_world, times > 0) == (i == 0), "%s: %lu losses made up for", what,
               times);
        same_on_all_ranks(&device, what);
        same_bits(&device, &host, what);
        free(device.weights);
    }
    free(host.weights);
}

START_TEST(updates_are_the_hosts)
{
    struct small_shape shape[MESHES];
    for (int i = 0; i < VARIANTS; i++) {
        int n = meshes_make(shape, &variants[i]);
        for (int m = 0; m < n; m++) compare(&variants[i], shape[m]);
    }
}
END_TEST

/* --- what stood in --- */

/* No other test has tokens that are never sampled. */
static void fill_columns_here(void)
{
    enum { T = 3, N = 5 };
    float y[T * N] = {0}, *there = test_device.alloc(sizeof y);
    test_device.copy_in(there, y, sizeof y);
    test_ops(PRECISION_FP32, false)->fill_columns(there, (struct share){1, 2}, 7, T, N);
    test_device.copy_out(y, there, sizeof y);
    for (int i = 0; i < T * N; i++)
        ck_assert_float_eq(y[i], i % N == 1 || i % N == 2 ? 7.0f : 0.0f);
    test_device.release(there);
}

/* Nor a head that scores. */
static void score_here(void)
{
    enum { T = 2, C = 3 };
    const float x[T * C] = {1, 2, 3, 4, 5, 6}, w[C] = {1, 0, -1};
    float *x_there = test_device.alloc(sizeof x), *w_there = test_device.alloc(sizeof w);
    float score[T] = {0}, *there = test_device.alloc(sizeof score);
    test_device.copy_in(x_there, x, sizeof x);
    test_device.copy_in(w_there, w, sizeof w);
    test_ops(PRECISION_FP32, false)->score_forward(there, x_there, w_there, T, C);
    test_device.copy_out(score, there, sizeof score);
    for (int t = 0; t < T; t++) ck_assert_float_eq(score[t], -2.0f);
    test_device.release(there);
    test_device.release(w_there);
    test_device.release(x_there);
}

#define STAGED_NAME(row) #row,
START_TEST(every_stand_in_was_used)
{
    static const char *const row[] = {OPS_TENSOR_ROWS(STAGED_NAME)};
    fill_columns_here();
    score_here();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        bool shares = strncmp(row[i], "logprob_", 8) == 0 || strcmp(row[i], "to_float") == 0;
        bool used = missing_uses("test ops", row[i]) > 0;
        bool places = strcmp(row[i], "linear_place") == 0; /* touches no memory */
        ck_all(world_any(&ck_world, used) || places || (shares && ck_world.size == 1), "%s",
               row[i]);
    }
}
END_TEST

/* --- memory --- */

/* A step allocates nothing but what stands in for missing rows, and those are no arenas. */
START_TEST(arenas_do_not_grow)
{
    struct small_shape shape[MESHES];
    struct small t;
    struct step_stats stats;
    const struct variant *v = &variants[1];
    INVARIANT(meshes_make(shape, v) > 0, "no mesh");
    shape[0].transport = &test_transport_whole;
    shape[0].ops = test_ops(v->precision, true);
    small_make(&t, &ck_world, shape[0]);
    long allocations = arena_allocations();
    struct step_job job = variant_job(v, &batch[0]);
    learner_step(&t.learner, &job, &stats);
    ck_all(arena_allocations() == allocations && !stats.skipped, "arenas grow in a step");
    ck_all(t.optimizer.arena.device == &test_device_whole, "the optimizer's state is there");
    ck_all(t.optimizer.arena.used == t.optimizer.arena.size &&
               t.optimizer.host.used == t.optimizer.host.size,
           "what was measured is placed");
    small_free(&t);
}
END_TEST

/* Every rank a host of its own: then gradients are rounded, and residuals kept. */
static void prepare(void)
{
    setenv("DUET_RANKS_PER_NODE", "1", 1);
    for (int s = 0; s < STEPS; s++)
        small_batch_make(&batch[s], SEQUENCES, CONTEXT, (uint64_t)s + 1);
}

#define TESTS(X)               \
    X(updates_are_the_hosts)   \
    X(every_stand_in_was_used) \
    X(arenas_do_not_grow)

MPI_MAIN("learner on a device", .before_all = prepare)
