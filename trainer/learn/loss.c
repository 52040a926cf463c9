#include "trainer/learn/loss.h"

#include <string.h>

void loss_begin(struct loss *l, const struct loss_shape *shape, struct objective objective)
{
    *l = (struct loss){.shape = shape, .objective = objective};
}

static void sft_answer(struct loss *l, const struct answer_rows *a)
{
    for (int t = 0; t < a->n; t++) {
        a->dlogp[t] = -a->weight[t];
        exact_add(&l->sum[SUM_LOSS], (double)a->weight[t] * -(double)a->logp[t]);
    }
}

static void reference_answer(struct loss *l, const struct answer_rows *a)
{
    (void)l;
    memcpy(a->ref_logp, a->logp, (size_t)a->n * sizeof *a->logp);
}

const struct loss_shape loss_sft = {.name = "sft loss", .answer = sft_answer, .learns = true};
/* The score of an answer is that of its last row, which has read all but its end. */
static void score_answer(struct loss *l, const struct answer_rows *a)
{
    const int last = a->n - 1;
    a->dlogp[last] = a->weight[last]; /* the others are 0 */
    exact_add(&l->sum[SUM_LOSS], (double)a->weight[last] * (double)a->logp[last]);
}

const struct loss_shape loss_reference = {.name = "reference loss", .answer = reference_answer};
const struct loss_shape loss_score = {.name = "score loss",
                                      .answer = score_answer,
                                      .learns = true,
                                      .scalar = true};
const struct loss_shape loss_scores = {.name = "scores",
                                       .answer = reference_answer,
                                       .scalar = true};

/* Rows from..to are the tokens of one answer: a loss may need them together. */
static void answer(struct loss *l, const struct micro_batch *mb, int from, int to)
{
    const struct answer_rows a = {.n = to - from,
                                  .logp = mb->logp + from,
                                  .old_logp = mb->old_logp + from,
                                  .advantage = mb->advantage + from,
                                  .weight = mb->weight + from,
                                  .ref_logp = mb->ref_logp + from,
                                  .dlogp = mb->dlogp + from};
    l->shape->answer(l, &a);
    for (int t = from; l->shape->learns && t < to; t++)
        exact_add(&l->sum[SUM_ENTROPY], (double)mb->entropy[t]);
    for (int t = from; l->shape->learns && t < to; t++) exact_add(&l->sum[SUM_TOKENS], 1);
}

/* A sequence is its prompt, whose rows have no target, then its answer; a conversation has several,
 * with rows without a target between them. */
void loss_run(void *ctx, const struct micro_batch *mb, int from, int to)
{
    const struct loss *l = ctx;
    memset(mb->dlogp + from, 0, (size_t)(to - from) * sizeof *mb->dlogp);
    if (l->shape == &loss_scores) /* also of rows without a target: an observation may be last */
        memcpy(mb->ref_logp + from, mb->logp + from, (size_t)(to - from) * sizeof *mb->logp);
    for (int i = 0; i < mb->rows.seg.n; i++) {
        int first = mb->start[i] > from ? mb->start[i] : from;
        int end = mb->start[i + 1] < to ? mb->start[i + 1] : to;
        for (int stop; first < end; first = stop) {
            while (first < end && mb->target[first] < 0) first++;
            for (stop = first; stop < end && mb->target[stop] >= 0;) stop++;
            if (first < stop) answer(ctx, mb, first, stop);
        }
    }
}

stage_loss_run *loss_row_of(const struct loss_shape *shape, const struct device *device)
{
    if (device == &device_host) return loss_run;
    for (const struct loss_row *r = shape->rows; r && r->device; r++)
        if (r->device == device) return r->run;
    return NULL;
}
