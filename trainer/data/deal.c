#include "trainer/data/deal.h"

#include <stdbool.h>
#include <string.h>
#include "comm/base/die.h"
#include "model/flops.h"

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

static int multiple_of(const struct deal_shape *s)
{
    return s->pipelines * s->directions;
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
    return round_up(bins > least ? bins : (int)least, multiple_of(s)) + multiple_of(s);
}

/* Arrays in two groups, by what they are counted in: sequences or bins. */
void deal_place(struct deal *d, int max_n, int max_bins, struct arena *a)
{
    size_t n = (size_t)max_n, bins = (size_t)max_bins, most = n > bins ? n : bins;
    d->bin = arena_take_n(a, bins, sizeof *d->bin);
    d->cost = arena_take_n(a, most, sizeof *d->cost);
    d->sum = arena_take_n(a, bins, sizeof *d->sum);
    int **const of_sequences[] = {&d->bin_of, &d->order, &d->next, &d->best};
    int **const of_bins[] = {&d->by_cost, &d->item, &d->group, &d->number, &d->members, &d->heap};
    for (size_t i = 0; i < sizeof of_sequences / sizeof *of_sequences; i++)
        *of_sequences[i] = arena_take_n(a, n, sizeof(int));
    for (size_t i = 0; i < sizeof of_bins / sizeof *of_bins; i++)
        *of_bins[i] = arena_take_n(a, bins, sizeof(int));
}

/* --- filling bins --- */

/* The numbers 0 .. n-1 by falling cost, equals by number. (A library's sort may allocate.) */
static void order_by_cost(int *order, const int64_t *cost, int n)
{
    for (int i = 0; i < n; i++) order[i] = i;
    int gap = 1;
    while (gap < n / 3) gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3)
        for (int i = gap; i < n; i++) {
            int x = order[i], j = i;
            for (; j >= gap; j -= gap) {
                int y = order[j - gap];
                if (cost[y] > cost[x] || (cost[y] == cost[x] && y < x)) break;
                order[j] = y;
            }
            order[j] = x;
        }
}

static void bin_add(struct deal *d, const struct deal_shape *s, int b, int i, int rows)
{
    struct bin *bin = &d->bin[b];
    d->bin_of[i] = b;
    d->next[i] = bin->first;
    bin->first = i;
    bin->rows += rows;
    bin->cost += deal_cost(s, rows);
}

static void bin_remove(struct deal *d, const struct deal_shape *s, int i, int rows)
{
    struct bin *bin = &d->bin[d->bin_of[i]];
    int *at = &bin->first;
    while (*at != i) at = &d->next[*at];
    *at = d->next[i];
    bin->rows -= rows;
    bin->cost -= deal_cost(s, rows);
}

static void bins_clear(struct deal *d)
{
    for (int b = 0; b < d->bins; b++) d->bin[b] = (struct bin){.first = -1};
}

/* Which bin a sequence goes into; -1: there is no room in it. */
static int emptiest(const struct deal *d, int rows, int T_max)
{
    int best = 0;
    for (int b = 1; b < d->bins; b++)
        if (d->bin[b].rows < d->bin[best].rows) best = b;
    return d->bin[best].rows + rows <= T_max ? best : -1;
}

static int cheapest(const struct deal *d, int rows, int T_max)
{
    int best = -1;
    for (int b = 0; b < d->bins; b++)
        if (d->bin[b].rows + rows <= T_max && (best < 0 || d->bin[b].cost < d->bin[best].cost))
            best = b;
    return best;
}

static int fullest(const struct deal *d, int rows, int T_max)
{
    int best = -1;
    for (int b = 0; b < d->bins; b++)
        if (d->bin[b].rows + rows <= T_max && (best < 0 || d->bin[b].rows > d->bin[best].rows))
            best = b;
    return best;
}

typedef int rule(const struct deal *d, int rows, int T_max);
static rule *const rules[] = {cheapest, fullest, emptiest};

