/* Tensor parallelism within a chunk: what all ranks of a group add up. Partial sums are float and are rounded once, after the
 * sum, as one rank alone rounds them; so an output row depends on its own inputs only (P1) and every rank has the same bits. */
#include <math.h>
#include <string.h>

#include "comm/exchange.h"
#include "model/block.h"

static void post(struct pass *p)
{
    const struct chunk *c = p->chunk;
    struct exchange *x = c->parallel.tp;
    struct wire *w = wire_of(p);
    size_t n = (size_t)p->rows->T * (size_t)c->d.C;
    pass_posted(p, x, exchange_all_reduce(x, lane_of(p), w->sum, n, w->scratch));
}

void partial_forward(struct pass *p, void *y, const void *x, const struct linear *l)
{
    const struct chunk *c = p->chunk;
    bool several = c->parallel.tp != NULL;
    c->ops->linear_forward(several ? wire_of(p)->sum : y, several, x, l, NULL, p->rows->T);
    if (several) post(p);
}

void partial_backward(struct pass *p, void *dx, const void *dy, const struct linear *l)
{
    const struct chunk *c = p->chunk;
    bool several = c->parallel.tp != NULL;
    c->ops->linear_backward_input(several ? wire_of(p)->sum : dx, several, dy, l, p->rows->T);
    if (several) post(p);
}

void partial_end(struct pass *p, void *y)
{
    const struct chunk *c = p->chunk;
    if (c->parallel.tp) c->ops->to_real(y, wire_of(p)->sum, (size_t)p->rows->T * (size_t)c->d.C);
}

/* --- the vocabulary: each rank has the rows of its tokens, of the embedding and of the head --- */

/* Row of token in this rank's share of the table; -1: another's. */
static int own_row(const struct chunk *c, int token)
{
    int row = token - c->vocabulary.first;
    return row >= 0 && row < c->vocabulary.n ? row : -1;
}

static unsigned char *row_at(const struct chunk *c, void *rows, int t)
{
    return (unsigned char *)rows + (size_t)t * (size_t)c->d.C * c->ops->real_bytes;
}

/* Rows of zeros but for the owner's: their sum is exact. */
void vocabulary_embed(struct pass *p, const struct weight *table)
{
    const struct chunk *c = p->chunk;
    int C = c->d.C;
    void *x = stream_at(p, 0);
    for (int t = 0; t < p->rows->T; t++) {
        int row = own_row(c, p->rows->token[t]);
        if (row < 0)
            memset(row_at(c, x, t), 0, (size_t)C * c->ops->real_bytes);
        else
            c->ops->embed_forward(row_at(c, x, t), weight_of(c, table), &row, 1, C);
    }
    c->ops->to_float(wire_of(p)->sum, x, (size_t)p->rows->T * (size_t)C);
    post(p);
}

void vocabulary_embed_gradient(struct pass *p, const struct weight *table)
{
    const struct chunk *c = p->chunk;
    for (int t = 0; t < p->rows->T; t++) {
        int row = own_row(c, p->rows->token[t]);
        if (row < 0) continue;
        c->ops->embed_backward(grad_of(p, table), row_at(c, stream_at(p, 1), t), &row, 1, c->d.C);
    }
}

int vocabulary_most(const struct chunk *c, struct wire *w, int lane, const float *logits,
                    float inv_temperature, int T)
{
    struct exchange *x = c->parallel.tp;
    c->ops->logprob_most(w->sum, logits, inv_temperature, T, c->vocabulary.n);
    return exchange_all_reduce_max(x, lane, w->sum, (size_t)T, w->scratch);
}

int vocabulary_sums(const struct chunk *c, struct wire *w, int lane, const float *logits,
                    const int *target, float inv_temperature, int T)
{
    float *sums = w->sum + T;
    c->ops->logprob_sums(sums, w->sum, logits, target, c->vocabulary.first, inv_temperature, T,
                         c->vocabulary.n);
    return exchange_all_reduce(c->parallel.tp, lane, sums, 3 * (size_t)T, w->scratch);
}

void vocabulary_logprob(float *logp, float *entropy, const struct wire *w, const int *target, int T)
{
    const float *sum = w->sum + T, *weighted = sum + T, *picked = weighted + T;
    for (int t = 0; t < T; t++) {
        float log_sum = logf(sum[t]);
        logp[t] = target[t] < 0 ? 0 : picked[t] - log_sum;
        entropy[t] = target[t] < 0 ? 0 : log_sum - weighted[t] / sum[t];
    }
}

void vocabulary_gradient(struct pass *p, void *dlogits)
{
    const struct chunk *c = p->chunk;
    const struct head_io *io = p->head;
    const struct wire *w = wire_of(p);
    int T = p->rows->T;
    c->ops->logprob_share_backward(dlogits, io->dlogp, w->sum + T, w->sum, c->logits, io->target,
                                   c->vocabulary.first, io->inv_temperature, T, c->vocabulary.n);
}

/* --- whole rows of logits, to draw a token from --- */

/* From each rank (T, its share), one behind the other. */
void vocabulary_gather(struct pass *p, int T)
{
    const struct chunk *c = p->chunk;
    struct exchange *x = c->parallel.tp;
    size_t count[MAX_TP], offset[MAX_TP], row = (size_t)T * sizeof(float);
    for (int r = 0; r < exchange_size(x); r++) {
        struct share s = share_of(c->V, exchange_size(x), r);
        count[r] = row * (size_t)s.n;
        offset[r] = row * (size_t)s.first;
    }
    memcpy((char *)c->gathered + offset[exchange_rank(x)], c->logits, count[exchange_rank(x)]);
    if (T > 0) pass_posted(p, x, exchange_all_gather(x, lane_of(p), c->gathered, count, offset));
}

void vocabulary_gather_end(struct pass *p, int T)
{
    const struct chunk *c = p->chunk;
    int tp = exchange_size(c->parallel.tp);
    for (int r = 0; r < tp; r++) {
        struct share s = share_of(c->V, tp, r);
        const float *from = c->gathered + (size_t)T * (size_t)s.first;
        for (int t = 0; t < T; t++)
            memcpy(p->logits + (size_t)t * (size_t)c->V + s.first, from + (size_t)t * (size_t)s.n,
                   (size_t)s.n * sizeof(float));
    }
}
