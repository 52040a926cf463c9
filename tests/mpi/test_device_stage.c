/* ranks: 1 2 */
/* A stage on a device whose memory faults when the host touches it (tests/support/test_device.h):
 * two steps of every family, on every mesh of this world, give the gradients and losses of the
 * host, bit for bit. Once the device lacks whatever rows may be missing, the loss among them, once
 * it has them all. */
#include "comm/base/missing.h"
#include "tests/support/check_mpi.h"
#include "tests/support/small_trainer.h"
#include "tests/support/test_loss.h"
#include "tests/support/test_ops.h"
#include "tests/support/test_transport.h"

enum { STEPS = 2, SEQUENCES = 16, CONTEXT = 32, MICRO_BATCHES = 8 };

struct variant {
    const char *name, *model;
    enum precision precision;
    const struct loss_shape *loss;
    float kl;
};
static const struct variant variants[] = {
    {"plain fp32 sft", "", PRECISION_FP32, &loss_sft, 0},
    {"all bf16 grpo kl", "qkv_bias: true, o_bias: true, mlp_bias: true, qk_norm: true",
     PRECISION_BF16, &policy_shapes[POLICY_CLIP][0], 0.1f},
    {"experts bf16 grpo", "experts: 4, experts_active: 3, first_dense: 1, balance: 0.1",
     PRECISION_BF16, &policy_shapes[POLICY_CLIP][0], 0},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static struct small_batch batch[STEPS];

static void take_loss(struct stage *s, struct loss *l, const struct loss_shape *shape, float kl)
{
    static struct loss_shape with_row;
    with_row = *shape;
    with_row.rows = test_loss_rows;
    loss_begin(l, shape, (struct objective){.clip_low = 0.2f, .clip_high = 0.3f, .kl = kl});
    s->loss = (struct stage_loss){.name = shape->name,
                                  .host = loss_run,
                                  .row = loss_row_of(&with_row, s->device),
                                  .ctx = l,
                                  .learns = shape->learns};
}

/* --- two steps by hand --- */

/* What a rank ends with, on the host. */
struct outcome {
    int heads; /* micro-batches whose head is here */
    size_t n[MAX_LOCAL];
    float *grad[STEPS][MAX_LOCAL][2];
    struct exact_sum sum[STEPS][LOSS_SUMS];
    uint64_t chosen[STEPS][MAX_LOCAL][8 * 4];
};

static void weights_set(struct stage *s, struct local *l, const float *w)
{
    size_t bytes = l->params.total * s->ops->real_bytes;
    void *real = memory_take(bytes, 1, "a test");
    ops_find(s->ops->precision, NULL)->to_real(real, w, l->params.total);
    s->device->copy_in(l->weights, real, bytes);
    if (l->reference) s->device->copy_in(l->reference, real, bytes);
    chunk_repack(l->model);
    free(real);
}

static void run_step(struct small *t, const struct variant *v, struct outcome *o, int step)
{
    struct stage *s = &t->stage;
    struct loss loss;
    for (int m = 0; m < MICRO_BATCHES; m++) micro_batch_clear(&s->mb[m]);
    for (int i = 0; i < SEQUENCES; i++)
        micro_batch_append(&s->mb[i % MICRO_BATCHES], &batch[step].sequence[i],
                           batch[step].weight[i]);
    stage_copy_in(s, MICRO_BATCHES);
    if (v->kl > 0) {
        take_loss(s, &loss, &loss_reference, 0);
        stage_run(s, MICRO_BATCHES, true, NULL);
    }
    take_loss(s, &loss, v->loss, v->kl);
    stage_zero_gradients(s);
    stage_clear_load(s);
    s->balance = 0.01f;
    stage_run(s, MICRO_BATCHES, false, NULL);
    memcpy(o->sum[step], loss.sum, sizeof loss.sum);
}

/* Takes the gradients, and goes a step along them. */
static void learn(struct small *t, struct local *l, float *w, struct outcome *o, int step)
{
    struct stage *s = &t->stage;
    struct exact_sum balance;
    int k = (int)(l - s->local);
    size_t n = o->n[k] = l->params.total;
    for (int i = 0; i < 2 && l->grad[i]; i++) {
        float *g = o->grad[step][k][i] = memory_take(n, sizeof *g, "a test");
        s->device->copy_out(g, l->grad[i], n * sizeof *g);
        for (size_t e = 0; e < n; e++) w[e] -= 0.1f * g[e];
    }
    chunk_load(l->model, o->chosen[step][k], &balance);
    weights_set(s, l, w);
}

static void run(struct outcome *o, const struct variant *v, const struct small_shape *shape)
{
    struct small t;
    float *w[MAX_LOCAL];
    *o = (struct outcome){0};
    small_stage_make(&t, &ck_world, *shape);
    long allocations = arena_allocations();
    struct stage *s = &t.stage;
    for (int m = 0; m < MICRO_BATCHES; m++) o->heads += stage_has_head(s, m);
    for (int k = 0; k < s->n_local; k++) {
        const struct param_list *p = &s->local[k].params;
        w[k] = memory_take(p->total, sizeof *w[k], "a test");
        for (int i = 0; i < p->n; i++)
            for (size_t e = 0; e < p->p[i].n; e++)
                w[k][p->p[i].offset + e] = param_init(&s->dims, &p->p[i], e, 3);
        weights_set(s, &s->local[k], w[k]);
    }
    for (int step = 0; step < STEPS; step++) {
        run_step(&t, v, o, step);
        for (int k = 0; k < s->n_local; k++) learn(&t, &s->local[k], w[k], o, step);
    }
    ck_all(arena_allocations() == allocations, "%s: arenas grow in a step", v->name);
    for (int k = 0; k < s->n_local; k++) free(w[k]);
    small_stage_free(&t);
}

static void outcome_free(struct outcome *o)
{
    for (int step = 0; step < STEPS; step++)
        for (int k = 0; k < MAX_LOCAL; k++)
            for (int i = 0; i < 2; i++) free(o->grad[step][k][i]);
}

static void same_outcome(const struct outcome *a, const struct outcome *b, const char *what)
{
    bool gradients = true, any = false;
    for (int step = 0; step < STEPS; step++)
        for (int k = 0; k < MAX_LOCAL; k++)
            for (int i = 0; i < 2; i++) {
                const float *g = a->grad[step][k][i], *h = b->grad[step][k][i];
                any = any || g;
                gradients = gradients && !g == !h && (!g || memcmp(g, h, a->n[k] * sizeof *g) == 0);
            }
    ck_all(any && gradients, "%s: gradients", what);
    ck_all(memcmp(a->sum, b->sum, sizeof a->sum) == 0, "%s: losses", what);
    ck_all(memcmp(a->chosen, b->chosen, sizeof a->chosen) == 0, "%s: experts", what);
}

/* --- meshes, devices --- */

static const struct {
    int dp, pp, tp, ep, schedule, sequence_parallel;
} meshes[] = {{1, 1, 1, 1, SCHEDULE_SERIAL, 0},
              {1, 2, 1, 1, SCHEDULE_1F1B, 0},
              {1, 2, 1, 1, SCHEDULE_DUALPIPE, 0},
              {1, 2, 1, 1, SCHEDULE_DUALPIPEV, 0},
              {1, 1, 2, 1, SCHEDULE_SERIAL, 0},
              {2, 1, 1, 2, SCHEDULE_SERIAL, 0},
              {1, 1, 2, 1, SCHEDULE_SERIAL, SEQUENCE_PARALLEL_ON}};
enum { MESHES = sizeof meshes / sizeof *meshes };

static bool shape_of(struct small_shape *shape, const struct variant *v, int mesh)
{
    bool experts = strstr(v->model, "experts");
    *shape = (struct small_shape){.model = v->model,
                                  .precision = v->precision,
                                  .dp = meshes[mesh].dp,
                                  .pp = meshes[mesh].pp,
                                  .tp = meshes[mesh].tp,
                                  .ep = meshes[mesh].ep,
                                  .schedule = meshes[mesh].schedule,
                                  .sequence_parallel = meshes[mesh].sequence_parallel,
                                  .layers = 4,
                                  .max_context = CONTEXT,
                                  .micro_batch_tokens = 64,
                                  .micro_batches = MICRO_BATCHES,
                                  .reference = v->kl > 0};
    return shape->dp * shape->pp * shape->tp == ck_world.size && (experts || shape->ep == 1);
}

/* On a device without rows every forward of the head goes by way of the host: micro-batches have
 * one block. */
static void compare(const struct variant *v, struct small_shape shape)
{
    static const struct transport *const transports[] = {&test_transport, &test_transport_whole};
    struct outcome host, device;
    run(&host, v, &shape);
    for (int i = 0; i < 2; i++) {
        shape.transport = transports[i];
        shape.ops = test_ops(v->precision, i == 1);
        unsigned long staged = missing_uses("test ops", "linear_forward");
        const char *name = shape.transport->device->name;
        unsigned long before = missing_uses(name, v->loss->name);
        unsigned long reference = missing_uses(name, loss_reference.name);
        run(&device, v, &shape);
        same_outcome(&device, &host, v->name);
        ck_all((missing_uses("test ops", "linear_forward") > staged) == (i == 0), "%s: products",
               v->name);
        unsigned long times = missing_uses(name, v->loss->name) - before;
        unsigned long expected = i == 0 ? (unsigned long)(STEPS * host.heads) : 0;
        ck_all(times == expected, "%s on %s: %lu losses made up for, not %lu", v->name, name, times,
               expected);
        times = missing_uses(name, loss_reference.name) - reference;
        ck_all(times == (v->kl > 0 ? expected : 0), "%s on %s: %lu references", v->name, name,
               times);
        outcome_free(&device);
    }
    outcome_free(&host);
}

START_TEST(gradients_are_the_hosts)
{
    int n = 0;
    for (int step = 0; step < STEPS; step++)
        small_batch_make(&batch[step], SEQUENCES, CONTEXT, (uint64_t)step + 1);
    for (int i = 0; i < VARIANTS; i++)
        for (int mesh = 0; mesh < MESHES; mesh++) {
            struct small_shape shape;
            if (!shape_of(&shape, &variants[i], mesh)) continue;
            compare(&variants[i], shape);
            n++;
        }
    ck_assert_int_ge(n, VARIANTS);
}
END_TEST

/* --- memory --- */

/* What is measured is what is taken, on the device and beside it. */
START_TEST(memory_is_what_was_measured)
{
    for (int mesh = 0; mesh < MESHES; mesh++) {
        struct small_shape shape;
        struct small t;
        struct stage measured;
        if (!shape_of(&shape, &variants[VARIANTS - 1], mesh)) continue;
        shape.transport = &test_transport_whole;
        shape.ops = test_ops(shape.precision, true);
        small_stage_make(&t, &ck_world, shape);
        const struct stage *s = &t.stage;
        const struct stage_job job = {.settings = &t.settings,
                                      .mesh = &t.mesh,
                                      .transport = shape.transport,
                                      .ops = shape.ops,
                                      .dims = s->dims,
                                      .max_mb = s->max_mb};
        stage_measure(&measured, &job);
        ck_all(s->arena.device == shape.transport->device && s->host.device == &device_host,
               "an arena each");
        ck_all(measured.arena.used == s->arena.size && measured.host.used == s->host.size,
               "%zu and %zu bytes, taken %zu and %zu", measured.arena.used, measured.host.used,
               s->arena.size, s->host.size);
        ck_all(s->arena.used == s->arena.size && s->host.used == s->host.size, "placed in full");
        ck_all(engine_measure(t.mesh.pp, &s->passes, s->max_mb) == engine_bytes(s->engine),
               "the engine's");
        stage_free(&measured);
        small_stage_free(&t);
    }
}
END_TEST

#define TESTS(X)               \
    X(gradients_are_the_hosts) \
    X(memory_is_what_was_measured)

MPI_MAIN("stage on a device")
