/* ranks: 2 4; on each instruction set: 2 */
/* Sequences cut over the ranks that share layers (mesh.sequence_parallel): two optimizer steps have
 * the bits of the same mesh with whole sequences, whichever schedule, whatever is computed again,
 * and with experts; what is sampled is what is learned from. Micro-batches are of all sizes, so
 * that rows do not divide by tp and some ranks have fewer. */
#include "tests/support/small_answers.h"
#include "tests/support/small_outcome.h"
#include "trainer/planner/traffic_step.h"

enum { SEQUENCES = 16, CONTEXT = 32, MICRO_BATCHES = 8 };

static struct small_batch batch[STEPS];

static const struct variant variants[] = {
    {"bf16 grpo", "tied: true, qkv_bias: true, o_bias: true, mlp_bias: true", PRECISION_BF16,
     &policy_shapes[POLICY_CLIP][0], 0.1f, 0.8f},
    {"qk_norm fp32 sft", "qk_norm: true", PRECISION_FP32, &loss_sft, 0, 1},
    {"experts bf16 grpo", "experts: 4, experts_active: 2, first_dense: 1, balance: 0.1",
     PRECISION_BF16, &policy_shapes[POLICY_CLIP][0], 0, 1},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

struct way {
    int dp, pp, tp, ep, schedule;
    enum recompute recompute;
};

static struct small_shape shape_of(const struct variant *v, struct way way)
{
    return (struct small_shape){.model = v->model,
                                .precision = v->precision,
                                .dp = way.dp,
                                .pp = way.pp,
                                .tp = way.tp,
                                .ep = way.ep,
                                .kv_heads = 4,
                                .schedule = way.schedule,
                                .recompute = way.recompute,
                                .max_context = CONTEXT,
                                .micro_batch_tokens = 61,
                                .micro_batches = MICRO_BATCHES / way.dp,
                                .reference = v->kl > 0};
}

static void hold(const struct variant *v, struct way way)
{
    struct outcome whole, cut;
    char what[128];
    struct small_shape shape = shape_of(v, way);
    snprintf(what, sizeof what, "%s on %d x %d x %d x %d, schedule %d, recompute %d", v->name,
             way.dp, way.pp, way.ep, way.tp, way.schedule, (int)way.recompute);
    shape.sequence_parallel = SEQUENCE_PARALLEL_OFF;
    outcome_run(&whole, &ck_world, shape, v, batch);
    ck_all(whole.stats[0].grad_norm > 1e-2, "%s: nothing to learn", v->name);
    shape.sequence_parallel = SEQUENCE_PARALLEL_ON;
    outcome_run(&cut, &ck_world, shape, v, batch);
    same_on_all_ranks(&cut, what);
    same_bits(&cut, &whole, what);
    free(whole.weights);
    free(cut.weights);
}

/* One stage: all ranks share it. */
START_TEST(one_stage)
{
    struct way way = {1, 1, ck_world.size, 1, SCHEDULE_SERIAL, RECOMPUTE_NONE};
    for (int i = 0; i < VARIANTS; i++) {
        bool all = ck_world.size == 2 || i == 2;
        for (int r = RECOMPUTE_NONE; r <= RECOMPUTE_FULL; r += all ? 1 : 3) {
            way.recompute = (enum recompute)r;
            hold(&variants[i], way);
        }
    }
}
END_TEST

/* Messages between stages are of a rank's rows; B and W together and apart, in pairs and alone. */
START_TEST(stages)
{
    static const int schedule[] = {SCHEDULE_ZB1P, SCHEDULE_DUALPIPE, SCHEDULE_DUALPIPEV};
    if (ck_world.size < 4) return;
    for (int i = 0; i < VARIANTS; i++) {
        hold(&variants[i], (struct way){1, 2, 2, 1, schedule[i], RECOMPUTE_NONE});
        hold(&variants[i], (struct way){1, 2, 2, 1, schedule[(i + 1) % 3], RECOMPUTE_SELECTIVE});
    }
}
END_TEST

/* Experts that pipelines share; rows that have no room go in further rounds. */
START_TEST(shared_experts)
{
    if (ck_world.size < 4) return;
    hold(&variants[2], (struct way){2, 1, 2, 2, SCHEDULE_SERIAL, RECOMPUTE_NONE});
    hold(&variants[2], (struct way){2, 1, 2, 2, SCHEDULE_SERIAL, RECOMPUTE_FULL});
}
END_TEST

/* --- bytes --- */

/* A wire that counts. */
static double sent_bytes;

static void counting_post(void *self, const struct transport_piece *piece)
{
    if (piece->send) sent_bytes += (double)piece->bytes;
    transport_mpi.post(self, piece);
}

/* Bytes of all ranks together that the planner says of the step that t has made. */
static double planned(const struct small *t, long rows)
{
    struct traffic traffic;
    struct plan plan;
    int chunks, hosts = ck_world.size, host[8], bins = t->learner.deal.bins;
    const struct memory_job memory = {.settings = &t->settings,
                                      .ops = t->stage.ops,
                                      .vocabulary = SMALL_V,
                                      .extent = {.sequences = SEQUENCES}};
    int *first = memory_split(&memory, &chunks);
    for (int i = 0; i < hosts; i++) host[i] = i;
    schedule_plan(&plan, &t->settings, &t->stage.dims, bins);
    const struct traffic_job job = {
        .memory = memory, .plan = &plan, .first = first, .rows = (double)rows / bins};
    traffic_new(&traffic, hosts, hosts, host, false);
    traffic_step(&traffic, &job);
    double bytes = traffic_between(&traffic, TRAFFIC_TENSOR);
    traffic_free(&traffic);
    plan_free(&plan);
    free(first);
    return bytes;
}

/* All that goes over the wire is the exchanges of tp: there is one replica, and one stage. */
START_TEST(as_many_bytes_as_planned)
{
    static const struct variant v = {"sft", "", PRECISION_BF16, &loss_sft, 0, 1};
    struct transport counting = transport_mpi;
    counting.post = counting_post;
    for (int r = RECOMPUTE_NONE; r <= RECOMPUTE_FULL; r++) {
        struct small t;
        struct step_stats stats;
        struct small_shape shape =
            shape_of(&v, (struct way){1, 1, ck_world.size, 1, SCHEDULE_SERIAL, (enum recompute)r});
        shape.sequence_parallel = SEQUENCE_PARALLEL_ON;
        shape.transport = &counting;
        small_make(&t, &ck_world, shape);
        sent_bytes = 0;
        struct step_job job = variant_job(&v, &batch[0]);
        learner_step(&t.learner, &job, &stats);
        double all, want = planned(&t, stats.rows);
        MPI_OK(MPI_Allreduce(&sent_bytes, &all, 1, MPI_DOUBLE, MPI_SUM, ck_world.comm));
        ck_all(fabs(all - want) <= 1e-9 * want, "recompute %d: %.0f bytes, planned %.0f", r, all,
               want);
        small_free(&t);
    }
}
END_TEST

/* --- on-policy --- */

enum { QUESTIONS = 3, SAMPLES = 4, ANSWERS = QUESTIONS * SAMPLES, MAX_NEW = 14 };
static const int prompt_length[QUESTIONS] = {1, 18, 16};
static struct small_questions questions;

/* Decoded rows are whole on every rank, those of a micro-batch are cut: the same bits (P2). */
static void sample_and_learn(const struct variant *v, struct way way)
{
    static struct small_answers a;
    static struct small_batch b;
    struct small t;
    struct step_stats stats;
    struct small_shape shape = shape_of(v, way);
    shape.sequence_parallel = SEQUENCE_PARALLEL_ON;
    shape.decode_slots = 5;
    small_make(&t, &ck_world, shape);
    struct rollout *r =
        rollout_new(&t.stage, &ck_world, (struct rollout_room){ANSWERS, SAMPLES, MAX_NEW});
    struct small_source source = {.rollout = r, .learner = &t.learner};
    for (uint32_t round = 0; round < 2; round++) {
        struct rollout_job j = small_rollout_job(&questions, SAMPLES, MAX_NEW);
        j.step = round;
        j.sampling.temperature = v->temperature;
        small_answers_take(&a, &ck_world, rollout_run(r, &j, NULL), ANSWERS);
        struct step_job learn = small_answers_job(&b, &questions, &a, SAMPLES, ANSWERS);
        small_answers_elsewhere(&learn, &b, &source);
        learn.inv_temperature = 1 / v->temperature;
        learner_step(&t.learner, &learn, &stats);
        ck_all(stats.max_deviation == 0 && stats.tokens > ANSWERS && stats.grad_norm > 1e-4,
               "%s, round %u: deviation %g, norm %g", v->name, round, stats.max_deviation,
               stats.grad_norm);
    }
    rollout_free(r);
    small_free(&t);
}

START_TEST(ratio_is_one)
{
    int pp = ck_world.size / 2, schedule = pp == 1 ? SCHEDULE_SERIAL : SCHEDULE_DUALPIPE;
    small_questions_make(&questions, prompt_length, QUESTIONS);
    for (int i = 0; i < VARIANTS; i++)
        sample_and_learn(&variants[i], (struct way){1, pp, 2, 1, schedule, RECOMPUTE_NONE});
}
END_TEST

static void batches_make(void)
{
    small_batches_make(batch, STEPS, SEQUENCES, CONTEXT);
}

#define TESTS(X)                \
    X(one_stage)                \
    X(stages)                   \
    X(shared_experts)           \
    X(as_many_bytes_as_planned) \
    X(ratio_is_one)

MPI_MAIN("sequence", .before_all = batches_make)
