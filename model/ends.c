/* The ends of the model: the embedding, and the head with its norm, logits, loss and their
 * gradients. */
#include <math.h>
#include "model/block.h"

PARAM_TABLE(embed, EMBED_PARAMS)
WEIGHT_STRUCT(embed_weights, EMBED_PARAMS)
PARAM_TABLE(head, HEAD_PARAMS)
WEIGHT_STRUCT(head_weights, HEAD_PARAMS)
ACT_TABLE(head_acts, HEAD_ACTS)

/* A rank looks up all rows, of which only its tokens' are not zero. */
static void embed_forward(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct embed_weights *w = u->weight;
    void *to = output_of(p, u), *x = is_cut(p) ? buffers_of(p)->summed : to;
    c->ops->embed_forward(x, weight_of(c, &w->embed), p->rows->token, c->vocabulary, p->rows->T,
                          c->d.C);
    vocabulary_embed(p, to, x);
}

static void embed_backward_weight(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct embed_weights *w = u->weight;
    c->ops->embed_backward(grad_of(p, &w->embed), whole_gradient(p, u), p->rows->token,
                           c->vocabulary, p->rows->T, c->d.C);
}

/* Tokens have no gradient: nothing to do in B. */
const struct part PART_EMBED = {.name = "embedding",
                                .params = PARAMS_OF(embed),
                                .forward = {embed_forward},
                                .backward_weight = {whole_gradient_begin, embed_backward_weight}};

/* --- the head: norm, logits, loss and their gradients, a block of rows at a time ---
 *
 * Rows of logits exist only while their block is worked on: from them come log-probabilities, the
 * loss, their own gradient (over the logits), and from that at once the gradient of the norm's
 * output, which the slot keeps, and the block's part of the gradient of the matrix (fused linear
 * cross entropy, Liger Kernel, arXiv 2410.10989). So F does the three products of the head, B only
 * the norm, and W nothing.
 *
 * A block has a multiple of HEAD_UNIT rows, which is a multiple of the pieces in which a weight
 * gradient is summed (model/matmul.h), and everything else is row by row: bits do not depend on the
 * size of the blocks. */
enum { HEAD_UNIT = 256, DRAW_UNIT = 64, HEAD_BYTES = 16 << 20 };

/* By the whole vocabulary, so that all ranks of tp have the same blocks. */
static int block_rows(const struct chunk *c, int unit)
{
    size_t row = (size_t)c->V * sizeof(float), units = HEAD_BYTES / row / (size_t)unit;
    size_t n = (units > 0 ? units : 1) * (size_t)unit;
    if (c->head_rows > 0) n = (size_t)c->head_rows;
    return n < (size_t)c->T_max ? (int)n : c->T_max;
}

static void head_place(struct chunk *c, struct arena *a)
{
    struct head *h = &c->head;
    size_t T = (size_t)c->T_max, V = (size_t)c->V, drawn = (size_t)block_rows(c, DRAW_UNIT);
    h->rows = block_rows(c, HEAD_UNIT);
    h->logits = arena_take_n(a, (size_t)h->rows * (size_t)c->d.V, sizeof(float));
    h->sums = arena_take_n(a, T, (c->tp > 1 ? 3 : 2) * sizeof(float));
    if (c->tp == 1) return;
    h->most = arena_take_n(a, T, sizeof(float));
    h->gathered = arena_take_n(a, drawn * V, sizeof(float));
    h->whole = arena_take_n(a, drawn * V, sizeof(float));
}

/* Rows that get logits: of a prompt only the last ones do. */
static int head_rows(const struct pass *p)
{
    return p->rows->T - (p->decode ? p->decode->skip : 0);
}

/* The block that begins at row `from`. */
static struct block block_at(const struct pass *p, int from)
{
    const struct chunk *c = p->chunk;
    int left = head_rows(p) - from;
    int most = p->decode && c->parallel.tp ? block_rows(c, DRAW_UNIT) : c->head.rows;
    return (struct block){from, left < most ? left : most};
}

