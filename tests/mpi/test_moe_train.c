/* ranks: 2 4 8; on each instruction set: 2 */
/* Training and sampling with experts shared over ranks (ep) against one rank: first losses to the
 * bit, since every row gets the bits that one rank would compute; gradients of experts are sums
 * over the rows of several pipelines, which are added in another order: norms and weights after two
 * steps within 1e-5 (fp32) or 0.03 (bf16). Schedules agree to the bit. Answers are those of one
 * rank, and on-policy (P2, P3). */
#include "tests/support/small_answers.h"
#include "tests/support/small_outcome.h"

enum { SEQUENCES = 24, CONTEXT = 32, MICRO_BATCHES = 8, MESHES = 32 };

static struct world alone;
static struct small_batch batch[STEPS];

static const struct variant variants[] = {
    {"fp32", "tied: true, experts: 8, experts_active: 3, first_dense: 1, balance: 0.1",
     PRECISION_FP32, &loss_sft, 0, 1},
    {"bf16", "qk_norm: true, experts: 8, expert_ffn: 32", PRECISION_BF16, &loss_sft, 0, 1},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

struct mesh_case {
    int dp, pp, tp, ep, schedule;
};

/* Every mesh of this world that shares experts; those that differ in their schedule only stand
 * together. Eight ranks on few cores are slow: there only two of the schedules. */
static int meshes_make(struct mesh_case *out)
{
    static const int schedule[] = {SCHEDULE_1F1B, SCHEDULE_ZB1P, SCHEDULE_DUALPIPE,
                                   SCHEDULE_DUALPIPEV};
    int n = 0, size = ck_world.size;
    for (int tp = 1; tp <= 2; tp++)
        for (int pp = 1; pp <= 2; pp++)
            for (int ep = 2; ep <= 4; ep *= 2) {
                int dp = size / (tp * pp);
                if (dp * tp * pp != size || dp % ep || (tp == 2 && ep == 4)) continue;
                for (int i = 0; i < (pp == 1 ? 1 : 4); i += size == 8 ? 2 : 1)
                    out[n++] =
                        (struct mesh_case){dp, pp, tp, ep, pp == 1 ? SCHEDULE_SERIAL : schedule[i]};
            }
    return n;
}

static const char *mesh_text(const struct variant *v, const struct mesh_case *m)
{
    static char text[128];
    snprintf(text, sizeof text, "%s on dp %d x pp %d x tp %d, ep %d, schedule %d", v->name, m->dp,
             m->pp, m->tp, m->ep, m->schedule);
    return text;
}

static struct small_shape shape_of(const struct variant *v, struct mesh_case m)
{
    return (struct small_shape){.model = v->model,
                                .precision = v->precision,
                                .dp = m.dp,
                                .pp = m.pp,
                                .tp = m.tp,
                                .ep = m.ep,
                                .schedule = m.schedule,
                                .max_context = CONTEXT,
                                .micro_batch_tokens = 64,
                                .micro_batches =
                                    m.dp < 4 ? MICRO_BATCHES / m.dp : 4, /* the least of dualpipe */
                                .decode_slots = 6};
}

/* --- learning --- */

static void run(struct outcome *o, const struct world *w, const struct variant *v,
                struct mesh_case m)
{
    outcome_run(o, w, shape_of(v, m), v, batch);
}

static void close_to(const struct outcome *a, const struct outcome *b, const struct variant *v,
                     const struct mesh_case *m, const char *what)
{
    double limit = v->precision == PRECISION_FP32 ? 1e-5 : 0.03;
    const struct step_stats *x = &a->stats[0], *y = &b->stats[0];
    if (m->tp == 1) /* which rounds otherwise */
        ck_all(same(x->loss, y->loss) && same(x->load_max, y->load_max) &&
                   same(x->balance, y->balance),
               "%s: first loss %.17g, not %.17g, load %g %g, balance %g %g", what, x->loss, y->loss,
               x->load_max, y->load_max, x->balance, y->balance);
    near_in_norm(a, b, limit, what);
    ck_all(a->agree, "%s: ranks hold different weights", what);
}

START_TEST(learning_equals_one_rank)
{
    small_world_make(&alone);
    for (int i = 0; i < (ck_world.size == 8 ? 1 : VARIANTS); i++) {
        const struct variant *v = &variants[i];
        struct mesh_case mesh[MESHES];
        struct outcome one, o, before = {0};
        int n = meshes_make(mesh);
        run(&one, &alone, v, (struct mesh_case){1, 1, 1, 1, SCHEDULE_SERIAL});
        for (int k = 0; k < n; k++) {
            const char *what = mesh_text(v, &mesh[k]);
            run(&o, &ck_world, v, mesh[k]);
            close_to(&o, &one, v, &mesh[k], what);
            if (mesh[k].pp > 1 && mesh[k].schedule != SCHEDULE_1F1B) same_bits(&o, &before, what);
            free(before.weights);
            before = o;
        }
        free(before.weights);
        free(one.weights);
    }
    small_world_free(&alone);
}
END_TEST

/* --- sampling --- */

enum { QUESTIONS = 5, SAMPLES = 3, ANSWERS = QUESTIONS * SAMPLES, MAX_NEW = 12 };
static const int prompt_length[QUESTIONS] = {1, 18, 16, 5, 17};
static struct small_questions asked;

static void sample(struct small_answers *out, const struct world *w, struct rollout *r,
                   int questions, uint32_t step)
{
    struct rollout_job job = small_rollout_job(&asked, SAMPLES, MAX_NEW);
    job.questions = questions;
    job.sampleable = SMALL_V;
    job.step = step;
    ck_all(small_sample_a_little(r, job), "it was not stopped");
    small_answers_take(out, w, rollout_run(r, &job, NULL), questions * SAMPLES);
}

/* All questions, then one: most pipelines have nothing to do but take part. */
static void sample_twice(struct small_answers out[2], struct small *t, const struct world *w)
{
    struct rollout *r = rollout_new(&t->stage, w, (struct rollout_room){ANSWERS, SAMPLES, MAX_NEW});
    sample(&out[0], w, r, QUESTIONS, 1);
    sample(&out[1], w, r, 1, 2);
    rollout_free(r);
}

/* A step on the first answers: the log-probabilities that learning computes are those recorded. */
static double deviation(struct small *t, const struct small_answers *a)
{
    static struct small_batch b;
    struct step_stats stats;
    struct step_job job = small_answers_job(&b, &asked, a, SAMPLES, ANSWERS);
    learner_step(&t->learner, &job, &stats);
    ck_all(stats.tokens > ANSWERS && stats.grad_norm > 1e-4, "%ld tokens, norm %g", stats.tokens,
           stats.grad_norm);
    return stats.max_deviation;
}

START_TEST(sampling_equals_one_rank)
{
    small_world_make(&alone);
    small_questions_make(&asked, prompt_length, QUESTIONS);
    for (int i = ck_world.size == 8 ? 1 : 0; i < VARIANTS; i++) {
        const struct variant *v = &variants[i];
        static struct small_answers one[2], a[2];
        struct mesh_case mesh[MESHES];
        int n = meshes_make(mesh);
        struct small t;
        small_make(&t, &alone, shape_of(v, (struct mesh_case){1, 1, 1, 1, SCHEDULE_SERIAL}));
        sample_twice(one, &t, &alone);
        small_free(&t);
        for (int k = 0; k < n; k++) {
            const char *what = mesh_text(v, &mesh[k]);
            small_make(&t, &ck_world, shape_of(v, mesh[k]));
            sample_twice(a, &t, &ck_world);
            if (mesh[k].tp == 1) ck_all(memcmp(a, one, sizeof a) == 0, "%s: other answers", what);
            double d = deviation(&t, &a[0]);
            ck_all(d == 0, "%s: deviation %g", what, d);
            small_free(&t);
        }
    }
    small_world_free(&alone);
}
END_TEST

static void batches_make(void)
{
    small_batches_make(batch, STEPS, SEQUENCES, CONTEXT);
}

#define TESTS(X)                \
    X(learning_equals_one_rank) \
    X(sampling_equals_one_rank)

MPI_MAIN("moe_train", .before_all = batches_make)
