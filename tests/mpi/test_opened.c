/* ranks: 1 2 4 */
/* A model that is opened to score has the weights, and gives the log-probabilities, bit for bit, of
 * one that learns: on any mesh, however its slices are cut when they are read. */
#include "tests/support/check_mpi.h"
#include "tests/support/small_trainer.h"

enum { CONTEXT = 32, SEQUENCES = 24 };

static struct small_batch batch;

/* --- masters from the initialiser, by name and place --- */

struct initial_values {
    struct param_list all; /* of the whole model */
    const struct dims *dims;
    int calls, fails_at; /* 0: never */
};

static const struct param *saved_as(const struct param_list *l, const char *name)
{
    int i = 0;
    while (i < l->n && strcmp(param_saved_name(&l->p[i]), name) != 0) i++;
    return i < l->n ? &l->p[i] : NULL;
}

static bool read_values(void *ctx, const struct slice *slices, int n)
{
    struct initial_values *v = ctx;
    if (++v->calls == v->fails_at) return false;
    for (int i = 0; i < n; i++) {
        const struct slice *s = &slices[i];
        const struct param *p = saved_as(&v->all, s->name + strlen("model/"));
        INVARIANT(p && p->n == s->n, "no tensor %s", s->name);
        for (size_t k = 0; k < range_count(&s->at); k++) {
            size_t run = s->at.run ? k / s->at.run * s->at.stride + k % s->at.run : k;
            s->data[k] = param_init(v->dims, p, s->at.lo + run, SMALL_SEED);
        }
    }
    return true;
}

/* piece: numbers read at a time; 0: as many as there is room for. */
static bool fill(struct small *t, size_t piece, int fails_at)
{
    struct dims whole = t->stage.dims;
    whole.tp = whole.t = whole.ep = whole.e = 0;
    struct initial_values v = {.all = small_params(t), .dims = &whole, .fails_at = fails_at};
    if (piece > 0 && piece < t->optimizer.piece_n) t->optimizer.piece_n = piece;
    bool ok = optimizer_fill(&t->optimizer, (struct weights_source){read_values, &v});
    param_list_free(&v.all);
    return ok;
}

/* --- held against a trainer --- */

static bool same_weights(const struct small *a, const struct small *b)
{
    bool same = a->stage.n_local == b->stage.n_local;
    for (int k = 0; same && k < a->stage.n_local; k++) {
        const struct local *l = &a->stage.local[k], *m = &b->stage.local[k];
        same = l->params.total == m->params.total &&
               memcmp(l->weights, m->weights, l->params.total * a->stage.ops->real_bytes) == 0;
    }
    return same;
}

static void found(void *ctx, int sequence, const float *logp, int n)
{
    float(*to)[CONTEXT] = ctx;
    memcpy(to[sequence], logp, (size_t)n * sizeof *logp);
}

static void score(struct small *t, float to[SEQUENCES][CONTEXT])
{
    struct step_job job = {
        .sequence = batch.sequence, .weight = batch.weight, .n = batch.n, .inv_temperature = 0.8f};
    memset(to, 0, SEQUENCES * sizeof *to);
    learner_score(&t->learner, &job, found, to);
}

static void hold(struct small_shape shape)
{
    static float is[SEQUENCES][CONTEXT], must[SEQUENCES][CONTEXT];
    struct small trainer, opened;
    small_make(&trainer, &ck_world, shape);
    shape.keep = KEEP_WEIGHTS;
    small_make(&opened, &ck_world, shape);
    score(&trainer, must);
    static const size_t pieces[] = {0, 1000, 7};
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < opened.stage.n_local; k++) memset(opened.stage.local[k].weights, 1, 64);
        ck_all(fill(&opened, pieces[i], 0), "not read");
        ck_all(same_weights(&trainer, &opened), "%s, pp %d tp %d, pieces of %zu: other weights",
               shape.model, shape.pp, shape.tp, pieces[i]);
        score(&opened, is);
        ck_all(memcmp(is, must, sizeof is) == 0, "%s, pp %d tp %d: other log-probabilities",
               shape.model, shape.pp, shape.tp);
    }
    small_free(&opened);
    small_free(&trainer);
}

static struct small_shape shape_of(int pp, int tp, enum precision precision, const char *model)
{
    return (struct small_shape){.model = model,
                                .precision = precision,
                                .dp = ck_world.size / pp / tp,
                                .pp = pp,
                                .tp = tp,
                                .schedule = SCHEDULE_AUTO,
                                .kv_heads = 4,
                                .layers = 8,
                                .max_context = CONTEXT,
                                .micro_batch_tokens = 64};
}

START_TEST(equals_a_trainer)
{
    for (int pp = 1; pp <= ck_world.size; pp *= 2)
        for (int tp = 1; pp * tp <= ck_world.size; tp *= 2) {
            hold(shape_of(pp, tp, PRECISION_BF16, "tied: true, qkv_bias: true, qk_norm: true"));
            hold(shape_of(pp, tp, PRECISION_FP32, "experts: 4, first_dense: 1"));
        }
}
END_TEST

START_TEST(on_every_schedule)
{
    static const int schedule[] = {SCHEDULE_1F1B, SCHEDULE_ZB1P, SCHEDULE_DUALPIPE,
                                   SCHEDULE_DUALPIPEV};
    for (int i = 0; i < 4 && ck_world.size > 1; i++) {
        struct small_shape shape = shape_of(2, 1, PRECISION_FP32, "tied: true");
        shape.schedule = schedule[i];
        hold(shape);
    }
}
END_TEST

/* One rank cannot read: all learn of it, none waits. */
START_TEST(a_failure_is_heard)
{
    struct small_shape shape = shape_of(1, 1, PRECISION_FP32, "tied: false");
    struct small t;
    shape.keep = KEEP_WEIGHTS;
    small_make(&t, &ck_world, shape);
    bool ok = fill(&t, 100, ck_world.rank == ck_world.size - 1 ? 2 : 0);
    ck_all(ok == (ck_world.rank != ck_world.size - 1), "read: %d", ok);
    ck_all(!world_all(&ck_world, ok), "nobody says that a piece is missing");
    small_free(&t);
}
END_TEST

static void before(void)
{
    small_batch_make(&batch, SEQUENCES, CONTEXT, 5);
}

#define TESTS(X)         \
    X(equals_a_trainer)  \
    X(on_every_schedule) \
    X(a_failure_is_heard)

MPI_MAIN("opened", .before_all = before)
