/* The ends of the model: the embedding, and the head with its norm, logits and loss. */
#include "model/block.h"

PARAM_TABLE(embed, EMBED_PARAMS)
WEIGHT_STRUCT(embed_weights, EMBED_PARAMS)
PARAM_TABLE(head, HEAD_PARAMS)
WEIGHT_STRUCT(head_weights, HEAD_PARAMS)
ACT_TABLE(head_acts, HEAD_ACTS)
ACT_TABLE(head_scratch, HEAD_SCRATCH)

static void embed_forward(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct embed_weights *w = u->weight;
    void *x = output_of(p, u);
    c->ops->embed_forward(x, weight_of(c, &w->embed), p->rows->token, c->vocabulary, p->rows->T,
                          c->d.C);
    vocabulary_embed(p, x);
}

static void embed_forward_end(struct pass *p, const struct unit *u)
{
    partial_end(p, output_of(p, u));
}

static void embed_backward_weight(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct embed_weights *w = u->weight;
    c->ops->embed_backward(grad_of(p, &w->embed), output_gradient(p, u), p->rows->token,
                           c->vocabulary, p->rows->T, c->d.C);
}

/* Tokens have no gradient: nothing to do in B. */
const struct part PART_EMBED = {.name = "embedding",
                                .params = PARAMS_OF(embed),
                                .forward = {embed_forward, embed_forward_end},
                                .backward_weight = embed_backward_weight};

static void head_place(struct chunk *c, struct arena *a)
{
    c->logits = arena_take_n(a, (size_t)c->T_max * (size_t)c->d.V, sizeof(float));
    if (c->tp > 1) c->gathered = arena_take_n(a, (size_t)c->T_max * (size_t)c->V, sizeof(float));
}

/* Rows that get logits: of a prompt only the last ones do. */
static int head_rows(const struct pass *p)
{
    return p->rows->T - (p->decode ? p->decode->skip : 0);
}

static void head_logits(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct head_weights *w = u->weight;
    struct head_acts *k = acts_of(p, u);
    struct exchange *tp = c->parallel.tp;
    float *logits = p->decode && !tp ? p->logits : c->logits;
    int T = head_rows(p);
    c->ops->rmsnorm_forward(k->nf, k->rstd, input_of(p, u), weight_of(c, &w->norm_f), T, c->d.C,
                            c->d.norm_eps);
    c->ops->linear_forward(logits, true, k->nf, w->head.linear, NULL, T);
    if (tp && p->decode)
        vocabulary_gather(p, T);
    else if (tp)
        pass_posted(
            p, tp,
            vocabulary_most(c, buffers_of(p), channel_of(p), logits, p->head->inv_temperature, T));
}

static void head_sums(struct pass *p, const struct unit *u)
{
    (void)u;
    const struct chunk *c = p->chunk;
    struct exchange *tp = c->parallel.tp;
    if (tp && p->decode)
        vocabulary_gather_end(p, head_rows(p));
    else if (tp)
        pass_posted(p, tp,
                    vocabulary_sums(c, buffers_of(p), channel_of(p), c->logits, p->head->target,
                                    p->head->inv_temperature, p->rows->T));
}

/* The loss belongs to the forward pass: what B needs of the logits is their gradient, kept as real.
 */
static void head_loss(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct head_io *io = p->head;
    struct head_acts *k = acts_of(p, u);
    const float *logits = c->logits;
    int T = p->rows->T, V = c->d.V;
    if (p->decode) return;
    if (c->parallel.tp)
        vocabulary_logprob(c, io->logp, io->entropy, buffers_of(p), io->target, T);
    else
        c->ops->logprob_forward(io->logp, io->entropy, logits, io->target, io->inv_temperature, T,
                                V);
    if (!io->loss) return;
    io->loss(io->ctx, io, T);
    if (c->parallel.tp)
        vocabulary_gradient(p, k->dlogits);
    else
        c->ops->logprob_backward(k->dlogits, io->dlogp, logits, io->target, io->inv_temperature, T,
                                 V);
}

static void head_backward_input(struct pass *p, const struct unit *u)
{
    const struct head_weights *w = u->weight;
    const struct head_acts *k = acts_of(p, u);
    struct head_scratch *s = u->scratch;
    partial_backward(p, s->dnorm, k->dlogits, w->head.linear);
}

static void head_backward_input_end(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct head_weights *w = u->weight;
    const struct head_acts *k = acts_of(p, u);
    struct head_scratch *s = u->scratch;
    partial_end(p, s->dnorm);
    c->ops->rmsnorm_backward(input_gradient(p, u), grad_of(p, &w->norm_f), s->dnorm, input_of(p, u),
                             weight_of(c, &w->norm_f), k->rstd, NULL, p->rows->T, c->d.C);
}

static void head_backward_weight(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct head_weights *w = u->weight;
    struct head_acts *k = acts_of(p, u);
    c->ops->linear_backward_weight(grad_of(p, &w->head), NULL, k->dlogits, k->nf, c->d.V, c->d.C,
                                   p->rows->T);
}

const struct part PART_HEAD = {.name = "head",
                               .params = PARAMS_OF(head),
                               .acts = ACTS_OF(head_acts),
                               .scratch = ACTS_OF(head_scratch),
                               .place = head_place,
                               .forward = {head_logits, head_sums, head_loss},
                               .backward_input = {head_backward_input, head_backward_input_end},
                               .backward_weight = head_backward_weight};