static bool is_scalar(const struct pass *p)
{
    return !p->decode && p->head->scalar;
}

static bool learns(const struct pass *p)
{
    return !p->decode && p->head->loss && p->head->learns;
}

/* The tokens of [first, first + n) that this rank has, counted from its first. */
static struct share here(const struct chunk *c, struct share s)
{
    struct share own = c->vocabulary;
    int first = s.first > own.first ? s.first : own.first, end = s.first + s.n;
    if (end > own.first + own.n) end = own.first + own.n;
    return (struct share){first - own.first, end > first ? end - first : 0};
}

static void logits_of(struct pass *p, const struct unit *u, struct block b)
{
    const struct chunk *c = p->chunk;
    const struct head_weights *w = u->weight;
    const struct head_acts *k = acts_of(p, u);
    c->ops->linear_forward(c->head.logits, true, rows_at(c, k->nf, b.from, c->d.C), w->head.linear,
                           NULL, b.n);
    for (int i = 0; i < c->never.n; i++)
        c->ops->fill_columns(c->head.logits, here(c, c->never.range[i]), -INFINITY, b.n, c->d.V);
}

/* From forward to backward, where a rank has the whole vocabulary. */
static float *range_of(const struct chunk *c, struct block b)
{
    return c->head.sums + 2 * (size_t)b.from;
}

/* Adds what the block's rows give, from their logits and dlogp. */
static void gradients_of(struct pass *p, const struct unit *u, struct block b)
{
    const struct chunk *c = p->chunk;
    const struct head_weights *w = u->weight;
    const struct head_io *io = p->head;
    const struct head_acts *k = acts_of(p, u);
    float *z = c->head.logits;
    size_t at = (size_t)b.from * (size_t)c->d.C;
    bool several = c->parallel.tp != NULL;
    if (several)
        vocabulary_gradient(p, b);
    else
        c->ops->logprob_backward(z, io->dlogp + b.from, range_of(c, b), z, io->target + b.from,
                                 io->inv_temperature, b.n, c->d.V);
    void *dnorm =
        several ? (void *)(buffers_of(p)->sum + at) : rows_at(c, k->dnorm, b.from, c->d.C);
    c->ops->linear_backward_input(dnorm, several, z, w->head.linear, b.n);
    c->ops->linear_backward_weight(grad_of(p, &w->head), NULL, z, rows_at(c, k->nf, b.from, c->d.C),
                                   c->d.V, c->d.C, b.n);
}

/* --- the sub-steps: the norm; the four of a block, again until all blocks are through; the rest
 * ---
 */

static struct norm norm_of(const struct pass *p, const struct unit *u)
{
    const struct head_weights *w = u->weight;
    struct head_acts *k = acts_of(p, u);
    return (struct norm){&w->norm_f, k->nf, k->rstd};
}

static void head_norm(struct pass *p, const struct unit *u)
{
    norm_forward(p, u, norm_of(p, u), p->rows->T - head_rows(p));
}

static void head_logits(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    if (is_scalar(p)) return;
    struct block b = block_at(p, p->row);
    logits_of(p, u, b);
    if (p->decode && c->parallel.tp) vocabulary_gather(p, b);
}

static void head_draw(struct pass *p, const struct unit *u)
{
    (void)u;
    const struct chunk *c = p->chunk;
    const struct head_draw *d = p->draw;
    if (is_scalar(p)) return;
    struct block b = block_at(p, p->row);
    bool several = c->parallel.tp != NULL;
    if (p->decode && several) vocabulary_gather_end(p, b);
    if (p->decode) d->draw(d->ctx, several ? c->head.whole : c->head.logits, b.from, b.n);
    if (several) vocabulary_most(p, b, p->decode ? d->inv_temperature : p->head->inv_temperature);
}

static void head_sums(struct pass *p, const struct unit *u)
{
    (void)u;
    struct block b = block_at(p, p->row);
    if (!p->chunk->parallel.tp || is_scalar(p)) return;
    if (p->decode)
        vocabulary_sums(p, b, p->draw->target, p->draw->inv_temperature);
    else
        vocabulary_sums(p, b, p->head->target, p->head->inv_temperature);
}

