/* The norms of the residual stream, on the rows that a rank has, and what joins them to the
 * products between them, which want all rows (sequence parallelism, arXiv 2205.05198
 * section 4.2.2).
 *
 * Without cut sequences a rank has all rows and nothing is exchanged here. With them a norm's
 * output is gathered before a product, and the gradient of a part's output before it goes backward;
 * the sums behind products end with each rank's own rows (tensor_parallel.c). What one rank would
 * compute of a row each computes of its rows: the same bits.
 *
 * A gain's gradient is a sum over all rows of all micro-batches, one after the other. So that its
 * bits stay, it goes along the ranks: the first adds its rows and hands on, the last tells all
 * others. */
#include "comm/exchange.h"
#include "model/block.h"

void norm_forward(struct pass *p, const struct unit *u, struct norm n, int skip)
{
    const struct chunk *c = p->chunk;
    struct share r = rows_here(p);
    c->ops->rmsnorm_forward(rows_at(c, n.y, r.first, c->d.C), n.rstd, input_of(p, u),
                            weight_of(c, n.gain), r.n - skip, c->d.C, c->d.norm_eps);
    rows_gather(p, n.y);
}

/* --- a gain's gradient on its way --- */

/* From one rank or none (-1) into `to`, and from `out` to ranks [first, end). */
static void hand_on(struct pass *p, float *to, int from, const float *out, struct share ranks)
{
    const struct chunk *c = p->chunk;
    struct exchange *x = c->parallel.tp;
    size_t in_count[MAX_TP] = {0}, out_count[MAX_TP] = {0}, at[MAX_TP] = {0};
    size_t bytes = (size_t)c->d.C * sizeof(float);
    if (from >= 0) in_count[from] = bytes;
    for (int i = 0; i < ranks.n; i++) out_count[ranks.first + i] = bytes;
    pass_posted(p, x, exchange_all_to_all(x, channel_of(p), to, in_count, at, out, out_count, at));
}

/* The first rank awaits nothing and posts that: a pass must pause at the same places on all ranks,
 * or two that are stepped in turn fall out of step, and wait for each other for ever. */
void norm_await(struct pass *p, const struct unit *u)
{
    (void)u;
    if (!is_cut(p)) return;
    float *gain = buffers_of(p)->gain;
    hand_on(p, gain, p->chunk->t - 1, gain, (struct share){0, 0});
}

static void gain_copy(const struct chunk *c, float *to, const float *from)
{
    size_t bytes = (size_t)c->d.C * sizeof(float);
    c->ops->copy_rows(to, bytes, from, bytes, 1, bytes);
}

/* The last rank has the sum; from the others it goes on, and comes back into their gradients. */
static void gain_hand_on(struct pass *p, float *dgain)
{
    float *gain = buffers_of(p)->gain;
    int me = p->chunk->t, last = p->chunk->tp - 1;
    if (me == last) gain_copy(p->chunk, dgain, gain);
    if (me == last)
        hand_on(p, dgain, -1, gain, (struct share){0, last});
    else
        hand_on(p, dgain, last, gain, (struct share){me + 1, 1});
}

void norm_backward(struct pass *p, const struct unit *u, struct norm n, const void *dy,
                   const void *carry)
{
    const struct chunk *c = p->chunk;
    bool cut = is_cut(p);
    float *dgain = grad_of(p, n.gain), *gain = cut ? buffers_of(p)->gain : dgain;
    if (cut && c->t == 0) gain_copy(c, gain, dgain);
    c->ops->rmsnorm_backward(input_gradient(p, u), gain, dy, input_of(p, u), weight_of(c, n.gain),
                             n.rstd, carry, rows_here(p).n, c->d.C);
    if (cut) gain_hand_on(p, dgain);
}

/* --- the gradient of a part's output --- */

void whole_gradient_begin(struct pass *p, const struct unit *u)
{
    const struct chunk *c = p->chunk;
    struct share r = rows_here(p);
    size_t bytes = (size_t)r.n * (size_t)c->d.C * c->ops->real_bytes;
    if (!is_cut(p)) return;
    void *whole = buffers_of(p)->whole;
    c->ops->copy_rows(rows_at(c, whole, r.first, c->d.C), bytes, output_gradient(p, u), bytes, 1,
                      bytes);
    rows_gather(p, whole);
}

/* Where W does not wait for later it is there yet. */
void whole_gradient_again(struct pass *p, const struct unit *u)
{
    if (p->kind == PASS_W) whole_gradient_begin(p, u);
}

const void *whole_gradient(struct pass *p, const struct unit *u)
{
    return is_cut(p) ? buffers_of(p)->whole : output_gradient(p, u);
}
