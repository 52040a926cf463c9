#include "trainer/data/deal.h"

#include <stdbool.h>
#include <string.h>
#include "comm/base/die.h"
#include "model/flops.h"
#include "trainer/data/deal_inside.h"

long deal_linear(const struct dims *d)
{
    double linear = d->L * flops_layer(d) + flops_head(d);
    return (long)(linear / (d->L * flops_attention(d, 1)) + 0.5);
}

int64_t deal_cost(const struct deal_shape *s, int rows)
{
    return (int64_t)rows * s->linear + (int64_t)rows * (rows + 1) / 2;
}

/* --- how many --- */

static int round_up(int n, int multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

enum { MOST_BINS = 1 << 28 }; /* more is refused before it matters, by the caller */

static int ideal_of(const struct deal_shape *s, size_t rows)
{
    size_t bins = (rows + (size_t)s->T_max - 1) / (size_t)s->T_max;
    return bins < MOST_BINS ? (int)bins : MOST_BINS;
}

int deal_bound(const struct deal_shape *s, size_t rows)
{
    /* Emptiest-first leaves any two bins together fuller than one bin: at most twice the ideal
     * count. */
    int bins = 2 * ideal_of(s, rows) + 1;
    long least = (long)s->least * s->pipelines;
    if (least > 2L * MOST_BINS) least = 2L * MOST_BINS;
    return round_up(bins > least ? bins : (int)least, deal_multiple(s)) + deal_multiple(s);
}

/* Arrays in two groups, by what they are counted in: sequences or bins. */
void deal_place(struct deal *d, int max_n, int max_bins, struct arena *a)
{
    size_t n = (size_t)max_n, bins = (size_t)max_bins;
    d->steps = 0;
    d->bin = arena_take_n(a, bins, sizeof *d->bin);
    d->cost = arena_take_n(a, n, sizeof *d->cost);
    d->sum = arena_take_n(a, bins, sizeof *d->sum);
    d->rest = arena_take_n(a, 2 * (size_t)deal_leaves(max_bins), sizeof *d->rest);
    d->sums = arena_take_n(a, 2 * (size_t)deal_leaves(max_bins), sizeof *d->sums);
    int **const of_sequences[] = {&d->bin_of, &d->order, &d->next, &d->best};
    int **const of_bins[] = {&d->by_cost, &d->item, &d->group, &d->number,
                             &d->members, &d->heap, &d->list};
    for (size_t i = 0; i < sizeof of_sequences / sizeof *of_sequences; i++)
        *of_sequences[i] = arena_take_n(a, n, sizeof(int));
    for (size_t i = 0; i < sizeof of_bins / sizeof *of_bins; i++)
        *of_bins[i] = arena_take_n(a, bins, sizeof(int));
}

/* --- filling bins --- */

/* Sequences: the costliest is last, of equals the first. */
static bool less_dear(const struct deal *d, int x, int y)
{
    return d->cost[x] < d->cost[y] || (d->cost[x] == d->cost[y] && x > y);
}

/* The numbers 0 .. n-1, the last by that order first. */
static void order_all(struct deal *d, int *order, int n, deal_before *last)
{
    for (int i = 0; i < n; i++) order[i] = i;
    deal_sort(d, order, n, last);
}

static void bins_clear(struct deal *d)
{
    for (int b = 0; b < d->bins; b++) d->bin[b] = (struct bin){.first = -1};
}

/* Which bin a sequence goes into, of those that have room for it; of equals the first. */
static bool emptiest(const struct deal *d, int x, int y)
{
    int a = d->bin[x].rows, b = d->bin[y].rows;
    return a < b || (a == b && x < y);
}

static bool cheapest(const struct deal *d, int x, int y)
{
    int64_t a = d->bin[x].cost, b = d->bin[y].cost;
    return a < b || (a == b && x < y);
}

static bool fullest(const struct deal *d, int x, int y)
{
    int a = d->bin[x].rows, b = d->bin[y].rows;
    return a > b || (a == b && x < y);
}

static deal_before *const rules[] = {cheapest, fullest, emptiest};

/* The longest first. Bins that lack room for one may have some for a later one, which is shorter:
 * they wait, the emptiest in front. false: they do not fit so. */
static bool fill(struct deal *d, const struct deal_shape *s, deal_before *first, const int *rows,
                 int n)
{
    struct deal_heap open = {d, first, d->heap, d->bins}, full = {d, emptiest, d->item, 0};
    bins_clear(d);
    for (int b = 0; b < d->bins; b++) open.at[b] = b;
    for (int k = 0; k < n; k++) {
        int i = d->order[k], room = s->T_max - rows[i];
        while (full.n > 0 && d->bin[full.at[0]].rows <= room)
            deal_heap_push(&open, deal_heap_pop(&full));
        if (open.n == 0) return false;
        int b = open.at[0];
        deal_bin_add(d, b, i, rows[i]);
        if (d->bin[b].rows <= room)
            deal_heap_down(&open, 0);
        else
            deal_heap_push(&full, deal_heap_pop(&open));
    }
    return true;
}

static int64_t largest_cost(const struct deal *d)
{
    int64_t most = 0;
    for (int b = 0; b < d->bins; b++)
        if (d->bin[b].cost > most) most = d->bin[b].cost;
    return most;
}

/* As bin_of says, the sequences of a bin from the longest on: lengths alone decide what follows,
 * not numbers. */
static void bins_load(struct deal *d, const int *rows, int n)
{
    bins_clear(d);
    for (int k = n - 1; k >= 0; k--)
        deal_bin_add(d, d->bin_of[d->order[k]], d->order[k], rows[d->order[k]]);
}

/* Among the rules that get them in, the one whose costliest bin costs least. */
static bool fill_best(struct deal *d, const struct deal_shape *s, const int *rows, int n)
{
    int64_t least = -1;
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        if (!fill(d, s, rules[r], rows, n)) continue;
        int64_t cost = largest_cost(d);
        if (least >= 0 && cost >= least) continue;
        least = cost;
        memcpy(d->best, d->bin_of, (size_t)n * sizeof *d->best);
    }
    if (least < 0) return false;
    memcpy(d->bin_of, d->best, (size_t)n * sizeof *d->best);
    bins_load(d, rows, n);
    return true;
}

