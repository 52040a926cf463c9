/* The ends of the model: the embedding, and the head with its norm, logits and loss. `layer` is not used. */
#include "model/block.h"

static void embed_forward(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    (void)layer;
    c->ops->embed_forward(stream_at(p, 0), weight_of(c, c->embed), p->rows->token, p->rows->T,
                          c->d.C);
}

static void embed_backward_weight(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    (void)layer;
    c->ops->embed_backward(grad_of(p, c->embed), gradient_at(p, 0), p->rows->token, p->rows->T,
                           c->d.C);
}

/* Tokens have no gradient: nothing to do in B. */
const struct part PART_EMBED = {{embed_forward}, {NULL}, embed_backward_weight};

static void logits_of(const struct chunk *c, float *logits, void *nf, float *rstd, const void *y,
                      int T)
{
    c->ops->rmsnorm_forward(nf, rstd, y, weight_of(c, c->norm_f), T, c->d.C, c->d.norm_eps);
    c->ops->linear_forward(logits, true, nf, &c->head_linear, NULL, T);
}

/* The loss belongs to the forward pass: what B needs of the logits is their gradient, kept as real. */
static void head_train(struct pass *p)
{
    const struct chunk *c = p->chunk;
    struct slot *s = slot_of(p);
    const struct head_io *io = p->head;
    float *logits = c->scratch.logits;
    int T = p->rows->T, V = c->d.V;
    logits_of(c, logits, s->nf, s->rstd_f, s->y, T);
    c->ops->logprob_forward(io->logp, io->entropy, logits, io->target, io->inv_temperature, T, V);
    if (!io->loss) return;
    io->loss(io->ctx, io, T);
    c->ops->logprob_backward(s->dlogits, io->dlogp, logits, io->target, io->inv_temperature, T, V);
}

static void head_forward(struct pass *p, int layer)
{
    const struct slot *s = slot_of(p);
    (void)layer;
    if (p->decode)
        logits_of(p->chunk, p->logits, s->nf, s->rstd_f, s->y, p->rows->T - p->decode->skip);
    else
        head_train(p);
}

static void head_backward_input(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    struct slot *s = slot_of(p);
    int T = p->rows->T;
    (void)layer;
    c->ops->linear_backward_input(c->scratch.dnorm, s->dlogits, &c->head_linear, T);
    c->ops->rmsnorm_backward(s->dy, grad_of(p, c->norm_f), c->scratch.dnorm, s->y,
                             weight_of(c, c->norm_f), s->rstd_f, NULL, T, c->d.C);
}

static void head_backward_weight(struct pass *p, int layer)
{
    const struct chunk *c = p->chunk;
    const struct slot *s = slot_of(p);
    (void)layer;
    c->ops->linear_backward_weight(grad_of(p, c->head), NULL, s->dlogits, s->nf, c->d.V, c->d.C,
                                   p->rows->T);
}

const struct part PART_HEAD = {{head_forward}, {head_backward_input}, head_backward_weight};
