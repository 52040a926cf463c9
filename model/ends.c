/* The ends of the model: the embedding, and the head with its norm, logits and loss. `layer` is not used. */
#include "model/block.h"

static void embed_forward(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    (void)layer;
    if (c->parallel.tp)
        vocabulary_embed(p);
    else
        c->ops->embed_forward(stream_at(p, 0), weight_of(c, c->embed), p->rows->token, p->rows->T,
                              c->d.C);
}

static void embed_forward_end(struct pass *p, int layer)
{
    (void)layer;
    partial_end(p, stream_at(p, 0));
}

static void embed_backward_weight(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    (void)layer;
    if (c->parallel.tp)
        vocabulary_embed_gradient(p);
    else
        c->ops->embed_backward(grad_of(p, c->embed), gradient_at(p, 0), p->rows->token, p->rows->T,
                               c->d.C);
}

/* Tokens have no gradient: nothing to do in B. */
const struct part PART_EMBED = {{embed_forward, embed_forward_end}, {NULL}, embed_backward_weight};

/* Rows that get logits: of a prompt only the last ones do. */
static int head_rows(const struct pass *p)
{
    return p->rows->T - (p->decode ? p->decode->skip : 0);
}

static void head_logits(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct slot *s = slot_of(p);
    struct exchange *tp = c->parallel.tp;
    float *logits = p->decode && !tp ? p->logits : c->scratch.logits;
    int T = head_rows(p);
    (void)layer;
    c->ops->rmsnorm_forward(s->nf, s->rstd_f, s->y, weight_of(c, c->norm_f), T, c->d.C,
                            c->d.norm_eps);
    c->ops->linear_forward(logits, true, s->nf, &c->head_linear, NULL, T);
    if (tp && p->decode)
        vocabulary_gather(p, T);
    else if (tp)
        pass_posted(
            p, tp, vocabulary_most(c, wire_of(p), lane_of(p), logits, p->head->inv_temperature, T));
}

static void head_sums(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    struct exchange *tp = c->parallel.tp;
    (void)layer;
    if (tp && p->decode)
        vocabulary_gather_end(p, head_rows(p));
    else if (tp)
        pass_posted(p, tp,
                    vocabulary_sums(c, wire_of(p), lane_of(p), c->scratch.logits, p->head->target,
                                    p->head->inv_temperature, p->rows->T));
}

/* The loss belongs to the forward pass: what B needs of the logits is their gradient, kept as real. */
static void head_loss(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct head_io *io = p->head;
    const float *logits = c->scratch.logits;
    int T = p->rows->T, V = c->d.V;
    (void)layer;
    if (p->decode) return;
    if (c->parallel.tp)
        vocabulary_logprob(io->logp, io->entropy, wire_of(p), io->target, T);
    else
        c->ops->logprob_forward(io->logp, io->entropy, logits, io->target, io->inv_temperature, T,
                                V);
    if (!io->loss) return;
    io->loss(io->ctx, io, T);
    if (c->parallel.tp)
        vocabulary_gradient(p);
    else
        c->ops->logprob_backward(slot_of(p)->dlogits, io->dlogp, logits, io->target,
                                 io->inv_temperature, T, V);
}

static void head_backward_input(struct pass *p, int layer)
{
    struct chunk *c = p->chunk;
    (void)layer;
    partial_backward(p, c->scratch.dnorm, slot_of(p)->dlogits, &c->head_linear);
}

static void head_backward_input_end(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct slot *s = slot_of(p);
    (void)layer;
    partial_end(p, c->scratch.dnorm);
    c->ops->rmsnorm_backward(s->dy, grad_of(p, c->norm_f), c->scratch.dnorm, s->y,
                             weight_of(c, c->norm_f), s->rstd_f, NULL, p->rows->T, c->d.C);
}

static void head_backward_weight(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct slot *s = slot_of(p);
    (void)layer;
    c->ops->linear_backward_weight(grad_of(p, c->head), NULL, s->dlogits, s->nf, c->d.V, c->d.C,
                                   p->rows->T);
}

const struct part PART_HEAD = {{head_logits, head_sums, head_loss},
                               {head_backward_input, head_backward_input_end},
                               head_backward_weight};