/* Starts at the lower bound and adds bins until everything fits; deal_bound proves that it ends. */
static void fill_fewest(struct deal *d, const struct deal_shape *s, const int *rows, int n,
                        bool plain)
{
    size_t total = 0;
    int alone = 0; /* longer than half a micro-batch: no two of them share one */
    for (int i = 0; i < n; i++) {
        INVARIANT(rows[i] <= s->T_max, "sequence %d has %d rows, a micro-batch %d", i, rows[i],
                  s->T_max);
        total += (size_t)rows[i];
        alone += 2 * (int64_t)rows[i] > s->T_max;
        d->cost[i] = deal_cost(s, rows[i]);
    }
    order_all(d, d->order, n, less_dear);
    int ideal = ideal_of(s, total), least = s->least * s->pipelines;
    int bound = deal_bound(s, total);
    if (alone > ideal) ideal = alone;
    d->bins = round_up(ideal > least ? ideal : least, deal_multiple(s));
    while (!(plain ? fill(d, s, emptiest, rows, n) : fill_best(d, s, rows, n))) {
        d->bins += deal_multiple(s);
        INVARIANT(d->bins <= bound, "%d bins, bound %d", d->bins, bound);
    }
}

/* --- the whole --- */

static double over_mean(const int64_t *sum, int n)
{
    int64_t most = 0, total = 0;
    for (int i = 0; i < n; i++) {
        if (sum[i] > most) most = sum[i];
        total += sum[i];
    }
    return total > 0 ? (double)most * n / (double)total : 1;
}

/* Bins as numbered at last, and how even they are. */
static void conclude(struct deal *d, const struct deal_shape *s, const int *rows, int n)
{
    bins_load(d, rows, n);
    for (int b = 0; b < d->bins; b++) d->sum[b] = d->bin[b].cost;
    d->imbalance = over_mean(d->sum, d->bins);
    int groups[] = {s->pipelines, deal_multiple(s)};
    double *const imbalance[] = {&d->pipelines_imbalance, &d->directions_imbalance};
    for (int k = 0; k < 2; k++) {
        for (int g = 0; g < groups[k]; g++) d->sum[g] = 0;
        for (int b = 0; b < d->bins; b++) d->sum[b % groups[k]] += d->bin[b].cost;
        *imbalance[k] = over_mean(d->sum, groups[k]);
    }
}

/* Fewest bins first, then even ones, then bins to pipelines and directions so that their sums are
 * even. A pure function: every rank deals alike. */
void deal_run(struct deal *d, const struct deal_shape *s, const int *rows, int n)
{
    d->steps = 0;
    fill_fewest(d, s, rows, n, false);
    deal_even_out(d, s, rows);
    order_all(d, d->by_cost, d->bins, deal_less_costly);
    deal_spread(d, s);
    for (int i = 0; i < n; i++) d->bin_of[i] = d->number[d->bin_of[i]];
    bins_load(d, rows, n);
    deal_level(d, s, rows, largest_cost(d));
    conclude(d, s, rows, n);
}

void deal_plainly(struct deal *d, const struct deal_shape *s, const int *rows, int n)
{
    d->steps = 0;
    fill_fewest(d, s, rows, n, true);
    conclude(d, s, rows, n);
}
