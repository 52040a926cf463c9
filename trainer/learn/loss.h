/* From the log-probabilities of a micro-batch to its loss and gradient: what the head calls in a
 * forward pass. The shape of the loss is the caller's: sft and the reference here, those of
 * reinforcement learning beside their equations (grpo.c). */
#ifndef DUET_TRAINER_LEARN_LOSS_H
#define DUET_TRAINER_LEARN_LOSS_H

#include "comm/base/exact.h"
#include "trainer/stage/stage.h"

/* Numbers of an objective, from a phase's settings; a shape reads those that it knows. */
struct objective {
    float clip_low, clip_high; /* the ratio is clipped to [1 - clip_low, 1 + clip_high] */
    float dual_clip;           /* for A < 0 the objective is at least dual_clip * A; 0: off */
    float kl;                  /* beta of the KL to the reference; 0: off */
    int kl_estimator;          /* KL_... */
    float ratio_penalty;       /* of (log ratio)^2; 0: off */
    float mask_above;          /* off-policy sequence mask of DeepSeek-V3.2: its delta; 0: off */
    float gate_pos, gate_neg;  /* SAPO's temperatures, for A > 0 and else */
    double vespo_pos[2], vespo_neg[2]; /* VESPO's k and lambda, for A >= 0 and else */
};

/* The answer tokens of one sequence of a micro-batch: all of them where the shape wants that (the
 * ratio may be the whole answer's), else those of the head's current block. All (n). */
struct answer_rows {
    int n;
    const float *logp, *old_logp;
    const float *advantage, *weight; /* weight: the loss's, of a token, over the whole step (P6) */
    float *ref_logp;
    float *dlogp; /* out: d loss / d logp */
};

struct loss;
/* The row of another device. */
struct loss_row {
    const struct device *device; /* NULL ends a list */
    /* As loss_run, of a micro-batch in the device's memory. The sums are the host's; all answers
     * of a block come in one call, so that one launch may do them. */
    stage_loss_run *run;
};
struct loss_shape {
    const char *name; /* "grpo loss": so the log says when a device has no row of it */
    /* The host's row: fills dlogp and adds what it measured to the sums. Local, allocates nothing.
     */
    void (*answer)(struct loss *l, const struct answer_rows *a);
    /* Those of other devices; NULL: none has one. What is missing the stage makes up for. */
    const struct loss_row *rows;
    bool learns; /* else nothing is counted, and there is no gradient */
    bool whole;  /* it needs all rows of an answer together; else an answer may come in pieces */
    bool scalar; /* of the scalar head's scores, which stand where log-probabilities do */
};
extern const struct loss_shape loss_sft;       /* -weight * logp of the demonstration */
extern const struct loss_shape loss_reference; /* no loss: logp is remembered as the reference's */
/* weight * score of an answer's last row: weight is the gradient that the caller has found (of a
 * pair, say, whose answers are in different micro-batches). */
extern const struct loss_shape loss_score;
extern const struct loss_shape loss_scores; /* as loss_reference, of scores */

/* Sums over the answer tokens of a step; exact, so that they are the same numbers on every mesh. */
enum loss_sum { SUM_LOSS, SUM_ENTROPY, SUM_TOKENS, SUM_CLIPPED, SUM_KL, LOSS_SUMS };

struct loss {
    const struct loss_shape *shape;
    struct objective objective;
    struct exact_sum sum[LOSS_SUMS];
    float
        max_deviation; /* of the ratio from 1 (P2): exactly 0 on-policy; infinite when one is NaN */
};

/* The loss of rows [from, to) of a micro-batch in the host's memory, whose logp and entropy are
 * there: fills their dlogp, 0 where there is no target; loss_reference fills ref_logp. Adds to the
 * sums. For the stage (struct stage_loss); ctx: a struct loss. Local, allocates nothing. */
void loss_run(void *ctx, const struct micro_batch *mb, int from, int to);
/* The row of a device: loss_run on the host; NULL: it has none. Local. */
stage_loss_run *loss_row_of(const struct loss_shape *shape, const struct device *device);
/* All sums 0, for another step. */
void loss_begin(struct loss *l, const struct loss_shape *shape, struct objective objective);

#endif
