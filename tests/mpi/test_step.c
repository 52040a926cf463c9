/* ranks: 1 2 4 8 */
/* Parallel equals serial: two optimizer steps on any mesh and schedule give the losses, the
 * gradient norm and the weights of one rank. With one pipeline the bits are the same (P4); with
 * several the sums over replicas are grouped otherwise, so weights agree closely with one rank, and
 * to the bit among schedules. */
#include "tests/support/small_outcome.h"

enum { SEQUENCES = 24, CONTEXT = 32, MESHES = 32 };

static struct world alone;
static struct small_batch batch[STEPS];

static const struct variant variants[] = {
    {"plain fp32 sft", "", PRECISION_FP32, &loss_sft, 0, 1},
    {"plain bf16 grpo", "", PRECISION_BF16, &policy_shapes[POLICY_CLIP][0], 0, 1},
    {"qk_norm fp32 grpo", "qk_norm: true", PRECISION_FP32, &policy_shapes[POLICY_CLIP][0], 0, 0.8f},
    {"qkv_bias bf16 sft", "qkv_bias: true", PRECISION_BF16, &loss_sft, 0, 1},
    {"tied fp32 grpo kl", "tied: true", PRECISION_FP32, &policy_shapes[POLICY_CLIP][0], 0.1f, 1},
    {"all bf16 grpo kl",
     "tied: true, qkv_bias: true, o_bias: true, mlp_bias: true, qk_norm: true, rope_scaling: yarn, "
     "rope_factor: 4, rope_original: 16, rope_angles: fp32",
     PRECISION_BF16, &policy_shapes[POLICY_CLIP][0], 0.1f, 0.8f},
    {"experts fp32 sft", "experts: 6, first_dense: 1, balance: 0.1", PRECISION_FP32, &loss_sft, 0,
     1},
    {"experts bf16 grpo kl",
     "experts: 4, experts_active: 3, route_norm: false, expert_step: 2, dense_layers: '5'",
     PRECISION_BF16, &policy_shapes[POLICY_CLIP][0], 0.1f, 1},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* --- meshes of this world --- */

struct mesh_case {
    int dp, pp, schedule;
    const char *split; /* of the layers, when not by cost */
};
static const struct mesh_case single = {1, 1, SCHEDULE_SERIAL, NULL};

/* Enough for a vee on all ranks of this world. */
static int layers(void)
{
    return ck_world.size > 4 ? 16 : 8;
}

static bool possible(int pp, int schedule, bool all)
{
    if (pp == 1) return schedule == SCHEDULE_SERIAL; /* as are the others then */
    if (!all && (schedule == SCHEDULE_SERIAL || schedule == SCHEDULE_AUTO)) return false;
    if (schedule == SCHEDULE_DUALPIPEV) return 2 * pp <= layers();
    return pp % 2 == 0 || schedule != SCHEDULE_DUALPIPE;
}

/* The schedules on every dp x pp; `all`: also serial and auto, and on one pipeline layers split
 * crookedly. */
static int meshes_make(struct mesh_case *out, bool all)
{
    static const char *const crooked[] = {NULL, NULL, "1,7", NULL, "1,4,2,1"};
    int n = 0, size = ck_world.size;
    for (int dp = 1; dp <= size; dp++)
        for (int schedule = SCHEDULE_AUTO; size % dp == 0 && schedule < SCHEDULES; schedule++) {
            int pp = size / dp, chunks = schedule == SCHEDULE_DUALPIPEV ? 2 * pp : pp;
            if (!possible(pp, schedule, all)) continue;
            out[n++] = (struct mesh_case){dp, pp, schedule, NULL};
            if (all && dp == 1 && chunks <= 4 && crooked[chunks])
                out[n++] = (struct mesh_case){dp, pp, schedule, crooked[chunks]};
        }
    INVARIANT(n > 0, "no mesh of %d ranks", ck_world.size);
    return n;
}

static const char *mesh_text(const struct variant *v, const struct mesh_case *m)
{
    static const char *const schedule[] = {"auto", "serial",   "1f1b",
                                           "zb1p", "dualpipe", "dualpipev"};
    static char text[128];
    snprintf(text, sizeof text, "%s on %d x %d %s %s", v->name, m->dp, m->pp, schedule[m->schedule],
             m->split ? m->split : "");
    return text;
}

/* Enough for dualpipe on all ranks of this world, and the same for every mesh of it. */
static int micro_batches(void)
{
    return ck_world.size > 4 ? 2 * ck_world.size : 8;
}

static struct small_shape shape_of(const struct variant *v, const struct mesh_case *m)
{
    return (struct small_shape){.model = v->model,
                                .precision = v->precision,
                                .dp = m->dp,
                                .pp = m->pp,
                                .schedule = m->schedule,
                                .split = m->split,
                                .layers = layers(),
                                .max_context = CONTEXT,
                                .micro_batch_tokens = 64,
                                .micro_batches = micro_batches() / m->dp,
                                .reference = v->kl > 0};
}

static void run(struct outcome *o, const struct world *w, const struct variant *v,
                const struct mesh_case *m)
{
    outcome_run(o, w, shape_of(v, m), v, batch);
}

/* --- comparing --- */

/* With replicas: the forwards of the first step see the same weights, so their loss is the same
 * number; the rest is close. */
static void close_to(const struct outcome *a, const struct outcome *b, const struct variant *v,
                     const char *what)
{
    double limit = v->precision == PRECISION_FP32 ? 1e-5 : 0.03;
    ck_all(same(a->stats[0].loss, b->stats[0].loss), "%s: first loss %.17g, not %.17g", what,
           a->stats[0].loss, b->stats[0].loss);
    near_in_norm(a, b, limit, what);
}

/* Experts have had work, and not one of them all of it. */
static void has_routed(const struct step_stats *s, const struct dims *d, const char *name)
{
    double most = d->E > 0 ? (double)d->E / d->K : 0;
    bool ok = d->E == 0 ? s->load_max == 0 && s->balance == 0 && s->rounds == 0
                        : s->load_max >= 1 && s->load_max <= most && s->balance > 0.5 &&
                              s->balance < d->E && s->rounds == 1;
    ck_all(ok, "%s: load_max %g of at most %g, balance %g, %g rounds", name, s->load_max, most,
           s->balance, s->rounds);
}

/* Something has happened at all, or equality says nothing. */
static void has_learned(const struct outcome *o, const struct variant *v)
{
    struct small t;
    bool agree;
    size_t n;
    small_make(&t, &alone, shape_of(v, &single));
    float *before = small_weights(&t, &alone, &n, &agree);
    double moved = small_apart(o->weights, before, n);
    has_routed(&o->stats[0], &t.stage.dims, v->name);
    small_free(&t);
    free(before);
    ck_all(moved > 1e-3 && isfinite(moved), "%s: weights moved by %g", v->name, moved);
    ck_all(o->stats[0].grad_norm > 1e-2 && o->stats[0].tokens > SEQUENCES, "%s: norm %g", v->name,
           o->stats[0].grad_norm);
    if (v->loss == &policy_shapes[POLICY_CLIP][0])
        ck_all(o->stats[0].clip_fraction > 0.05 && o->stats[0].clip_fraction < 0.95,
               "%s: %g clipped", v->name, o->stats[0].clip_fraction);
    if (v->kl > 0) /* the reference is the policy at first, then no longer */
        ck_all(o->stats[0].k3 == 0 && o->stats[1].k3 > 0, "%s: k3 %g, then %g", v->name,
               o->stats[0].k3, o->stats[1].k3);
}

static void compare_variant(const struct variant *v)
{
    struct mesh_case mesh[MESHES];
    struct outcome one, o[MESHES];
    int n = meshes_make(mesh, v == &variants[VARIANTS - 1]);
    run(&one, &alone, v, &single);
    has_learned(&one, v);
    for (int i = 0; i < n; i++) {
        const char *what = mesh_text(v, &mesh[i]);
        run(&o[i], &ck_world, v, &mesh[i]);
        same_on_all_ranks(&o[i], what);
        if (mesh[i].dp == 1)
            same_bits(&o[i], &one, what);
        else
            close_to(&o[i], &one, v, what);
        if (i > 0 && mesh[i].dp == mesh[i - 1].dp) same_bits(&o[i], &o[i - 1], what);
    }
    for (int i = 0; i < n; i++) free(o[i].weights);
    free(one.weights);
}

START_TEST(parallel_equals_serial)
{
    small_world_make(&alone);
    /* eight ranks share two cores with everybody else: one variant there */
    for (int i = ck_world.size > 4 ? VARIANTS - 1 : 0; i < VARIANTS; i++)
        compare_variant(&variants[i]);
    small_world_free(&alone);
}
END_TEST

/* --- a gradient that is not finite --- */

static void skip_one(const struct variant *v, const struct mesh_case *m)
{
    const char *what = mesh_text(v, m);
    struct small t;
    struct outcome o, expected;
    struct step_stats stats;
    run(&expected, &ck_world, v, m);
    small_make(&t, &ck_world, shape_of(v, m));
    struct step_job job = variant_job(v, &batch[0]);
    struct small_batch bad = batch[0];
    bad.weight[3] = INFINITY;
    job.weight = bad.weight;
    learner_step(&t.learner, &job, &stats);
    ck_all(stats.skipped && t.optimizer.updates == 0, "%s: norm %g", what, stats.grad_norm);
    outcome_learn(&o, &t, &ck_world, v, batch); /* as if it had never been */
    same_bits(&o, &expected, what);
    small_free(&t);
    free(o.weights);
    free(expected.weights);
}

START_TEST(broken_gradient_is_skipped)
{
    if (ck_world.size > 4) return;
    struct mesh_case mesh[MESHES];
    int n = meshes_make(mesh, false);
    skip_one(&variants[1], &mesh[0]);
    skip_one(&variants[1], &mesh[n - 1]);
}
END_TEST

/* --- scoring --- */

struct scores {
    int times[SEQUENCES];
    float logp[SEQUENCES][CONTEXT];
};

static void note(void *ctx, int sequence, const float *logp, int n)
{
    struct scores *s = ctx;
    s->times[sequence]++;
    memcpy(s->logp[sequence], logp, (size_t)n * sizeof *logp);
}

static void score(struct scores *out, const struct world *w, const struct variant *v,
                  const struct mesh_case *m)
{
    struct small t;
    struct step_job job = variant_job(v, &batch[0]);
    *out = (struct scores){0};
    small_make(&t, w, shape_of(v, m));
    learner_score(&t.learner, &job, note, out);
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, out->times, SEQUENCES, MPI_INT, MPI_SUM, w->comm));
    MPI_OK(
        MPI_Allreduce(MPI_IN_PLACE, out->logp, SEQUENCES * CONTEXT, MPI_FLOAT, MPI_SUM, w->comm));
    small_free(&t);
}

