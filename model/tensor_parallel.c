/* Tensor parallelism within a chunk: what all ranks of a group add up. Partial sums are float and
 * are rounded once, after the sum, as one rank alone rounds them; so an output row depends on its
 * own inputs only (P1) and every rank has the same bits. */
#include "comm/exchange.h"
#include "model/block.h"

static enum codec real_codec(const struct ops *ops)
{
    return ops->precision == PRECISION_BF16 ? CODEC_BF16 : CODEC_FP32;
}

/* Cut, each rank wants the sums of its rows alone: what travels is a sum's first round. */
void partial_post(struct pass *p, void *to)
{
    const struct chunk *c = p->chunk;
    struct exchange *x = c->parallel.tp;
    const struct exchange_buffers *w = buffers_of(p);
    struct exchange_sum s = {.to = to, .wire = real_codec(c->ops), .in = w->sum};
    size_t from[MAX_TP + 1] = {0};
    s.n = (size_t)p->rows->T * (size_t)c->d.C;
    s.scratch = w->scratch;
    for (int r = 0; r < c->tp; r++)
        from[r + 1] = from[r] + (size_t)chunk_rows(p->rows->T, c->tp, r).n * (size_t)c->d.C;
    if (is_cut(p))
        pass_posted(p, x, exchange_sum_slices(x, channel_of(p), &s, from));
    else
        pass_posted(p, x, exchange_sum(x, channel_of(p), &s));
}

/* The second round. */
void rows_gather(struct pass *p, void *rows)
{
    const struct chunk *c = p->chunk;
    struct exchange *x = c->parallel.tp;
    size_t count[MAX_TP], offset[MAX_TP], row = (size_t)c->d.C * c->ops->real_bytes;
    if (!is_cut(p)) return;
    for (int r = 0; r < c->tp; r++) {
        struct share s = chunk_rows(p->rows->T, c->tp, r);
        count[r] = row * (size_t)s.n;
        offset[r] = row * (size_t)s.first;
    }
    pass_posted(p, x, exchange_all_gather(x, channel_of(p), rows, count, offset));
}

void partial_forward(struct pass *p, void *y, const void *x, const struct linear *l,
                     const void *bias)
{
    const struct chunk *c = p->chunk;
    bool several = c->parallel.tp != NULL;
    if (several && exchange_rank(c->parallel.tp) > 0) bias = NULL;
    c->ops->linear_forward(several ? buffers_of(p)->sum : y, several, x, l, bias, p->rows->T);
    if (several) partial_post(p, buffers_of(p)->summed);
}

void partial_backward(struct pass *p, void *dx, const void *dy, const struct linear *l)
{
    const struct chunk *c = p->chunk;
    bool several = c->parallel.tp != NULL;
    c->ops->linear_backward_input(several ? buffers_of(p)->sum : dx, several, dy, l, p->rows->T);
    if (several) partial_post(p, buffers_of(p)->summed);
}

const void *partial_end(struct pass *p, const void *y)
{
    return p->chunk->parallel.tp ? buffers_of(p)->summed : y;
}

/* Partial sums; behind them the head's numbers of a block, three a row from each other rank.
 * Forward decoded rows, which are whole, need the most. */
void partial_place(struct chunk *c, struct exchange_buffers *w, struct arena *a)
{
    bool cut = c->cut && w == &c->buffers[1];
    size_t T = (size_t)c->T_max, C = (size_t)c->d.C, others = (size_t)c->tp - 1;
    size_t here = (size_t)c->T_here, real = c->ops->real_bytes, most = 3 * T * others;
    size_t slices = c->cut ? others * here * C : 0;
    size_t sums = cut ? 0 : exchange_sum_room(c->tp, real_codec(c->ops), T * C);
    if (slices > most) most = slices;
    if (sums > most) most = sums;
    w->sum = arena_take_n(a, T, C * sizeof(float));
    w->summed = arena_take_n(a, cut ? here : T, C * real);
    w->scratch = arena_take_n(a, most, sizeof(float));
    if (!cut) return;
    w->whole = arena_take_n(a, T, C * real);
    w->gain = arena_take_n(a, C, sizeof(float));
}

