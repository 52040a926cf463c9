/* Tensor parallelism within a chunk: what all ranks of a group add up. Partial sums are float and
 * are rounded once, after the sum, as one rank alone rounds them; so an output row depends on its
 * own inputs only (P1) and every rank has the same bits. */
#include "comm/exchange.h"
#include "model/block.h"

static void post(struct pass *p)
{
    const struct chunk *c = p->chunk;
    struct exchange *x = c->parallel.tp;
    struct exchange_buffers *w = buffers_of(p);
    size_t n = (size_t)p->rows->T * (size_t)c->d.C;
    pass_posted(p, x, exchange_all_reduce(x, channel_of(p), w->sum, n, w->scratch));
}

void partial_forward(struct pass *p, void *y, const void *x, const struct linear *l,
                     const void *bias)
{
    const struct chunk *c = p->chunk;
    bool several = c->parallel.tp != NULL;
    if (several && exchange_rank(c->parallel.tp) > 0) bias = NULL;
    c->ops->linear_forward(several ? buffers_of(p)->sum : y, several, x, l, bias, p->rows->T);
    if (several) post(p);
}

void partial_backward(struct pass *p, void *dx, const void *dy, const struct linear *l)
{
    const struct chunk *c = p->chunk;
    bool several = c->parallel.tp != NULL;
    c->ops->linear_backward_input(several ? buffers_of(p)->sum : dx, several, dy, l, p->rows->T);
    if (several) post(p);
}

void partial_end(struct pass *p, void *y)
{
    const struct chunk *c = p->chunk;
    if (c->parallel.tp) c->ops->to_real(y, buffers_of(p)->sum, (size_t)p->rows->T * (size_t)c->d.C);
}

/* --- the vocabulary: each rank has the rows of its tokens, of the embedding and of the head --- */

/* Rows of zeros but for the owner's: their sum is exact. */
void vocabulary_embed(struct pass *p, void *x)
{
    const struct chunk *c = p->chunk;
    if (!c->parallel.tp) return;
    c->ops->to_float(buffers_of(p)->sum, x, (size_t)p->rows->T * (size_t)c->d.C);
    post(p);
}

int vocabulary_most(const struct chunk *c, struct exchange_buffers *w, int channel,
                    const float *logits, float inv_temperature, int T)
{
    struct exchange *x = c->parallel.tp;
    c->ops->logprob_most(w->sum, logits, inv_temperature, T, c->vocabulary.n);
    return exchange_all_reduce_max(x, channel, w->sum, (size_t)T, w->scratch);
}

int vocabulary_sums(const struct chunk *c, struct exchange_buffers *w, int channel,
                    const float *logits, const int *target, float inv_temperature, int T)
{
    float *sums = w->sum + T;
    c->ops->logprob_sums(sums, w->sum, logits, target, c->vocabulary.first, inv_temperature, T,
                         c->vocabulary.n);
    return exchange_all_reduce(c->parallel.tp, channel, sums, 3 * (size_t)T, w->scratch);
}

void vocabulary_logprob(const struct chunk *c, float *logp, float *entropy,
                        const struct exchange_buffers *w, const int *target, int T)
{
    c->ops->logprob_join(logp, entropy, w->sum + T, target, T);
}

void vocabulary_gradient(struct pass *p, void *dlogits)
{
    const struct chunk *c = p->chunk;
    const struct head_io *io = p->head;
    const struct exchange_buffers *w = buffers_of(p);
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
    size_t mine = count[exchange_rank(x)];
    c->ops->copy_rows((char *)c->gathered + offset[exchange_rank(x)], mine, c->logits, mine, 1,
                      mine);
    if (T > 0) pass_posted(p, x, exchange_all_gather(x, channel_of(p), c->gathered, count, offset));
}

void vocabulary_gather_end(struct pass *p, int T)
{
    const struct chunk *c = p->chunk;
    int tp = exchange_size(c->parallel.tp);
    for (int r = 0; r < tp; r++) {
        struct share s = share_of(c->V, tp, r);
        const float *from = c->gathered + (size_t)T * (size_t)s.first;
        size_t bytes = (size_t)s.n * sizeof(float);
        c->ops->copy_rows(p->logits + s.first, (size_t)c->V * sizeof(float), from, bytes, T, bytes);
    }
}
