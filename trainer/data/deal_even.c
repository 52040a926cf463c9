/* Evening out: a sequence moves to a cheaper bin, or changes places with one of its sequences;
 * first so that the costliest bins cost less, at the end for pipelines and directions. */
#include <string.h>
#include "trainer/data/deal_inside.h"

/* Looks at this many pairs at most, some tens of milliseconds; a step of a few hundred sequences
 * ends long before. */
enum { MOST_LOOKS = 8 << 20 };

struct swap {
    int give, take, to; /* give goes to bin `to`, take comes back (-1: none does) */
    int64_t top;        /* the costlier of the two sides then */
};

/* What the swap takes from the one bin and adds to the other; 0 when it cannot be or makes nothing
 * better. */
static int64_t change_of(const struct deal *d, const struct deal_shape *s, const int *rows,
                         struct swap w)
{
    int r = rows[w.give] - (w.take < 0 ? 0 : rows[w.take]);
    if (r <= 0 || d->bin[w.to].rows + r > s->T_max) return 0;
    return d->cost[w.give] - (w.take < 0 ? 0 : d->cost[w.take]);
}

/* Bins that have sequences by falling cost, equals by number, as they are now; at: d->item, place
 * of each: d->number. Of empty bins one is as good as another: the first stands for all. */
struct ranking {
    struct deal *d;
    const struct deal_shape *s;
    const int *rows;
    int n, empty; /* empty: d->bins when there is none */
};

static void put_at(struct deal *d, int place, int b)
{
    d->item[place] = b;
    d->number[b] = place;
    d->steps++;
}

static void next_empty(struct ranking *r)
{
    while (r->empty < r->d->bins && r->d->bin[r->empty].first >= 0) r->empty++;
}

static void rank_bins(struct ranking *r)
{
    struct deal *d = r->d;
    for (int b = 0; b < d->bins; b++)
        if (d->bin[b].first >= 0) d->item[r->n++] = b;
    deal_sort(d, d->item, r->n, deal_less_costly);
    for (int k = 0; k < r->n; k++) put_at(d, k, d->item[k]);
    next_empty(r);
}

/* b has another cost than before: it moves past the bins between, which the search for its swap
 * has looked at. */
static void rank_again(struct ranking *r, int b)
{
    struct deal *d = r->d;
    const int *at = d->item;
    int k = d->number[b];
    for (; k > 0 && deal_less_costly(d, at[k - 1], b); k--) put_at(d, k, at[k - 1]);
    for (; k + 1 < r->n && deal_less_costly(d, b, at[k + 1]); k++) put_at(d, k, at[k + 1]);
    put_at(d, k, b);
}

static int first_cheaper(const struct ranking *r, int b)
{
    int lo = r->d->number[b], hi = r->n;
    while (lo + 1 < hi) {
        int mid = lo + (hi - lo) / 2;
        *(r->d->bin[r->d->item[mid]].cost < r->d->bin[b].cost ? &hi : &lo) = mid;
    }
    return hi;
}

/* The first sequence to be given, the first bin for it, and there the first to be taken win among
 * equals; bins come by cost, not by number. */
static void consider(const struct ranking *r, struct swap *best, int give, int take, int to)
{
    const struct deal *d = r->d;
    int64_t change = change_of(d, r->s, r->rows, (struct swap){give, take, to, 0});
    if (change == 0) return;
    int64_t a = d->bin[d->bin_of[give]].cost - change, b = d->bin[to].cost + change;
    int64_t top = a > b ? a : b;
    bool before = top == best->top && give == best->give && to < best->to;
    if (top < best->top || before) *best = (struct swap){give, take, to, top};
}

/* The best that can be done for bin b; top is its present cost when there is nothing. */
static struct swap find_swap(const struct ranking *r, int b, long *looks)
{
    struct deal *d = r->d;
    struct swap best = {-1, -1, -1, d->bin[b].cost};
    int from = first_cheaper(r, b);
    long before = *looks;
    for (int i = d->bin[b].first; i >= 0; i = d->next[i]) {
        if (r->empty < d->bins) consider(r, &best, i, -1, r->empty);
        for (int k = from; k < r->n; k++) {
            int to = d->item[k];
            consider(r, &best, i, -1, to);
            for (int j = d->bin[to].first; j >= 0; j = d->next[j], ++*looks)
                consider(r, &best, i, j, to);
        }
    }
    d->steps += *looks - before;
    return best;
}

