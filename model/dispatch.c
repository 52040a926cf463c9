/* Rows of a layer with experts on their way to the ranks that hold the experts, and back (expert
 * parallelism).
 *
 * First the ranks tell each other how many rows they will send for each expert; then the rows go,
 * sorted by expert and so by rank. They arrive by rank, then expert, and are brought into the order
 * that a product wants: by expert, then rank. Results go back the same way. Nothing is dropped:
 * there is room for all rows of all ranks at once. */
#include "comm/base/die.h"
#include "comm/exchange.h"
#include "model/block.h"

void dispatch_place(struct chunk *c, struct exchange_buffers *w, struct arena *a)
{
    size_t C = (size_t)c->d.C, ep = (size_t)c->ep, held = (size_t)dims_held(&c->d);
    w->home = arena_take_n(a, (size_t)c->T_max * (size_t)c->d.K * C, c->ops->real_bytes);
    w->away = arena_take_n(a, (size_t)c->R_max * C, c->ops->real_bytes);
    w->count = arena_take_n(a, 2 * ep * held, sizeof(int));
    w->counted = arena_take_n(arena_host(a), ep * held, sizeof(int));
    w->bytes = arena_take_n(arena_host(a), 4 * ep, sizeof(size_t));
}

/* How much of each rank's part goes and comes, and where it lies: four lists in the exchange
 * buffers. */
struct row_counts {
    size_t *out, *out_at, *in, *in_at;
};
static struct row_counts counts_in(const struct chunk *c, const struct exchange_buffers *w)
{
    int ep = c->ep;
    return (struct row_counts){w->bytes, w->bytes + ep, w->bytes + 2 * ep, w->bytes + 3 * ep};
}

/* --- how many --- */

/* Counts go ahead of the rows: a rank must know how many rows come before it can receive them. */
void dispatch_counts(struct pass *p, const struct moe_acts *k)
{
    const struct chunk *c = p->chunk;
    struct exchange *x = c->parallel.ep;
    if (!x) return;
    struct exchange_buffers *w = buffers_of(p);
    struct row_counts t = counts_in(c, w);
    int held = dims_held(&c->d), *to = w->count, *from = w->count + c->d.E;
    for (int e = 0; e < c->d.E; e++) w->counted[e] = k->start[e + 1] - k->start[e];
    c->device->copy_in(to, w->counted, (size_t)c->d.E * sizeof *to);
    for (int m = 0; m < c->ep; m++) {
        t.out[m] = t.in[m] = (size_t)held * sizeof(int);
        t.out_at[m] = t.in_at[m] = (size_t)m * t.in[m];
    }
    pass_posted(p, x,
                exchange_all_to_all(x, channel_of(p), from, t.in, t.in_at, to, t.out, t.out_at));
}

/* first[] are the rows of each held expert, of all ranks of the group together. */
void dispatch_counted(struct pass *p, struct moe_acts *k)
{
    const struct chunk *c = p->chunk;
    if (!c->parallel.ep) return;
    int held = dims_held(&c->d);
    c->device->copy_out(k->from, buffers_of(p)->count + c->d.E, (size_t)c->d.E * sizeof(int));
    first_of(k)[0] = 0;
    for (int i = 0; i < held; i++) {
        first_of(k)[i + 1] = first_of(k)[i];
        for (int m = 0; m < c->ep; m++) first_of(k)[i + 1] += k->from[m * held + i];
    }
    INVARIANT(first_of(k)[held] <= c->R_max, "%d rows arrived for %d experts, room for %d",
              first_of(k)[held], held, c->R_max);
}

/* --- the rows --- */

/* Rows are sorted by expert, and a rank holds consecutive experts: what goes to it is one piece. */
static struct row_counts row_counts_of(const struct pass *p, const struct exchange_buffers *w,
                                       const struct moe_acts *k)
{
    const struct chunk *c = p->chunk;
    struct row_counts t = counts_in(c, w);
    size_t row = (size_t)c->d.C * c->ops->real_bytes, came = 0;
    int held = dims_held(&c->d);
    for (int m = 0; m < c->ep; m++) {
        int from = k->start[m * held], to = k->start[(m + 1) * held], rows = 0;
        for (int i = 0; i < held; i++) rows += k->from[m * held + i];
        t.out[m] = (size_t)(to - from) * row;
        t.out_at[m] = (size_t)from * row;
        t.in[m] = (size_t)rows * row;
        t.in_at[m] = came;
        came += t.in[m];
    }
    return t;
}

void dispatch_out(struct pass *p, const struct moe_acts *k, const void *home)
{
    struct exchange *x = p->chunk->parallel.ep;
    if (!x) return;
    struct exchange_buffers *w = buffers_of(p);
    struct row_counts t = row_counts_of(p, w, k);
    pass_posted(
        p, x, exchange_all_to_all(x, channel_of(p), w->away, t.in, t.in_at, home, t.out, t.out_at));
}

/* Every run of rows of one rank and one expert: its place by rank in `away`, and by expert in
 * `rows`. */
static void reorder(const struct chunk *c, const struct moe_acts *k, void *away, void *rows,
                    bool arriving)
{
    int held = dims_held(&c->d), C = c->d.C, by_rank = 0;
    for (int m = 0; m < c->ep; m++)
        for (int i = 0; i < held; i++) {
            int n = k->from[m * held + i], by_expert = first_of(k)[i];
            for (int o = 0; o < m; o++) by_expert += k->from[o * held + i];
            void *there = rows_at(c, away, by_rank, C), *here = rows_at(c, rows, by_expert, C);
            size_t bytes = (size_t)n * (size_t)C * c->ops->real_bytes;
            c->ops->copy_rows(arriving ? here : there, bytes, arriving ? there : here, bytes, 1,
                              bytes);
            by_rank += n;
        }
}

void dispatch_arrived(struct pass *p, const struct moe_acts *k, void *rows)
{
    if (p->chunk->parallel.ep) reorder(p->chunk, k, buffers_of(p)->away, rows, true);
}

void dispatch_back(struct pass *p, const struct moe_acts *k, void *home, void *rows)
{
    struct exchange *x = p->chunk->parallel.ep;
    if (!x) return;
    struct exchange_buffers *w = buffers_of(p);
    reorder(p->chunk, k, w->away, rows, false);
    struct row_counts t = row_counts_of(p, w, k);
    pass_posted(
        p, x, exchange_all_to_all(x, channel_of(p), home, t.out, t.out_at, w->away, t.in, t.in_at));
}
