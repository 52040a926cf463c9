/* Rows of a layer with experts on their way to the ranks that hold the experts, and back (expert
 * parallelism).
 *
 * First the ranks tell each other how many rows they have for each expert. From these counts every
 * rank knows what every other one gets, hence the rounds in which rows are worked off
 * (model/rounds.h): as a rule one. Then the rows of a round go, sorted by expert and so by rank.
 * They arrive by rank, then expert, and are brought into the order that a product wants: by expert,
 * then rank. Results go back the same way. Nothing is dropped.
 *
 * Rows of one rank for another that belong to one round are consecutive home rows, because both
 * orders are by expert, then by row. */
#include "comm/base/die.h"
#include "comm/exchange.h"
#include "model/block.h"

void dispatch_place(struct chunk *c, struct exchange_buffers *w, struct arena *a)
{
    size_t C = (size_t)c->d.C, ep = (size_t)c->ep, E = (size_t)c->d.E;
    bool backward = w == &c->buffers[1];
    w->home = arena_take_n(a, (size_t)c->T_max * (size_t)c->d.K * C, c->ops->real_bytes);
    w->away = arena_take_n(a, (size_t)c->room.first * C, c->ops->real_bytes);
    if (backward) w->again = arena_take_n(a, (size_t)c->room.further * C, c->ops->real_bytes);
    w->count = arena_take_n(a, ep * E, sizeof(int));
    w->counted = arena_take_n(arena_host(a), ep * E, sizeof(int));
    w->bound = arena_take_n(arena_host(a), (size_t)dims_held(&c->d) + 1, sizeof(int));
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

static int *bounds_of(const struct chunk *c, const struct moe_acts *k, int member)
{
    return k->first + member * (dims_held(&c->d) + 1);
}

/* --- how many --- */

/* Counts go ahead of the rows: a rank must know how many rows come before it can receive them, and
 * what others get, so that all go the same rounds. */
void dispatch_counts(struct pass *p, const struct moe_acts *k)
{
    const struct chunk *c = p->chunk;
    struct exchange *x = c->parallel.ep;
    if (!x) return;
    struct exchange_buffers *w = buffers_of(p);
    struct row_counts t = counts_in(c, w);
    int E = c->d.E, me = exchange_rank(x);
    for (int e = 0; e < E; e++) w->counted[e] = k->start[e + 1] - k->start[e];
    c->device->copy_in(w->count + me * E, w->counted, (size_t)E * sizeof(int));
    for (int m = 0; m < c->ep; m++) {
        t.in[m] = (size_t)E * sizeof(int);
        t.in_at[m] = (size_t)m * t.in[m];
    }
    pass_posted(p, x, exchange_all_gather(x, channel_of(p), w->count, t.in, t.in_at));
}

/* Where the expert rows of held expert i of `member` begin, and among them those of this rank; for
 * this rank's own experts also those of every rank. */
static void count_expert(const struct chunk *c, const struct moe_acts *k, const int *counted,
                         int member, int i)
{
    int held = dims_held(&c->d), e = member * held + i, me = exchange_rank(c->parallel.ep);
    int *bounds = bounds_of(c, k, member), at = bounds[i];
    for (int m = 0; m < c->ep; m++) {
        if (m == me) k->place[e] = at;
        if (member == me) k->from[m * held + i] = at;
        at += counted[m * c->d.E + e];
    }
    if (member == me) k->from[c->ep * held + i] = at;
    bounds[i + 1] = at;
}

static void note_rounds(struct chunk *c, int rounds)
{
    if (rounds > c->load.rounds) c->load.rounds = rounds;
}

/* Every member counts for all of them, so that all go the same number of rounds without asking. */
void dispatch_counted(struct pass *p, struct moe_acts *k)
{
    const struct chunk *c = p->chunk;
    if (!c->parallel.ep) {
        note_rounds(p->chunk, 1);
        return;
    }
    struct exchange_buffers *w = buffers_of(p);
    int held = dims_held(&c->d);
    c->device->copy_out(w->counted, w->count, (size_t)(c->ep * c->d.E) * sizeof(int));
    *k->rounds = 1;
    for (int m = 0; m < c->ep; m++) {
        bounds_of(c, k, m)[0] = 0;
        for (int i = 0; i < held; i++) count_expert(c, k, w->counted, m, i);
        int n = round_count(bounds_of(c, k, m), held, c->room);
        if (n > *k->rounds) *k->rounds = n;
    }
    note_rounds(p->chunk, *k->rounds);
}

/* --- the rows of a round --- */

static struct row_range rows_of(const struct pass *p, const struct moe_acts *k, int member)
{
    const struct chunk *c = p->chunk;
    return round_rows(bounds_of(c, k, member), dims_held(&c->d), c->room, p->round);
}

const int *dispatch_bounds(struct pass *p, const struct moe_acts *k)
{
    const struct chunk *c = p->chunk;
    if (!c->parallel.ep) return k->start;
    int me = exchange_rank(c->parallel.ep), held = dims_held(&c->d);
    const int *first = bounds_of(c, k, me);
    struct row_range r = rows_of(p, k, me);
    int *bound = buffers_of(p)->bound;
    for (int i = 0; i <= held; i++) {
        int row = first[i] < r.from ? r.from : first[i];
        bound[i] = (row < r.to ? row : r.to) - r.from;
    }
    return bound;
}

/* Rows of rank m for held expert i that are in the round. */
static struct row_range came(const struct chunk *c, const struct moe_acts *k,
                             struct row_range round, int m, int i)
{
    int held = dims_held(&c->d);
    struct row_range all = {k->from[m * held + i], k->from[(m + 1) * held + i]};
    return range_both(round, all);
}

/* What goes to a member is one piece of home rows. */
static struct row_range goes(const struct chunk *c, const struct moe_acts *k,
                             struct row_range round, int member)
{
    int held = dims_held(&c->d), first = member * held;
    struct row_range home = {0, 0};
    for (int e = first; e < first + held; e++) {
        int at = k->place[e], n = k->start[e + 1] - k->start[e];
        struct row_range r = range_both(round, (struct row_range){at, at + n});
        if (range_size(r) == 0) continue;
        if (home.to == 0) home.from = k->start[e] + r.from - at;
        home.to = k->start[e] + r.to - at;
    }
    return home;
}

/* Bytes to each member and from each, and where they lie: in the round only. */
static struct row_counts row_counts_of(const struct pass *p, const struct exchange_buffers *w,
                                       const struct moe_acts *k)
{
    const struct chunk *c = p->chunk;
    struct row_counts t = counts_in(c, w);
    struct row_range mine = rows_of(p, k, exchange_rank(c->parallel.ep));
    size_t row = (size_t)c->d.C * c->ops->real_bytes, at = 0;
    for (int m = 0; m < c->ep; m++) {
        struct row_range home = goes(c, k, rows_of(p, k, m), m);
        int rows = 0;
        for (int i = 0; i < dims_held(&c->d); i++) rows += range_size(came(c, k, mine, m, i));
        t.out[m] = (size_t)range_size(home) * row;
        t.out_at[m] = (size_t)home.from * row;
        t.in[m] = (size_t)rows * row;
        t.in_at[m] = at;
        at += t.in[m];
    }
    return t;
}

static void rows_out(struct pass *p, const struct moe_acts *k, void *away, const void *home)
{
    struct exchange *x = p->chunk->parallel.ep;
    struct row_counts t = row_counts_of(p, buffers_of(p), k);
    pass_posted(p, x,
                exchange_all_to_all(x, channel_of(p), away, t.in, t.in_at, home, t.out, t.out_at));
}

void dispatch_out(struct pass *p, const struct moe_acts *k, const void *home)
{
    if (p->chunk->parallel.ep) rows_out(p, k, buffers_of(p)->away, home);
}

void dispatch_out_again(struct pass *p, const struct moe_acts *k, const void *home)
{
    rows_out(p, k, buffers_of(p)->again, home);
}

/* Every run of rows of one rank and one expert: its place by rank in `away`, and by expert in
 * `rows`. */
static void reorder(const struct pass *p, const struct moe_acts *k, void *away, void *rows,
                    bool arriving)
{
    const struct chunk *c = p->chunk;
    struct row_range mine = rows_of(p, k, exchange_rank(c->parallel.ep));
    int held = dims_held(&c->d), C = c->d.C, by_rank = 0;
    for (int m = 0; m < c->ep; m++)
        for (int i = 0; i < held; i++) {
            struct row_range r = came(c, k, mine, m, i);
            if (range_size(r) == 0) continue;
            void *there = rows_at(c, away, by_rank, C),
                 *here = rows_at(c, rows, r.from - mine.from, C);
            size_t bytes = (size_t)range_size(r) * (size_t)C * c->ops->real_bytes;
            c->ops->copy_rows(arriving ? here : there, bytes, arriving ? there : here, bytes, 1,
                              bytes);
            by_rank += range_size(r);
        }
}

void dispatch_arrived(struct pass *p, const struct moe_acts *k, void *rows)
{
    if (p->chunk->parallel.ep) reorder(p, k, buffers_of(p)->away, rows, true);
}

void dispatch_arrived_again(struct pass *p, const struct moe_acts *k, void *rows)
{
    reorder(p, k, buffers_of(p)->again, rows, true);
}

void dispatch_back(struct pass *p, const struct moe_acts *k, void *home, void *rows)
{
    struct exchange *x = p->chunk->parallel.ep;
    if (!x) return;
    struct exchange_buffers *w = buffers_of(p);
    reorder(p, k, w->away, rows, false);
    struct row_counts t = row_counts_of(p, w, k);
    pass_posted(
        p, x, exchange_all_to_all(x, channel_of(p), home, t.out, t.out_at, w->away, t.in, t.in_at));
}