/* The longest first. false: they do not fit so. */
static bool fill(struct deal *d, const struct deal_shape *s, rule *choose, const int *rows, int n)
{
    bins_clear(d);
    for (int k = 0; k < n; k++) {
        int i = d->order[k], b = choose(d, rows[i], s->T_max);
        if (b < 0) return false;
        bin_add(d, s, b, i, rows[i]);
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
static void bins_load(struct deal *d, const struct deal_shape *s, const int *rows, int n)
{
    bins_clear(d);
    for (int k = n - 1; k >= 0; k--)
        bin_add(d, s, d->bin_of[d->order[k]], d->order[k], rows[d->order[k]]);
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
    bins_load(d, s, rows, n);
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
    order_by_cost(d->order, d->cost, n);
    int ideal = ideal_of(s, total), least = s->least * s->pipelines;
    int bound = deal_bound(s, total);
    if (alone > ideal) ideal = alone;
    d->bins = round_up(ideal > least ? ideal : least, multiple_of(s));
    while (!(plain ? fill(d, s, emptiest, rows, n) : fill_best(d, s, rows, n))) {
        d->bins += multiple_of(s);
        INVARIANT(d->bins <= bound, "%d bins, bound %d", d->bins, bound);
    }
}

/* --- evening out: a sequence moves to a cheaper bin, or changes places with one of its sequences
 * --- */

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
    int back = w.take < 0 ? 0 : rows[w.take], r = rows[w.give] - back;
    if (r <= 0 || d->bin[w.to].rows + r > s->T_max) return 0;
    return deal_cost(s, rows[w.give]) - deal_cost(s, back);
}

static void consider(struct swap *best, const struct deal *d, const struct deal_shape *s,
                     const int *rows, struct swap new)
{
    int64_t change = change_of(d, s, rows, new);
    if (change == 0) return;
    int64_t a = d->bin[d->bin_of[new.give]].cost - change, b = d->bin[new.to].cost + change;
    new.top = a > b ? a : b;
    if (new.top < best->top) *best = new;
}

/* The best that can be done for bin b; top is its present cost when there is nothing. */
static struct swap find_swap(const struct deal *d, const struct deal_shape *s, const int *rows,
                             int b, long *looks)
{
    struct swap best = {-1, -1, -1, d->bin[b].cost};
    for (int i = d->bin[b].first; i >= 0; i = d->next[i])
        for (int to = 0; to < d->bins; to++) {
            if (d->bin[to].cost >= d->bin[b].cost) continue;
            consider(&best, d, s, rows, (struct swap){i, -1, to, 0});
            for (int j = d->bin[to].first; j >= 0; j = d->next[j], ++*looks)
                consider(&best, d, s, rows, (struct swap){i, j, to, 0});
        }
    return best;
}

static void apply(struct deal *d, const struct deal_shape *s, const int *rows, struct swap w)
{
    int from = d->bin_of[w.give];
    bin_remove(d, s, w.give, rows[w.give]);
    if (w.take >= 0) bin_remove(d, s, w.take, rows[w.take]);
    bin_add(d, s, w.to, w.give, rows[w.give]);
    if (w.take >= 0) bin_add(d, s, from, w.take, rows[w.take]);
}

static void order_bins(struct deal *d)
{
    for (int b = 0; b < d->bins; b++) d->cost[b] = d->bin[b].cost;
    order_by_cost(d->by_cost, d->cost, d->bins);
}

/* Rounds over the bins, the costliest first, until none can be helped. The sum of squares falls
 * with every swap, so it ends. */
static void even_out(struct deal *d, const struct deal_shape *s, const int *rows)
{
    long looks = 0;
    for (bool better = true; better && looks < MOST_LOOKS;) {
        better = false;
        order_bins(d);
        for (int k = 0; k < d->bins && looks < MOST_LOOKS; k++) {
            struct swap w = find_swap(d, s, rows, d->by_cost[k], &looks);
            if (w.give < 0) continue;
            apply(d, s, rows, w);
            better = true;
        }
    }
}

/* --- over pipelines, then over the directions of each: equally many bins, nearly equal sums --- */

/* Two of the n items in groups changes places when that lowers the costliest group. */
static bool trade(struct deal *d, const int *item, int n, int groups)
{
    int top = 0, give = -1, take = -1;
    for (int g = 1; g < groups; g++)
        if (d->sum[g] > d->sum[top]) top = g;
    int64_t least = d->sum[top];
    for (int i = 0; i < n; i++)
        for (int j = 0; d->group[i] == top && j < n; j++) {
            int64_t change = d->bin[item[i]].cost - d->bin[item[j]].cost;
            int64_t a = d->sum[top] - change, b = d->sum[d->group[j]] + change;
            if (d->group[j] == top || (a > b ? a : b) >= least) continue;
            least = a > b ? a : b;
            give = i;
            take = j;
        }
    if (give < 0) return false;
    int64_t change = d->bin[item[give]].cost - d->bin[item[take]].cost;
    int to = d->group[take];
    d->sum[top] -= change;
    d->sum[to] += change;
    d->group[give] = to;
    d->group[take] = top;
    return true;
}

/* The heap of groups with room: the cheapest on top, of equals the first. heap[at] may be too dear
 * for its place. */
static void sift(struct deal *d, int n, int at)
{
    for (int least = at;; at = least) {
        for (int c = 2 * at + 1; c <= 2 * at + 2 && c < n; c++) {
            int x = d->heap[c], y = d->heap[least];
            if (d->sum[x] < d->sum[y] || (d->sum[x] == d->sum[y] && x < y)) least = c;
        }
        if (least == at) return;
        int x = d->heap[at];
        d->heap[at] = d->heap[least];
        d->heap[least] = x;
    }
}

/* group[i] of item[i], i < n, the costliest first into the cheapest group with room. */
static void spread(struct deal *d, const int *item, int n, int groups)
{
    int room = groups; /* the number of groups that have some */
    for (int g = 0; g < groups; g++) d->sum[g] = d->members[g] = 0, d->heap[g] = g;
    for (int i = 0; i < n; i++) {
        int best = d->heap[0];
        d->group[i] = best;
        d->sum[best] += d->bin[item[i]].cost;
        if (++d->members[best] == n / groups) d->heap[0] = d->heap[--room];
        sift(d, room, 0);
    }
    for (int trades = 0; trades < n && trade(d, item, n, groups); trades++) {
    }
}

/* Leaves in `item` the bins of pipeline 0, those of 1, ...: each by falling cost. */
static void spread_over_pipelines(struct deal *d, const struct deal_shape *s)
{
    int each = d->bins / s->pipelines;
    spread(d, d->by_cost, d->bins, s->pipelines);
    for (int p = 0; p < s->pipelines; p++) d->members[p] = 0;
    for (int i = 0; i < d->bins; i++) {
        int p = d->group[i];
        d->item[p * each + d->members[p]++] = d->by_cost[i];
    }
}

static void spread_over_directions(struct deal *d, const struct deal_shape *s, int pipeline)
{
    int n = d->bins / s->pipelines;
    const int *item = d->item + pipeline * n;
    spread(d, item, n, s->directions);
    for (int g = 0; g < s->directions; g++)
        for (int i = 0, k = 0; i < n; i++)
            if (d->group[i] == g)
                d->number[item[i]] = (k++ * s->directions + g) * s->pipelines + pipeline;
}

/* --- evening out pipelines and directions once more, by single sequences --- */

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
static struct swap find_for_group(const struct deal *d, const struct deal_shape *s, const int *rows,
                                  struct level *l, int top)
{
    struct swap best = {-1, -1, -1, d->sum[top]};
    for (int b = top; b < d->bins; b += l->groups)
        for (int i = d->bin[b].first; i >= 0; i = d->next[i])
            for (int to = l->is; to < d->bins; to += l->among) {
                if (to % l->groups == top) continue;
                consider_group(&best, d, s, rows, l, (struct swap){i, -1, to, 0});
                for (int j = d->bin[to].first; j >= 0; j = d->next[j], l->looks++)
                    consider_group(&best, d, s, rows, l, (struct swap){i, j, to, 0});
            }
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
        apply(d, s, rows, w);
    }
}

/* --- */

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
    bins_load(d, s, rows, n);
    for (int b = 0; b < d->bins; b++) d->sum[b] = d->bin[b].cost;
    d->imbalance = over_mean(d->sum, d->bins);
    int groups[] = {s->pipelines, multiple_of(s)};
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
    fill_fewest(d, s, rows, n, false);
    even_out(d, s, rows);
    order_bins(d);
    spread_over_pipelines(d, s);
    for (int p = 0; p < s->pipelines; p++) spread_over_directions(d, s, p);
    for (int i = 0; i < n; i++) d->bin_of[i] = d->number[d->bin_of[i]];
    bins_load(d, s, rows, n);
    int64_t ceiling = largest_cost(d);
    level_groups(d, s, rows, (struct level){1, 0, s->pipelines, ceiling, 0});
    for (int p = 0; p < s->pipelines; p++)
        level_groups(d, s, rows, (struct level){s->pipelines, p, multiple_of(s), ceiling, 0});
    conclude(d, s, rows, n);
}

void deal_plainly(struct deal *d, const struct deal_shape *s, const int *rows, int n)
{
    fill_fewest(d, s, rows, n, true);
    conclude(d, s, rows, n);
}
