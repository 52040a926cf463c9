/* ranks: 2 4 8; on each instruction set: 2 */
/* Tensor parallelism equals one rank, within the rounding that its sums may differ by: a product
 * whose inner sum is cut over tp ranks is added in another order, in fp32, and rounded once. Stated
 * bounds: two optimizer steps in fp32 give losses and gradient norms within 1e-5 (relative) and
 * weights within 1e-5; in bf16, where a sum that rounds the other way is 2^-9 off, losses within
 * 2e-3, norms and weights within 0.03. The same mesh gives the same bits, run after run and
 * schedule by schedule. */
#include "comm/base/problems.h"
#include "tests/support/shared_folder.h"
#include "tests/support/small_answers.h"
#include "tests/support/small_outcome.h"

enum { SEQUENCES = 24, CONTEXT = 32, MICRO_BATCHES = 8, MESHES = 32 };

static struct world alone;
static struct small_batch batch[STEPS];

static const struct variant variants[] = {
    {"fp32 sft", "qk_norm: true, qkv_bias: true", PRECISION_FP32, &loss_sft, 0, 1},
    {"tied fp32 grpo kl", "tied: true", PRECISION_FP32, &policy_shapes[POLICY_CLIP][0], 0.1f, 0.8f},
    {"bf16 grpo", "qk_norm: true, tied: true", PRECISION_BF16, &policy_shapes[POLICY_CLIP][0], 0,
     1},
    {"biases fp32 sft",
     "qkv_bias: true, o_bias: true, mlp_bias: true, rope_scaling: llama3, rope_factor: 8, "
     "rope_original: 16",
     PRECISION_FP32, &loss_sft, 0, 1},
    {"experts fp32 sft", "experts: 6, first_dense: 1, balance: 0.1", PRECISION_FP32, &loss_sft, 0,
     1},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

struct mesh_case {
    int dp, pp, tp, schedule;
};

static struct small_shape shape_of(const struct variant *v, struct mesh_case m)
{
    return (struct small_shape){.model = v->model,
                                .precision = v->precision,
                                .dp = m.dp,
                                .pp = m.pp,
                                .tp = m.tp,
                                .kv_heads = 4,
                                .schedule = m.schedule,
                                .max_context = CONTEXT,
                                .micro_batch_tokens = 64,
                                .micro_batches = MICRO_BATCHES / m.dp,
                                .reference = v->kl > 0};
}

static void run(struct outcome *o, const struct world *w, const struct variant *v,
                struct mesh_case m)
{
    outcome_run(o, w, shape_of(v, m), v, batch);
}

/* Every mesh of this world that cuts layers; meshes that differ in their schedule only stand
 * together. */
static int meshes_make(struct mesh_case *out)
{
    int n = 0, size = ck_world.size;
    for (int tp = 2; tp <= 4; tp *= 2)
        for (int pp = 1; pp <= 4 && size % tp == 0; pp *= 2) {
            int dp = size / tp / pp;
            if (dp * tp * pp != size) continue;
            out[n++] = (struct mesh_case){dp, pp, tp, pp == 1 ? SCHEDULE_SERIAL : SCHEDULE_1F1B};
            if (pp > 1) out[n++] = (struct mesh_case){dp, pp, tp, SCHEDULE_DUALPIPE};
            if (pp == 2) out[n++] = (struct mesh_case){dp, pp, tp, SCHEDULE_DUALPIPEV};
        }
    return n;
}

static const char *mesh_text(const struct variant *v, const struct mesh_case *m)
{
    static const char *const schedule[] = {[SCHEDULE_SERIAL] = "serial",
                                           [SCHEDULE_1F1B] = "1f1b",
                                           [SCHEDULE_DUALPIPE] = "dualpipe",
                                           [SCHEDULE_DUALPIPEV] = "dualpipev"};
    static char text[128];
    snprintf(text, sizeof text, "%s on dp %d x pp %d x tp %d %s", v->name, m->dp, m->pp, m->tp,
             schedule[m->schedule]);
    return text;
}

/* --- comparing --- */

/* Relative; a loss of GRPO is a small difference of large terms, so below 1 it is absolute. */
static double apart(double a, double b)
{
    return fabs(a - b) / fmax(fabs(b), 1);
}

static void close_to(const struct outcome *a, const struct outcome *b, const struct variant *v,
                     const char *what)
{
    bool fp32 = v->precision == PRECISION_FP32;
    double loss_limit = fp32 ? 1e-5 : 2e-3, limit = fp32 ? 1e-5 : 0.03;
    for (int s = 0; s < STEPS; s++) {
        const struct step_stats *x = &a->stats[s], *y = &b->stats[s];
        ck_all(apart(x->loss, y->loss) < loss_limit, "%s step %d: loss %.9g, not %.9g", what, s,
               x->loss, y->loss);
        ck_all(apart(x->grad_norm, y->grad_norm) < limit, "%s step %d: norm %.9g, not %.9g", what,
               s, x->grad_norm, y->grad_norm);
        ck_all(apart(x->entropy, y->entropy) < loss_limit, "%s step %d: entropy %.9g, not %.9g",
               what, s, x->entropy, y->entropy);
        ck_all(x->tokens == y->tokens, "%s: %ld tokens, not %ld", what, x->tokens, y->tokens);
    }
    double d = small_apart(a->weights, b->weights, b->n);
    ck_all(a->n == b->n && d < limit, "%s: weights differ by up to %g", what, d);
}

static void compare_variant(const struct variant *v)
{
    struct mesh_case mesh[MESHES];
    struct outcome one, o, before = {0};
    int n = meshes_make(mesh);
    run(&one, &alone, v, (struct mesh_case){1, 1, 1, SCHEDULE_SERIAL});
    for (int i = 0; i < n; i++) {
        const char *what = mesh_text(v, &mesh[i]);
        run(&o, &ck_world, v, mesh[i]);
        same_on_all_ranks(&o, what);
        close_to(&o, &one, v, what);
        if (mesh[i].schedule >= SCHEDULE_DUALPIPE) same_bits(&o, &before, what);
        free(before.weights);
        before = o;
    }
    run(&o, &ck_world, v, mesh[n - 1]);
    same_bits(&o, &before, "a second run");
    free(o.weights);
    free(before.weights);
    free(one.weights);
}

START_TEST(equals_one_rank)
{
    small_world_make(&alone);
    for (int i = 0; i < VARIANTS; i++) compare_variant(&variants[i]);
    small_world_free(&alone);
}
END_TEST

/* --- sums that are rounded between hosts --- */

static void rounded_steps(const struct variant *v, const char *reduction, const char *hosts)
{
    struct mesh_case m = {ck_world.size / 2, 1, 2, SCHEDULE_SERIAL};
    struct small_shape shape = shape_of(v, m);
    struct small t;
    struct step_stats stats;
    bool agree;
    size_t n;
    shape.reduction = reduction;
    small_make(&t, &ck_world, shape);
    ck_all(ck_world.rank > 0 || t.optimizer.residuals > 0 || hosts[0] == '3', "nothing is rounded");
    for (int s = 0; s < STEPS; s++) {
        struct step_job job = small_job(&batch[s], &loss_sft);
        learner_step(&t.learner, &job, &stats);
    }
    free(small_weights(&t, &ck_world, &n, &agree));
    ck_all(agree, "%s, %s, %s ranks a host: ranks hold different weights", v->name, reduction,
           hosts);
    small_free(&t);
}

/* What all ranks of tp hold stays the same on them, though each rounds its own share with it; also
 * when hosts cut the groups differently (three ranks a host), so that the replicas of one share are
 * on one host, those of the other not. */
START_TEST(rounding_leaves_ranks_alike)
{
    static const char *const hosts[] = {"2", "3"};
    static const char *const how[] = {"wire: bf16", "wire: int8", "wire: int8, path: nodes"};
    for (int h = 0; ck_world.size >= 4 && h < 2; h++) {
        setenv("DUET_RANKS_PER_NODE", hosts[h], 1);
        for (int k = 0; k < 3; k++) {
            rounded_steps(&variants[0], how[k], hosts[h]);
            rounded_steps(&variants[3], how[k], hosts[h]);
        }
    }
    unsetenv("DUET_RANKS_PER_NODE");
}
END_TEST

/* --- on-policy --- */

enum { QUESTIONS = 3, SAMPLES = 4, ANSWERS = QUESTIONS * SAMPLES, MAX_NEW = 14 };
static const int prompt_length[QUESTIONS] = {1, 18, 16};

static const struct rollout_room room = {ANSWERS, SAMPLES, MAX_NEW};
static struct small_questions questions;

static void answer(struct small_answers *out, struct rollout *r, float temperature, uint32_t step)
{
    struct rollout_job j = small_rollout_job(&questions, SAMPLES, MAX_NEW);
    j.sampling.temperature = temperature;
    j.step = step;
    ck_all(small_sample_a_little(r, j), "it was not stopped");
    small_answers_take(out, &ck_world, rollout_run(r, &j, NULL), ANSWERS);
}

/* The answers as what a step learns from. */
static struct step_job learn_from(const struct small_answers *a, struct small_source *source,
                                  float temperature)
{
    static struct small_batch b;
    struct step_job job = small_answers_job(&b, &questions, a, SAMPLES, ANSWERS);
    small_answers_elsewhere(&job, &b, source);
    job.inv_temperature = 1 / temperature;
    return job;
}

/* Two rounds of sampling and learning; the answers of the second, which the first has changed, go
 * to `out`. */
static void sample_and_learn(struct small_answers *out, const struct variant *v, struct mesh_case m)
{
    struct small t;
    struct step_stats stats;
    const char *what = mesh_text(v, &m);
    struct small_shape shape = shape_of(v, m);
    shape.decode_slots = 5;
    shape.decode_waves = m.pp > 1 ? 2 : 0;
    small_make(&t, &ck_world, shape);
    struct rollout *r = rollout_new(&t.stage, &ck_world, room);
    struct small_source source = {.rollout = r, .learner = &t.learner};
    for (uint32_t round = 0; round < 2; round++) {
        answer(out, r, v->temperature, round);
        struct step_job learn = learn_from(out, &source, v->temperature);
        learner_step(&t.learner, &learn, &stats);
        ck_all(stats.max_deviation == 0, "%s, round %u: deviation %g", what, round,
               stats.max_deviation);
        ck_all(stats.tokens > ANSWERS && stats.grad_norm > 1e-4, "%s: norm %g", what,
               stats.grad_norm);
    }
    struct step_job again = learn_from(out, &source, v->temperature);
    learner_step(&t.learner, &again, &stats); /* the weights have moved: now it shows */
    ck_all(stats.max_deviation > 1e-4, "%s: still %g", what, stats.max_deviation);
    rollout_free(r);
    small_free(&t);
}

/* P2; and answers do not depend on how the rest of the mesh is shaped, nor on the schedule (P3). */
START_TEST(ratio_is_one)
{
    struct mesh_case mesh[MESHES];
    static struct small_answers a, first;
    int n = meshes_make(mesh);
    small_questions_make(&questions, prompt_length, QUESTIONS);
    for (int i = 0; i<VARIANTS; i += ck_world.size> 4 ? VARIANTS : 2)
        for (int k = 0; k < n; k++) {
            bool another = k > 0 && mesh[k].tp == mesh[k - 1].tp && mesh[k].dp == mesh[k - 1].dp;
            sample_and_learn(&a, &variants[i], mesh[k]);
            if (another)
                ck_all(memcmp(&a, &first, sizeof a) == 0, "%s: other answers",
                       mesh_text(&variants[i], &mesh[k]));
            first = a;
        }
}
END_TEST

/* --- checkpoints --- */

static char folder[SHARED_FOLDER];

static struct slice *slices_of(struct small *t, int what, int *n)
{
    *n = optimizer_slices(&t->optimizer, NULL, what);
    struct slice *s = calloc((size_t)*n + 1, sizeof *s);
    optimizer_slices(&t->optimizer, s, what);
    return s;
}

static void save(struct small *t, const struct world *w, long step)
{
    int n;
    struct slice *s = slices_of(t, SLICES_SAVE, &n);
    struct checkpoint_writer *c = checkpoint_writer_new(w, folder, s, n, 9, false);
    checkpoint_save(c, step, NULL, NULL, NULL, false);
    checkpoint_writer_free(c);
    free(s);
}

/* Opens checkpoint `step` and overwrites masters and moments with it. */
static void load(struct small *t, const struct world *w, long step)
{
    int n;
    char path[PATH_BYTES];
    struct checkpoint c;
    struct problems p = {0};
    path_make(path, "%s/step-%08ld", folder, step);
    bool open = checkpoint_open(&c, path, w, &p);
    INVARIANT(open, "%s", p.n ? p.text[0] : "?");
    struct slice *s = slices_of(t, SLICES_READ, &n);
    for (int i = 0; i < n; i++) memset(s[i].data, 0xff, range_count(&s[i].at) * sizeof(float));
    checkpoint_locate(&c, w, s, n);
    bool ok = checkpoint_read(&c, s, n, &p);
    INVARIANT(ok, "%s", p.n ? p.text[0] : "?");
    checkpoint_close(&c);
    free(s);
}

/* All state of the optimizer, as this rank holds it. */
static float *state_of(struct small *t, size_t *n)
{
    int slices;
    struct slice *s = slices_of(t, SLICES_READ, &slices);
    *n = 0;
    for (int i = 0; i < slices; i++) *n += range_count(&s[i].at);
    float *all = malloc(*n * sizeof *all + 1), *to = all;
    for (int i = 0; i < slices; to += range_count(&s[i++].at))
        memcpy(to, s[i].data, range_count(&s[i].at) * sizeof *to);
    free(s);
    return all;
}

/* From a mesh to another one and back: every bit of masters and moments. */
static void there_and_back(const struct variant *v, struct mesh_case m, const struct world *w,
                           struct mesh_case other)
{
    struct small a, b;
    struct step_stats stats;
    size_t n, n_back;
    char what[160];
    snprintf(what, sizeof what, "%s", mesh_text(v, &m));
    shared_folder_make(folder);
    small_make(&a, &ck_world, shape_of(v, m));
    struct step_job job = small_job(&batch[0], &loss_sft);
    learner_step(&a.learner, &job, &stats);
    float *state = state_of(&a, &n);
    save(&a, &ck_world, 1);
    small_make(&b, w, shape_of(v, other));
    load(&b, w, 1);
    if (w->size > 1 || ck_world.rank == 0) save(&b, w, 2);
    MPI_OK(MPI_Barrier(ck_world.comm));
    load(&a, &ck_world, 2);
    float *back = state_of(&a, &n_back);
    ck_all(n == n_back && memcmp(state, back, n * sizeof *back) == 0, "%s to dp %d x pp %d x tp %d",
           what, other.dp, other.pp, other.tp);
    free(state);
    free(back);
    small_free(&a);
    small_free(&b);
    shared_folder_remove(folder);
}

START_TEST(any_mesh_reads_any)
{
    struct mesh_case mesh[MESHES], plain = {ck_world.size, 1, 1, SCHEDULE_SERIAL};
    struct mesh_case one = {1, 1, 1, SCHEDULE_SERIAL};
    int n = meshes_make(mesh);
    small_world_make(&alone);
    for (int i = 0; i<n; i += ck_world.size> 4 ? 3 : 1) {
        const struct variant *v = &variants[i % VARIANTS];
        there_and_back(v, mesh[i], &alone, one);
        there_and_back(v, mesh[i], &ck_world, plain);
        there_and_back(v, mesh[i], &ck_world, mesh[(i + 1) % n]);
        there_and_back(v, plain, &ck_world, mesh[i]);
    }
    small_world_free(&alone);
}
END_TEST

static void batches_make(void)
{
    for (int s = 0; s < STEPS; s++)
        small_batch_make(&batch[s], SEQUENCES, CONTEXT, 5 + (uint64_t)s);
}

#define TESTS(X)                   \
    X(equals_one_rank)             \
    X(rounding_leaves_ranks_alike) \
    X(ratio_is_one)                \
    X(any_mesh_reads_any)

MPI_MAIN("tp", .before_all = batches_make)
