/* The ends of the model: the embedding, and the head with its norm, logits and loss. `layer` is not used. */
#include "model/block.h"

void embed_forward(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    (void)layer;
    c->ops->embed_forward(stream_at(p, 0), weight_of(c, c->embed), p->rows->token, p->rows->T,
                          c->d.C);
}

/* Tokens have no gradient. */
void embed_backward_input(struct pass *p, int layer)
{
    (void)p;
    (void)layer;
}

void embed_backward_weight(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    (void)layer;
    c->ops->embed_backward(grad_of(p, c->embed), gradient_at(p, 0), p->rows->token, p->rows->T,
                           c->d.C);
}

static void logits_of(const struct chunk *c, float *logits, void *nf, float *rstd, const void *y,
                      int T)
{
    c->ops->rmsnorm_forward(nf, rstd, y, weight_of(c, c->norm_f), T, c->d.C, c->d.norm_eps);
    c->ops->linear_forward(logits, true, nf, &c->head_linear, NULL, T);
}

/* The loss belongs to the forward pass: what B needs of the logits is their gradient, kept as real. */
void head_forward(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    struct slot *s = slot_of(p);
    const struct head_io *io = p->head;
    float *logits = c->scratch.logits;
    int T = p->rows->T, V = c->d.V;
    (void)layer;
    logits_of(c, logits, s->nf, s->rstd_f, s->y, T);
    c->ops->logprob_forward(io->logp, io->entropy, logits, io->target, io->inv_temperature, T, V);
    if (!io->loss) return;
    io->loss(io->ctx, io, T);
    c->ops->logprob_backward(s->dlogits, io->dlogp, logits, io->target, io->inv_temperature, T, V);
}

void head_decode(struct chunk *c, float *logits, int T)
{
    logits_of(c, logits, c->once.n1, c->once.rstd1, c->once.x, T);
}

void head_backward_input(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    struct slot *s = slot_of(p);
    int T = p->rows->T;
    (void)layer;
    c->ops->linear_backward_input(c->scratch.dnorm, s->dlogits, &c->head_linear, T);
    c->ops->rmsnorm_backward(s->dy, grad_of(p, c->norm_f), c->scratch.dnorm, s->y,
                             weight_of(c, c->norm_f), s->rstd_f, NULL, T, c->d.C);
}

void head_backward_weight(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct slot *s = slot_of(p);
    (void)layer;
    c->ops->linear_backward_weight(grad_of(p, c->head), NULL, s->dlogits, s->nf, c->d.V, c->d.C,
                                   p->rows->T);
}
