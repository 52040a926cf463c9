/* A trainer small enough for tests (a few ten thousand weights, a vocabulary of 37) on any mesh,
 * also on the "mesh" of this rank alone, against which every other one is held. Header only: each
 * test is one file. */
#ifndef DUET_TESTS_SUPPORT_SMALL_TRAINER_H
#define DUET_TESTS_SUPPORT_SMALL_TRAINER_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/memory.h"
#include "tests/support/recipe_text.h"
#include "trainer/learn/grpo.h"
#include "trainer/learn/step.h"
#include "trainer/rollout/rollout.h"

enum { SMALL_V = 37, SMALL_EOS = 1, SMALL_SEQUENCES = 64, SMALL_CONTEXT = 64, SMALL_SEED = 3 };

struct small_shape {
    const char *model; /* more settings of the model: "qk_norm: true" */
    enum precision precision;
    int dp, pp, schedule;
    int tp, ep;        /* 0: 1 */
    int kv_heads;      /* 0: 2 */
    int layers;        /* 0: 4 */
    const char *split; /* mesh.split */
    enum recompute recompute;
    int sequence_parallel; /* auto: these are small */
    int max_context, micro_batch_tokens, micro_batches;
    int decode_slots, decode_waves, cache_tokens;
    bool reference;
    enum keep keep;                    /* but for KEEP_TRAINING no weights: optimizer_fill */
    const char *reduction;             /* settings of reductions: "overlap: false" */
    const struct transport *transport; /* NULL: MPI on host memory */
    const struct ops *ops;             /* its device's; NULL: the best of the host */
};

struct small {
    struct small_shape shape;
    struct settings settings;
    struct mesh mesh;
    struct stage stage;
    struct optimizer optimizer;
    struct learner learner;
};

/* This rank alone as a world. */
static inline void small_world_make(struct world *w)
{
    *w = (struct world){.size = 1, .nodes = 1, .local_size = 1, .threads = true};
    MPI_OK(MPI_Comm_dup(MPI_COMM_SELF, &w->comm));
    MPI_OK(MPI_Comm_set_errhandler(w->comm, MPI_ERRORS_RETURN));
}

static inline void small_world_free(struct world *w)
{
    MPI_OK(MPI_Comm_free(&w->comm));
}

static inline void small_settings(struct settings *s, const struct small_shape *shape, int ranks)
{
    struct problems p = {0};
    *s = recipe_of(
        0,
        "precision: %s\n"
        "model: {layers: %d, hidden: 32, heads: 4, kv_heads: %d, ffn: 48, init_std: 0.2, "
        "max_context: %d%s%s}\n"
        "mesh: {dp: %d, pp: %d, tp: %d, ep: %d, micro_batches: %d, decode_slots: %d, "
        "decode_waves: %d, cache_tokens: %d}\n"
        "data: {micro_batch_tokens: %d}\n"
        "reduction: {%s}\n"
        "phases: [{kind: eval, max_new: 4}]\n",
        shape->precision == PRECISION_BF16 ? "bf16" : "fp32", shape->layers > 0 ? shape->layers : 4,
        shape->kv_heads > 0 ? shape->kv_heads : 2, shape->max_context,
        shape->model && *shape->model ? ", " : "", shape->model ? shape->model : "", shape->dp,
        shape->pp, shape->tp ? shape->tp : 1, shape->ep ? shape->ep : 1, shape->micro_batches,
        shape->decode_slots > 0 ? shape->decode_slots : 8, shape->decode_waves, shape->cache_tokens,
        shape->micro_batch_tokens, shape->reduction ? shape->reduction : "");
    bool serial = shape->schedule == SCHEDULE_SERIAL; /* on several stages: no recipe can have it */
    s->run.schedule = serial ? SCHEDULE_AUTO : shape->schedule;
    settings_check(s, ranks, &p);
    INVARIANT(p.n == 0, "%s", p.text[0]);
    if (serial) s->run.schedule = SCHEDULE_SERIAL;
    s->mesh.recompute = (int)shape->recompute;
    s->mesh.sequence_parallel = shape->sequence_parallel;
    if (!shape->split) return;
    free(s->mesh.split);
    s->mesh.split = strdup(shape->split);
}

