/* ranks: 2 4 */
/* Sums of gradients that start while the backward pass runs: they start as early as their layers
 * allow, in one order on all replicas, and change no bit, whatever the cuts. */
#include "tests/support/check_mpi.h"
#include "tests/support/small_trainer.h"

enum { STEPS = 2, SEQUENCES = 24, CONTEXT = 32, LAYERS = 8, MOST = 64 };

static struct small_batch batch[STEPS];

struct mesh_case {
    const char *name, *model;
    int ranks, dp, pp, tp, ep, schedule;
};
static const struct mesh_case cases[] = {
    {"two replicas", "tied: true", 2, 2, 1, 1, 1, SCHEDULE_SERIAL},
    {"mirror", "qkv_bias: true", 2, 1, 2, 1, 1, SCHEDULE_DUALPIPE},
    {"line", "qk_norm: true", 4, 2, 2, 1, 1, SCHEDULE_1F1B},
    {"delayed weights", "tied: true", 4, 2, 2, 1, 1, SCHEDULE_ZB1P},
    {"mirrors", "tied: true", 4, 2, 2, 1, 1, SCHEDULE_DUALPIPE},
    {"vee", "qk_norm: true", 4, 2, 2, 1, 1, SCHEDULE_DUALPIPEV},
    {"experts shared", "experts: 4, first_dense: 3", 4, 2, 2, 1, 2, SCHEDULE_DUALPIPEV},
    {"heads shared", "qk_norm: true", 4, 1, 2, 2, 1, SCHEDULE_DUALPIPE},
    {"heads shared, two sums", "qk_norm: true", 4, 2, 1, 2, 1, SCHEDULE_SERIAL},
};
enum { CASES = sizeof cases / sizeof *cases };

static struct small_shape shape_of(const struct mesh_case *c, const char *reduction)
{
    return (struct small_shape){.model = c->model,
                                .precision = PRECISION_BF16,
                                .dp = c->dp,
                                .pp = c->pp,
                                .tp = c->tp,
                                .ep = c->ep,
                                .schedule = c->schedule,
                                .layers = LAYERS,
                                .max_context = CONTEXT,
                                .micro_batch_tokens = 64,
                                .micro_batches = 8 / c->dp,
                                .reduction = reduction};
}

/* --- bits --- */

struct outcome {
    double loss[STEPS], norm[STEPS];
    float *weights;
    size_t n;
    int buckets, early;
};

static void run(struct outcome *o, const struct mesh_case *c, const char *reduction)
{
    struct small t;
    struct step_stats stats;
    bool agree;
    small_make(&t, &ck_world, shape_of(c, reduction));
    for (int s = 0; s < STEPS; s++) {
        struct step_job job = small_job(&batch[s], &loss_sft);
        learner_step(&t.learner, &job, &stats);
        o->loss[s] = stats.loss;
        o->norm[s] = stats.grad_norm;
        ck_all(stats.reduce_exposed >= 0 && stats.reduce_exposed <= stats.seconds,
               "%s: waited %g of %g s", c->name, stats.reduce_exposed, stats.seconds);
    }
    o->buckets = t.optimizer.buckets.n;
    o->early = t.optimizer.grad_reduce.early;
    o->weights = small_weights(&t, &ck_world, &o->n, &agree);
    ck_all(agree, "%s, %s: replicas hold different weights", c->name, reduction);
    small_free(&t);
}

START_TEST(bits_do_not_change)
{
    static const char *const how[] = {"overlap: false, bucket_mib: 64", "overlap: true",
                                      "bucket_mib: 0", "overlap: false, bucket_mib: 0",
                                      "bucket_mib: 0.07"};
    enum { HOW = sizeof how / sizeof *how };
    for (int i = 0; i < CASES; i++) {
        struct outcome o[HOW];
        if (cases[i].ranks != ck_world.size) continue;
        for (int k = 0; k < HOW; k++) run(&o[k], &cases[i], how[k]);
        for (int k = 0; k < HOW; k++) {
            bool same = memcmp(o[k].loss, o[0].loss, sizeof o->loss) == 0 &&
                        memcmp(o[k].norm, o[0].norm, sizeof o->norm) == 0 &&
                        memcmp(o[k].weights, o[0].weights, o[0].n * sizeof(float)) == 0;
            ck_all(same, "%s, %s: other bits", cases[i].name, how[k]);
        }
        for (int k = 0; k < HOW; k++) free(o[k].weights);
        ck_all(o[0].early == 0 && o[3].early == 0, "%s: sums were not to be early", cases[i].name);
        ck_all(o[2].buckets > o[4].buckets && o[4].buckets >= o[0].buckets,
               "%s: %d, %d, %d buckets", cases[i].name, o[2].buckets, o[4].buckets, o[0].buckets);
    }
}
END_TEST

/* --- order --- */

