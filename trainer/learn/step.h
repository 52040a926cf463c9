/* One optimizer step: sequences -> micro-batches -> passes -> reduced gradients -> AdamW. */
#ifndef DUET_TRAINER_LEARN_STEP_H
#define DUET_TRAINER_LEARN_STEP_H

#include "trainer/data/deal.h"
#include "trainer/learn/loss.h"
#include "trainer/learn/optimizer.h"
#include "trainer/observe/slow.h"

struct learner {
    struct stage *stage;
    struct optimizer *optimizer;
    const struct world *world;
    int max_sequences;
    const char
        *trace; /* not NULL: the next step writes its pipeline's timeline into this folder, once */
    struct slow slow; /* is this rank? */
    struct loss loss; /* of the step under way */
    /* scratch of one step */
    int *rows;
    int *at; /* first row of a sequence in its micro-batch, of this pipeline's */
    struct deal deal;
    float *weight;
    uint64_t *chosen; /* (L, E) */
    struct arena arena;
};
/* max_sequences per step. */
void learner_new(struct learner *l, struct stage *s, struct optimizer *o, const struct world *w,
                 int max_sequences);
/* What learner_new does before it allocates: l->arena.used. Local; nothing to free. */
void learner_measure(struct learner *l, struct stage *s, int max_sequences);
void learner_free(struct learner *l);
/* How a recipe deals the sequences of a step; the head's cost is not in it, since a recipe does not
 * say V. */
struct deal_shape learner_deal_shape(const struct settings *s);
/* Most micro-batches of one pipeline when a step has up to `sequences` of up to `rows` rows each; 0
 * without any. */
int learner_max_micro_batches(const struct settings *s, int sequences, int rows);

struct step_stats {
    double loss, entropy, clip_fraction, k3;
    double max_deviation;
    double grad_norm, lr;
    long tokens;      /* answer tokens that were learned from */
    long rows;        /* rows computed, whole job */
    bool skipped;     /* the gradient was not finite: no update */
    double imbalance; /* of micro-batches: the largest cost over the mean (deal.h) */
    double
        load_max;  /* the largest share of a layer's rows that an expert gets, times E: 1 is even */
    double rounds; /* in which a layer's rows went to experts: the most; 0 without experts */
    double balance; /* load-balance loss, mean over rows and layers: 1 is even */
    double bubble_fraction, exposed_fraction; /* clock readings, mean over ranks */
    double seconds, reduce_seconds;
    double reduce_exposed; /* seconds waited for sums and slices: mean over ranks */
};

/* Where the answer of sequence i of a step is wanted: in the micro-batches of a pipeline, on whose
 * first rank it is written to `room`. Local; the others get no room. */
struct landing {
    int pipeline;
    struct answer_room room;
};
struct step_job;
struct landing learner_landing(const struct learner *l, const struct step_job *job, int i);

struct step_job {
    const struct sequence *sequence; /* (n), the same on every rank: lengths at least */
    const float *weight;             /* (n) of every answer token, sums over the whole step (P6) */
    int n;
    const struct loss_shape *loss;
    struct objective objective;
    float inv_temperature;
    bool use_reference; /* fill ref_logp from the reference weights first */
    /* When scoring: the scalar head's scores stand for log-probabilities; by the reward model. */
    bool scalar, by_reward;
    struct adamw adamw; /* lr set; grad_scale is set here */
    double grad_clip;
    /* Sequence i with its tokens, asked for once, and read before the next, on the ranks of its
     * pipeline whose passes read them: those that hold the embedding, or the head where the answer
     * is not elsewhere. NULL: `sequence` has them. */
    const struct sequence *(*fetch)(void *context, int i);
    void *fetch_context;
    /* Brings all answers to where they are wanted (learner_landing), collective over world. NULL:
     * none of the sequences' is elsewhere. */
    void (*bring)(void *context, const struct step_job *job);
    void *bring_context;
};
/* Collective over world. */
void learner_step(struct learner *l, const struct step_job *job, struct step_stats *stats);
/* Log-probabilities of the answer tokens only, no learning: left in the micro-batches of the ranks
 * that hold the head, and handed to `found(ctx, sequence number, logp of its answer tokens)` on
 * them. Collective over world. */
void learner_score(struct learner *l, const struct step_job *job,
                   void (*found)(void *ctx, int sequence, const float *logp, int n), void *ctx);

#endif