/* --- the vocabulary: each rank has the rows of its tokens, of the embedding and of the head --- */

/* Rows of zeros but for the owner's: their sum is exact. */
void vocabulary_embed(struct pass *p, void *to, const void *x)
{
    const struct chunk *c = p->chunk;
    if (!c->parallel.tp) return;
    c->ops->to_float(buffers_of(p)->sum, x, (size_t)p->rows->T * (size_t)c->d.C);
    partial_post(p, to);
}

void vocabulary_most(struct pass *p, struct block b, float inv_temperature)
{
    const struct chunk *c = p->chunk;
    const struct head *h = &c->head;
    struct exchange *x = c->parallel.tp;
    if (b.n == 0) return;
    c->ops->logprob_most(h->most + b.from, h->logits, inv_temperature, b.n, c->vocabulary.n);
    pass_posted(p, x,
                exchange_all_reduce_max(x, channel_of(p), h->most + b.from, (size_t)b.n,
                                        buffers_of(p)->scratch));
}

/* The sums of a block's rows over all ranks, (3, n). */
static float *sums_of(const struct chunk *c, struct block b)
{
    return c->head.sums + 3 * (size_t)b.from;
}

void vocabulary_sums(struct pass *p, struct block b, const int *target, float inv_temperature)
{
    const struct chunk *c = p->chunk;
    const struct head *h = &c->head;
    struct exchange *x = c->parallel.tp;
    if (b.n == 0) return;
    c->ops->logprob_sums(sums_of(c, b), h->most + b.from, h->logits, target + b.from,
                         c->vocabulary.first, inv_temperature, b.n, c->vocabulary.n);
    pass_posted(p, x,
                exchange_all_reduce(x, channel_of(p), sums_of(c, b), 3 * (size_t)b.n,
                                    buffers_of(p)->scratch));
}

void vocabulary_logprob(const struct chunk *c, float *logp, float *entropy, const int *target,
                        struct block b)
{
    c->ops->logprob_join(logp + b.from, entropy + b.from, sums_of(c, b), target + b.from, b.n);
}

void vocabulary_gradient(const struct pass *p, struct block b)
{
    const struct chunk *c = p->chunk;
    const struct head *h = &c->head;
    const struct head_io *io = p->head;
    c->ops->logprob_share_backward(h->logits, io->dlogp + b.from, sums_of(c, b), h->most + b.from,
                                   h->logits, io->target + b.from, c->vocabulary.first,
                                   io->inv_temperature, b.n, c->vocabulary.n);
}

/* --- whole rows of logits, to draw a token from --- */

/* From each rank (n, its share), one behind the other. */
void vocabulary_gather(struct pass *p, struct block b)
{
    const struct chunk *c = p->chunk;
    const struct head *h = &c->head;
    struct exchange *x = c->parallel.tp;
    size_t count[MAX_TP], offset[MAX_TP], row = (size_t)b.n * sizeof(float);
    if (b.n == 0) return;
    for (int r = 0; r < exchange_size(x); r++) {
        struct share s = share_of(c->V, exchange_size(x), r);
        count[r] = row * (size_t)s.n;
        offset[r] = row * (size_t)s.first;
    }
    size_t mine = count[exchange_rank(x)];
    c->ops->copy_rows((char *)h->gathered + offset[exchange_rank(x)], mine, h->logits, mine, 1,
                      mine);
    pass_posted(p, x, exchange_all_gather(x, channel_of(p), h->gathered, count, offset));
}

/* A rank's logits arrive row by row of its share: they are laid side by side, in the order of the
 * vocabulary. */
void vocabulary_gather_end(struct pass *p, struct block b)
{
    const struct chunk *c = p->chunk;
    const struct head *h = &c->head;
    int tp = exchange_size(c->parallel.tp);
    for (int r = 0; r < tp; r++) {
        struct share s = share_of(c->V, tp, r);
        const float *from = h->gathered + (size_t)b.n * (size_t)s.first;
        size_t bytes = (size_t)s.n * sizeof(float);
        c->ops->copy_rows(h->whole + s.first, (size_t)c->V * sizeof(float), from, bytes, b.n,
                          bytes);
    }
}