static void logprob(const struct pass *p, float *logp, float *entropy, const int *target,
                    float inv_temperature)
{
    const struct chunk *c = p->chunk;
    struct block b = block_at(p, p->row);
    if (c->parallel.tp)
        vocabulary_logprob(c, logp, entropy, target, b);
    else
        c->ops->logprob_forward(logp + b.from, entropy + b.from, p->decode ? NULL : range_of(c, b),
                                c->head.logits, target + b.from, inv_temperature, b.n, c->d.V);
}

/* A loss that wants all rows gets them in head_rest, if they are more than a block. */
static bool is_later(const struct pass *p)
{
    return p->head->whole && head_rows(p) > block_at(p, 0).n;
}

/* p->sub steps back over the sub-steps of a block, so that logits of one block at a time are held.
 * */
static void head_loss(struct pass *p, const struct unit *u)
{
    struct block b = block_at(p, p->row);
    const struct head_draw *d = p->draw;
    const struct head_io *io = p->head;
    if (is_scalar(p)) return;
    if (p->decode) {
        logprob(p, d->logp, d->entropy, d->target, d->inv_temperature);
    } else {
        logprob(p, io->logp, io->entropy, io->target, io->inv_temperature);
        if (io->loss && !is_later(p)) io->loss(io->ctx, io, b.from, b.from + b.n);
        if (learns(p) && !is_later(p)) gradients_of(p, u, b);
    }
    p->row += b.n;
    if (p->row < head_rows(p)) p->sub -= 4; /* on to the next block */
}

/* The scalar head: a score for each row, and at once the gradients of what it is made of. Every
 * rank of tp has all rows and the whole vector, so each makes its own rows' gradient of the norm's
 * output, and the same gradient of the vector. */
static void score_rows(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    const struct head_weights *w = u->weight;
    const struct head_io *io = p->head;
    const struct head_acts *k = acts_of(p, u);
    const struct share here = rows_here(p);
    int T = head_rows(p);
    c->ops->score_forward(io->logp, k->nf, weight_of(c, &w->score), T, c->d.C);
    c->ops->fill_columns(io->entropy, (struct share){0, 1}, 0, T, 1);
    if (!io->loss) return;
    io->loss(io->ctx, io, 0, T);
    if (!io->learns) return;
    c->ops->router_backward_input(k->dnorm, k->dnorm, p->rows->pos, io->dlogp + here.first,
                                  weight_of(c, &w->score), here.n, c->d.C, 1, 0);
    c->ops->router_backward_weight(grad_of(p, &w->score), io->dlogp, k->nf, T, c->d.C, 1);
}

/* Logits are computed a second time: those of all rows would not fit. */
static void head_rest(struct pass *p, const struct unit *u)
{
    const struct head_io *io = p->head;
    const struct head_acts *k = acts_of(p, u);
    int T = head_rows(p);
    if (is_scalar(p)) {
        score_rows(p, u);
        return;
    }
    if (p->decode || !io->loss) return;
    if (is_later(p)) {
        io->loss(io->ctx, io, 0, T);
        for (struct block b = block_at(p, 0); io->learns && b.n > 0;
             b = block_at(p, b.from + b.n)) {
            logits_of(p, u, b);
            gradients_of(p, u, b);
        }
    }
    if (p->chunk->parallel.tp && io->learns) partial_post(p, k->dnorm);
}

static void head_backward_input(struct pass *p, const struct unit *u)
{
    const struct head_acts *k = acts_of(p, u);
    norm_backward(p, u, norm_of(p, u), k->dnorm, NULL);
}

const struct part PART_HEAD = {
    .name = "head",
    .params = PARAMS_OF(head),
    .acts = ACTS_OF(head_acts),
    .place = head_place,
    .forward = {head_norm, head_logits, head_draw, head_sums, head_loss, head_rest},
    .backward_input = {norm_await, head_backward_input}};