/* Stands between the stage and the optimizer: counts steps, and notes at which a bucket started. */
struct watcher {
    struct small *t;
    struct gradient_listener behind;
    int steps, started_at[MOST], complete_at[MAX_LOCAL]; /* the first word of each local */
};

static void note(struct watcher *w, int before)
{
    for (int i = before; i < w->t->optimizer.grad_reduce.next; i++) w->started_at[i] = w->steps;
}

static void watch_complete(void *self, const struct local *l, int layer)
{
    struct watcher *w = self;
    int before = w->t->optimizer.grad_reduce.next, k = (int)(l - w->t->stage.local);
    w->steps++;
    if (w->complete_at[k] == 0) w->complete_at[k] = w->steps;
    w->behind.complete(w->behind.self, l, layer);
    note(w, before);
}

static void watch_poll(void *self)
{
    struct watcher *w = self;
    int before = w->t->optimizer.grad_reduce.next;
    w->steps++;
    w->behind.poll(w->behind.self);
    note(w, before);
}

/* Runs the micro-batches of the step before once more. */
static void run_watched(struct watcher *w, struct small *t)
{
    struct stage *s = &t->stage;
    *w = (struct watcher){.t = t};
    stage_zero_gradients(s);
    optimizer_begin(&t->optimizer);
    w->behind = s->listener;
    s->listener = (struct gradient_listener){w, watch_complete, watch_poll};
    stage_run(s, t->learner.deal.bins / s->mesh->dp, false, NULL);
    optimizer_reduce(&t->optimizer);
}

/* The first bucket starts when its lowest layer is done: before the last pass of its chunk ends
 * (with tp the ranks wait for each other); no bucket overtakes another. */
static bool starts_in_time(const struct watcher *w)
{
    const struct bucket_list *l = &w->t->optimizer.buckets;
    const struct bucket *b = &l->b[0];
    struct chunk_span span = b->local->span;
    int last = 2 * span.count + span.embed + span.head; /* steps of its last pass */
    int from = w->complete_at[b->local - w->t->stage.local];
    bool ok = w->started_at[0] > 0 && w->started_at[0] < w->steps;
    ok = ok && (w->t->stage.mesh->tp > 1 || w->started_at[0] - from < last - 1);
    for (int i = 1; i < l->n && w->started_at[i] > 0; i++)
        ok = ok && w->started_at[i] >= w->started_at[i - 1];
    return ok;
}

/* Two chunks: the sums of the later one start before the last pass of the earlier one. */
static bool starts_before_last_rows(const struct watcher *w)
{
    const struct stage *s = &w->t->stage;
    if (s->n_local < 2 || s->mesh->tp > 1) return true;
    int first = w->t->optimizer.buckets.b[0].local == &s->local[1];
    return w->complete_at[first] < w->complete_at[!first] &&
           w->started_at[0] < w->complete_at[!first];
}

/* All members of the replica group have the same buckets in the same order. */
static bool same_order(struct small *t)
{
    bool same = true;
    for (int i = 0; i < t->optimizer.buckets.n; i++) {
        const struct bucket *b = &t->optimizer.buckets.b[i];
        long mine[4] = {b->local->chunk, (long)b->at, (long)b->n, (long)b->region}, first[4];
        memcpy(first, mine, sizeof mine);
        MPI_OK(MPI_Bcast(first, 4, MPI_LONG, 0, t->mesh.replica));
        same = same && memcmp(first, mine, sizeof mine) == 0;
    }
    return same;
}

START_TEST(sums_start_early)
{
    for (int i = 0; i < CASES; i++) {
        struct small t;
        struct watcher w;
        struct step_stats stats;
        if (cases[i].ranks != ck_world.size) continue;
        small_make(&t, &ck_world, shape_of(&cases[i], "bucket_mib: 0"));
        struct step_job job = small_job(&batch[0], &loss_sft);
        learner_step(&t.learner, &job, &stats);
        run_watched(&w, &t);
        int n = t.optimizer.buckets.n;
        ck_all(n > 1 && n <= MOST, "%s: %d buckets", cases[i].name, n);
        ck_all(starts_in_time(&w), "%s: started in step %d of %d", cases[i].name, w.started_at[0],
               w.steps);
        ck_all(starts_before_last_rows(&w), "%s: started in step %d, the last passes in %d, %d",
               cases[i].name, w.started_at[0], w.complete_at[0], w.complete_at[1]);
        ck_all(same_order(&t), "%s: other buckets on other replicas", cases[i].name);
        small_free(&t);
    }
}
END_TEST

static void batches_make(void)
{
    small_batches_make(batch, STEPS, SEQUENCES, CONTEXT);
}

#define TESTS(X)          \
    X(bits_do_not_change) \
    X(sums_start_early)

MPI_MAIN("overlap", .before_all = batches_make)