/* Mesh and stage alone; small_stage_free. */
static inline void small_stage_make(struct small *t, const struct world *w,
                                    struct small_shape shape)
{
    *t = (struct small){.shape = shape};
    small_settings(&t->settings, &t->shape, w->size);
    const struct settings *s = &t->settings;
    struct dims dims = settings_dims(s, SMALL_V);
    schedule_choose(&t->settings, &dims, NULL);
    mesh_split(&t->mesh, w, stage_mesh(s));
    int max_mb = learner_max_micro_batches(s, SMALL_SEQUENCES, shape.max_context - 1);
    const struct stage_job stage = {.settings = s,
                                    .mesh = &t->mesh,
                                    .transport = shape.transport ? shape.transport : &transport_mpi,
                                    .ops = shape.ops ? shape.ops : ops_find(shape.precision, NULL),
                                    .dims = dims,
                                    .max_mb = max_mb,
                                    .keep = shape.keep,
                                    .with_reference = shape.reference};
    stage_new(&t->stage, &stage);
}

static inline void small_make(struct small *t, const struct world *w, struct small_shape shape)
{
    small_stage_make(t, w, shape);
    optimizer_new(&t->optimizer, &t->stage);
    learner_new(&t->learner, &t->stage, &t->optimizer, w, SMALL_SEQUENCES);
    if (shape.keep == KEEP_TRAINING) optimizer_init(&t->optimizer, SMALL_SEED);
    if (shape.reference) optimizer_snapshot(&t->optimizer);
}

static inline void small_stage_free(struct small *t)
{
    stage_free(&t->stage);
    mesh_free(&t->mesh);
    settings_free(&t->settings);
}

static inline void small_free(struct small *t)
{
    learner_free(&t->learner);
    optimizer_free(&t->optimizer);
    small_stage_free(t);
}

/* --- the whole model's weights as floats --- */

static inline struct param_list small_params(const struct small *t)
{
    struct param_list all;
    struct dims d = t->stage.dims;
    d.tp = d.t = d.ep = d.e = 0;
    param_list_make(&all, &d, chunk_span_of(&d, 1, 0));
    return all;
}

static inline void small_fill(const struct small *t, const struct param_list *all, float *out)
{
    const struct ops *ops = ops_find(t->stage.ops->precision, NULL);
    for (int k = 0; k < t->stage.n_local; k++) {
        const struct local *l = &t->stage.local[k];
        unsigned char *from = memory_take(l->params.total, ops->real_bytes, "a test");
        t->stage.device->copy_out(from, l->weights, l->params.total * ops->real_bytes);
        for (int i = 0; i < l->params.n; i++) {
            const struct param *p = &l->params.p[i], *to = param_find(all, p->name);
            float *share = malloc(p->n * sizeof *share);
            ops->to_float(share, from + p->offset * ops->real_bytes, p->n);
            for (size_t e = 0; e < p->n; e++) out[to->offset + param_index(p, e)] = share[e];
            free(share);
        }
        free(from);
    }
}

/* Collective over w. All tensors of the model in the order of param_list_make for one chunk,
 * malloc'ed; *agree: ranks that hold the same tensor hold the same numbers. *n: elements. */
