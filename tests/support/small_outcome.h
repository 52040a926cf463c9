/* Two optimizer steps of a small trainer, and what they led to, held against another mesh's. Header
 * only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_SMALL_OUTCOME_H
#define DUET_TESTS_SUPPORT_SMALL_OUTCOME_H

#include "tests/support/check_mpi.h"
#include "tests/support/small_trainer.h"

enum { STEPS = 2 };

/* What is trained, and how. */
struct variant {
    const char *name, *model;
    enum precision precision;
    const struct loss_shape *loss;
    float kl, temperature; /* temperature 0: 1 */
};

static inline struct step_job variant_job(const struct variant *v, const struct small_batch *b)
{
    struct step_job job = small_job(b, v->loss);
    job.objective.kl = v->kl;
    job.use_reference = v->kl > 0;
    if (v->temperature > 0) job.inv_temperature = 1 / v->temperature;
    return job;
}

struct outcome {
    struct step_stats stats[STEPS];
    float *weights; /* of the whole model */
    size_t n;
    bool agree; /* ranks that hold the same tensor hold the same numbers */
};

/* Learns both batches and takes the weights; t is left as it is then. */
static inline void outcome_learn(struct outcome *o, struct small *t, const struct world *w,
                                 const struct variant *v, const struct small_batch batch[STEPS])
{
    for (int s = 0; s < STEPS; s++) {
        struct step_job job = variant_job(v, &batch[s]);
        learner_step(&t->learner, &job, &o->stats[s]);
    }
    o->weights = small_weights(t, w, &o->n, &o->agree);
}

/* Collective over w. */
static inline void outcome_run(struct outcome *o, const struct world *w, struct small_shape shape,
                               const struct variant *v, const struct small_batch batch[STEPS])
{
    struct small t;
    small_make(&t, w, shape);
    outcome_learn(o, &t, w, v, batch);
    small_free(&t);
}

/* --- comparing --- */

static inline bool same(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static inline void same_stats(const struct step_stats *a, const struct step_stats *b,
                              const char *what, int step)
{
    ck_all(same(a->loss, b->loss), "%s step %d: loss %.17g, not %.17g", what, step, a->loss,
           b->loss);
    ck_all(same(a->grad_norm, b->grad_norm), "%s step %d: norm %.17g, not %.17g", what, step,
           a->grad_norm, b->grad_norm);
    bool rest = same(a->entropy, b->entropy) && same(a->clip_fraction, b->clip_fraction) &&
                same(a->k3, b->k3) && same(a->max_deviation, b->max_deviation) &&
                a->tokens == b->tokens && a->rows == b->rows && a->skipped == b->skipped &&
                same(a->load_max, b->load_max) && same(a->balance, b->balance);
    ck_all(rest,
           "%s step %d: entropy %.17g %.17g clipped %g %g k3 %g %g deviation %g %g tokens %ld %ld",
           what, step, a->entropy, b->entropy, a->clip_fraction, b->clip_fraction, a->k3, b->k3,
           a->max_deviation, b->max_deviation, a->tokens, b->tokens);
}

static inline void same_bits(const struct outcome *a, const struct outcome *b, const char *what)
{
    INVARIANT(a->weights && b->weights, "%s: no weights", what);
    for (int s = 0; s < STEPS; s++) same_stats(&a->stats[s], &b->stats[s], what, s);
    ck_all(a->n == b->n && memcmp(a->weights, b->weights, a->n * sizeof(float)) == 0,
           "%s: weights differ by up to %g", what, small_apart(a->weights, b->weights, a->n));
}

/* Norms of all steps, and the weights, within `limit`. */
static inline void near_in_norm(const struct outcome *a, const struct outcome *b, double limit,
                                const char *what)
{
    for (int s = 0; s < STEPS; s++) {
        double norm = b->stats[s].grad_norm, e = fabs(a->stats[s].grad_norm - norm) / norm;
        ck_all(e < limit, "%s step %d: norm %.9g, not %.9g", what, s, a->stats[s].grad_norm, norm);
    }
    double d = small_apart(a->weights, b->weights, b->n);
    ck_all(a->n == b->n && d < limit, "%s: weights differ by up to %g", what, d);
}

/* The numbers a step reports are the same on every rank: ranks branch on them. */
static inline void same_on_all_ranks(const struct outcome *o, const char *what)
{
    double mine[2 * STEPS], first[2 * STEPS];
    for (int s = 0; s < STEPS; s++)
        mine[2 * s] = o->stats[s].grad_norm, mine[2 * s + 1] = o->stats[s].loss;
    memcpy(first, mine, sizeof first);
    MPI_OK(MPI_Bcast(first, 2 * STEPS, MPI_DOUBLE, 0, ck_world.comm));
    ck_all(memcmp(mine, first, sizeof mine) == 0, "%s: norms or losses differ between ranks", what);
    ck_all(o->agree, "%s: ranks hold different weights", what);
}

#endif