static void apply(struct deal *d, const int *rows, struct swap w)
{
    int from = d->bin_of[w.give];
    deal_bin_remove(d, w.give, rows[w.give]);
    if (w.take >= 0) deal_bin_remove(d, w.take, rows[w.take]);
    deal_bin_add(d, w.to, w.give, rows[w.give]);
    if (w.take >= 0) deal_bin_add(d, from, w.take, rows[w.take]);
}

/* Rounds over the bins, the costliest first, until none can be helped; one that was empty comes
 * last. The sum of squares falls with every swap, so it ends. */
void deal_even_out(struct deal *d, const struct deal_shape *s, const int *rows)
{
    struct ranking r = {d, s, rows, 0, 0};
    long looks = 0;
    rank_bins(&r);
    for (bool better = true; better && looks < MOST_LOOKS;) {
        int n = r.n;
        better = false;
        memcpy(d->by_cost, d->item, (size_t)n * sizeof *d->by_cost);
        for (int k = 0; k < n && looks < MOST_LOOKS; k++) {
            int from = d->by_cost[k];
            struct swap w = find_swap(&r, from, &looks);
            if (w.give < 0) continue;
            apply(d, rows, w);
            if (w.to == r.empty) {
                d->by_cost[n++] = w.to;
                put_at(d, r.n++, w.to);
                next_empty(&r);
            }
            rank_again(&r, from);
            rank_again(&r, w.to);
            better = true;
        }
    }
}

/* --- evening out pipelines and directions once more --- */

/* Among the bins whose number is `is` modulo `among`, those equal modulo `groups` are a group
 * (d->sum: what it costs). */
struct level {
    int among, is, groups;
    int64_t ceiling; /* no bin may cost more: what it takes now */
    long looks;
};

static void consider_group(struct swap *best, const struct deal *d, const struct deal_shape *s,
                           const int *rows, const struct level *l, struct swap new)
{
    int64_t change = change_of(d, s, rows, new);
    if (change == 0 || d->bin[new.to].cost + change > l->ceiling) return;
    int64_t a = d->sum[d->bin_of[new.give] % l->groups] - change;
    int64_t b = d->sum[new.to % l->groups] + change;
    new.top = a > b ? a : b;
    if (new.top < best->top) *best = new;
}

/* Moves and swaps between the costliest group and others; the best of them lowers the larger of the
 * two sums. */
static struct swap find_for_group(struct deal *d, const struct deal_shape *s, const int *rows,
                                  struct level *l, int top)
{
    struct swap best = {-1, -1, -1, d->sum[top]};
    long before = l->looks;
    for (int b = top; b < d->bins; b += l->groups)
        for (int i = d->bin[b].first; i >= 0; i = d->next[i])
            for (int to = l->is; to < d->bins; to += l->among, d->steps++) {
                if (to % l->groups == top) continue;
                consider_group(&best, d, s, rows, l, (struct swap){i, -1, to, 0});
                for (int j = d->bin[to].first; j >= 0; j = d->next[j], l->looks++)
                    consider_group(&best, d, s, rows, l, (struct swap){i, j, to, 0});
            }
    d->steps += l->looks - before;
    return best;
}

/* Until the costliest group is within a thousandth of the mean, or cannot be helped. */
static void level_groups(struct deal *d, const struct deal_shape *s, const int *rows,
                         struct level l)
{
    int64_t total = 0;
    for (int g = l.is; g < l.groups; g += l.among) d->sum[g] = 0;
    for (int b = l.is; b < d->bins; b += l.among) {
        d->sum[b % l.groups] += d->bin[b].cost;
        total += d->bin[b].cost;
    }
    int members = l.groups / l.among;
    while (l.looks < MOST_LOOKS) {
        int top = l.is;
        for (int g = l.is; g < l.groups; g += l.among)
            if (d->sum[g] > d->sum[top]) top = g;
        if (1000 * members * d->sum[top] <= 1001 * total) return;
        struct swap w = find_for_group(d, s, rows, &l, top);
        if (w.give < 0) return;
        int64_t change = change_of(d, s, rows, w);
        d->sum[top] -= change;
        d->sum[w.to % l.groups] += change;
        apply(d, rows, w);
    }
}

void deal_level(struct deal *d, const struct deal_shape *s, const int *rows, int64_t ceiling)
{
    int all = deal_multiple(s);
    level_groups(d, s, rows, (struct level){1, 0, s->pipelines, ceiling, 0});
    for (int p = 0; p < s->pipelines; p++)
        level_groups(d, s, rows, (struct level){s->pipelines, p, all, ceiling, 0});
}