START_TEST(scores_are_the_same)
{
    small_world_make(&alone);
    static struct scores one, many;
    struct mesh_case mesh[MESHES];
    int n = meshes_make(mesh, false);
    score(&one, &alone, &variants[5], &single);
    for (int i = 0; i < n; i++) {
        const char *what = mesh_text(&variants[5], &mesh[i]);
        score(&many, &ck_world, &variants[5], &mesh[i]);
        for (int s = 0; s < SEQUENCES; s++)
            ck_all(many.times[s] == 1, "%s: sequence %d scored %d times", what, s, many.times[s]);
        ck_all(memcmp(many.logp, one.logp, sizeof one.logp) == 0, "%s", what);
    }
    small_world_free(&alone);
}
END_TEST

/* --- more than one stage at a time --- */

START_TEST(stages_do_not_meet)
{
    if (ck_world.size > 4) return;
    small_world_make(&alone);
    const struct variant *v = &variants[0];
    struct mesh_case mesh[MESHES];
    int last = meshes_make(mesh, false) - 1;
    static const struct mesh_case line = {1, 1, SCHEDULE_1F1B, NULL};
    struct small a, b;
    struct outcome one = {0}, o = {0};
    run(&one, &alone, v, &single);
    small_make(&a, &alone, shape_of(v, &line));
    small_make(&b, &ck_world, shape_of(v, &mesh[last]));
    for (int s = 0; s < STEPS; s++) {
        struct step_job job = variant_job(v, &batch[s]);
        struct step_stats other;
        learner_step(&b.learner, &job, &other);
        learner_step(&a.learner, &job, &o.stats[s]);
        if (s == 0) small_free(&b);
        if (s == 0) small_make(&b, &ck_world, shape_of(v, &mesh[0]));
    }
    o.weights = small_weights(&a, &alone, &o.n, &o.agree);
    same_bits(&o, &one, "beside another stage");
    small_free(&a);
    small_free(&b);
    free(o.weights);
    free(one.weights);
    small_world_free(&alone);
}
END_TEST

static void batches_make(void)
{
    for (int s = 0; s < STEPS; s++)
        small_batch_make(&batch[s], SEQUENCES, CONTEXT, (uint64_t)s + 1);
}

#define TESTS(X)                  \
    X(parallel_equals_serial)     \
    X(broken_gradient_is_skipped) \
    X(scores_are_the_same)        \
    X(stages_do_not_meet)

MPI_MAIN("step", .before_all = batches_make)