static inline float *small_weights(const struct small *t, const struct world *w, size_t *n,
                                   bool *agree)
{
    struct param_list all = small_params(t);
    float *least = malloc(all.total * sizeof *least), *most = malloc(all.total * sizeof *most);
    for (size_t i = 0; i < all.total; i++) {
        least[i] = INFINITY;
        most[i] = -INFINITY;
    }
    small_fill(t, &all, least);
    small_fill(t, &all, most);
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, least, (int)all.total, MPI_FLOAT, MPI_MIN, w->comm));
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, most, (int)all.total, MPI_FLOAT, MPI_MAX, w->comm));
    *agree = true;
    for (size_t i = 0; i < all.total; i++) /* what lies between tensors keeps its infinities */
        *agree = *agree && (least[i] == most[i] || (isinf(least[i]) && isinf(most[i])));
    *n = all.total;
    free(most);
    param_list_free(&all);
    return least;
}

/* Largest difference, infinite when only one of two is finite. */
static inline double small_apart(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        if (isinf(a[i]) && isinf(b[i])) continue;
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= most)) most = isnan(d) ? INFINITY : d;
    }
    return most;
}

/* --- something to learn from --- */

struct small_batch {
    int n;
    int token[SMALL_SEQUENCES][SMALL_CONTEXT];
    float logp[SMALL_SEQUENCES][SMALL_CONTEXT];
    float weight[SMALL_SEQUENCES];
    struct sequence sequence[SMALL_SEQUENCES];
};

/* n sequences of 2 to max_context tokens, prompts of at least one, with old log-probabilities
 * around log(1/V). Different seeds, different batches. */
static inline void small_batch_make(struct small_batch *b, int n, int max_context, uint64_t seed)
{
    struct rng_stream r = {.seed = seed, .at = {.purpose = RNG_TEST}};
    b->n = n;
    int answers = 0;
    for (int i = 0; i < n; i++) {
        struct sequence *s = &b->sequence[i];
        int length = 2 + (int)rng_next_below(&r, (uint32_t)max_context - 1);
        int prompt = 1 + (int)rng_next_below(&r, (uint32_t)length - 1);
        for (int t = 0; t < length; t++) {
            b->token[i][t] = (int)rng_next_below(&r, SMALL_V);
            b->logp[i][t] = -3.6f + (float)rng_next_uniform(&r) - 0.5f;
        }
        *s = (struct sequence){.prompt = i / 4,
                               .sample = i % 4,
                               .n_prompt = prompt,
                               .n = length,
                               .token = b->token[i],
                               .logp = b->logp[i],
                               .advantage = (float)(2 * rng_next_uniform(&r) - 1)};
        answers += length - prompt;
    }
    for (int i = 0; i < n; i++) b->weight[i] = 1 / (float)answers;
}

/* A batch for each step, from a seed of its own. */
static inline void small_batches_make(struct small_batch *b, int steps, int n, int max_context)
{
    for (int s = 0; s < steps; s++) small_batch_make(&b[s], n, max_context, (uint64_t)s + 1);
}

/* A step on that batch. Its learning rate is large and its epsilon too: two steps move every
 * weight, and smoothly. */
static inline struct step_job small_job(const struct small_batch *b, const struct loss_shape *loss)
{
    return (struct step_job){
        .sequence = b->sequence,
        .weight = b->weight,
        .n = b->n,
        .loss = loss,
        .objective = {.clip_low = 0.2f, .clip_high = 0.3f},
        .inv_temperature = 1,
        .adamw = {.lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-3f, .weight_decay = 0.1f},
        .grad_clip = 1};
}

/* How often the job of small_sample_a_little asked whether to stop. */
static inline int *small_asked(void)
{
    static int asked;
    return &asked;
}

static inline int small_stop_soon(void *unused)
{
    (void)unused;
    return ++*small_asked() > 3;
}

/* The same job, stopped soon; true if it was before its end. It must end on every mesh, and leave
 * nothing behind. */
static inline bool small_sample_a_little(struct rollout *r, struct rollout_job job)
{
    job.stop = small_stop_soon;
    *small_asked() = 0;
    rollout_run(r, &job, NULL);
    return rollout_whole(r) < job.questions;
}

#endif
