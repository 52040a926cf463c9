/* From the log-probabilities of a micro-batch to its loss and gradient: what the head calls in a forward pass. */
#ifndef DUET_TRAINER_LEARN_LOSS_H
#define DUET_TRAINER_LEARN_LOSS_H

#include "comm/base/exact.h"
#include "trainer/data/pack.h"
#include "trainer/learn/grpo.h"

enum loss_kind {
    LOSS_SFT, /* -weight * logp of the demonstration */
    LOSS_GRPO,
    LOSS_REFERENCE, /* no loss: remember logp as the reference's */
};

/* Sums over the answer tokens of a step; exact, so that they are the same numbers on every mesh. */
enum loss_sum { SUM_LOSS, SUM_ENTROPY, SUM_TOKENS, SUM_CLIPPED, SUM_K3, LOSS_SUMS };

struct loss {
    enum loss_kind kind;
    struct grpo grpo;
    struct exact_sum sum[LOSS_SUMS];
    float
        max_deviation; /* of the ratio from 1 (P2): exactly 0 on-policy; infinite when one is NaN */
};

/* A head_io loss callback's context: which loss, over which micro-batch. */
struct loss_at {
    struct loss *loss;
    struct micro_batch *mb;
};
void loss_run(void *ctx, const struct head_io *io, int T);
void loss_reset(struct loss *l, enum loss_kind kind);

#endif
