#include "trainer/learn/loss.h"

#include <math.h>
#include <string.h>

void loss_reset(struct loss *l, enum loss_kind kind)
{
    l->kind = kind;
    memset(l->sum, 0, sizeof l->sum);
    l->max_deviation = 0;
}

static void sft_row(struct loss *l, const struct micro_batch *mb, const struct head_io *io, int t)
{
    io->dlogp[t] = -mb->weight[t];
    exact_add(&l->sum[SUM_LOSS], (double)mb->weight[t] * -(double)io->logp[t]);
}

static void grpo_row(struct loss *l, const struct micro_batch *mb, const struct head_io *io, int t)
{
    struct grpo_token g = grpo_token(&l->grpo, io->logp[t], mb->old_logp[t], mb->ref_logp[t],
                                     mb->advantage[t], mb->weight[t]);
    io->dlogp[t] = g.dlogp;
    exact_add(&l->sum[SUM_LOSS], (double)g.loss);
    exact_add(&l->sum[SUM_CLIPPED], g.clipped ? 1 : 0);
    exact_add(&l->sum[SUM_K3], (double)g.k3);
    float deviation = fabsf(g.ratio - 1);
    /* a NaN shows, as infinity: that stays the largest, here and in MPI_MAX */
    if (!(deviation <= l->max_deviation))
        l->max_deviation = isnan(deviation) ? INFINITY : deviation;
}

void loss_run(void *ctx, const struct head_io *io, int T)
{
    struct loss_at *at = ctx;
    struct loss *l = at->loss;
    struct micro_batch *mb = at->mb;
    for (int t = 0; t < T; t++) {
        io->dlogp[t] = 0;
        if (l->kind == LOSS_REFERENCE) mb->ref_logp[t] = io->logp[t];
        if (l->kind == LOSS_REFERENCE || io->target[t] < 0) continue;
        if (l->kind == LOSS_SFT) sft_row(l, mb, io, t);
        if (l->kind == LOSS_GRPO) grpo_row(l, mb, io, t);
        exact_add(&l->sum[SUM_ENTROPY], (double)io->entropy[t]);
        exact_add(&l->sum[SUM_TOKENS], 1);
    }
}
