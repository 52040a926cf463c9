/* Bins over pipelines, then those of a pipeline over its directions: equally many a group, nearly
 * equal sums. The costliest goes into the cheapest group with room; then two change places as long
 * as that lowers the costliest group. */
#include "trainer/data/deal_inside.h"

/* Numbers of which the least of any run is known at once: node k has its children at 2k and 2k + 1,
 * leaf i is at leaves + i. */
struct least {
    int64_t *at;
    int leaves; /* a power of 2 */
};
#define NEVER (INT64_MAX / 4) /* costs more than anything */

/* Items 0 .. n-1, by falling cost, in groups of `each`. Those of group g, in their order, are
 * d->list[g * each ...]. */
struct groups {
    struct deal *d;
    const int *item;          /* (n) the bin that each item is */
    int n, groups, each, top; /* top: the costliest group, the first of them */
    struct least rest; /* of items: what the others of its group cost; NEVER in the costliest */
    struct least sums; /* of groups: what they cost, below zero */
};

static bool cheaper_group(const struct deal *d, int x, int y)
{
    return d->sum[x] < d->sum[y] || (d->sum[x] == d->sum[y] && x < y);
}

static int64_t cost_of(const struct groups *s, int i)
{
    return s->d->bin[s->item[i]].cost;
}

/* The next item to the group that costs least and has room: items come the costliest first. */
static void fill_groups(struct groups *s)
{
    struct deal *d = s->d;
    struct deal_heap open = {d, cheaper_group, d->heap, s->groups}; /* those with room */
    for (int g = 0; g < s->groups; g++) d->sum[g] = d->members[g] = 0, d->heap[g] = g;
    for (int i = 0; i < s->n; i++) {
        int best = open.at[0];
        d->group[i] = best;
        d->list[best * s->each + d->members[best]++] = i;
        d->sum[best] += cost_of(s, i);
        if (d->members[best] == s->each)
            deal_heap_pop(&open);
        else
            deal_heap_down(&open, 0);
    }
}

/* --- the least of a run --- */

int deal_leaves(int n)
{
    int leaves = 1;
    while (leaves < n) leaves *= 2;
    return leaves;
}

static struct least least_of(int64_t *room, int n)
{
    struct least l = {room, deal_leaves(n)};
    for (int k = 1; k < 2 * l.leaves; k++) l.at[k] = NEVER;
    return l;
}

static void least_set(struct groups *s, struct least *l, int i, int64_t x)
{
    int k = l->leaves + i;
    for (l->at[k] = x; k > 1; s->d->steps++) {
        k /= 2;
        l->at[k] = l->at[2 * k] < l->at[2 * k + 1] ? l->at[2 * k] : l->at[2 * k + 1];
    }
}

/* The first from `from` on that is at most x; there is one. */
static int least_find(const struct least *l, int from, int64_t x)
{
    int k = l->leaves + from;
    while (l->at[k] > x) { /* up to the next run on the right, until there is one in it */
        while (k % 2 == 1) k /= 2;
        k++;
    }
    while (k < l->leaves) k = 2 * k + (l->at[2 * k] > x);
    return k - l->leaves;
}

/* --- trades --- */

static void set_rests(struct groups *s, int g)
{
    const int *list = s->d->list + g * s->each;
    for (int k = 0; k < s->each; k++)
        least_set(s, &s->rest, list[k], g == s->top ? NEVER : s->d->sum[g] - cost_of(s, list[k]));
}

static void find_top(struct groups *s)
{
    s->top = least_find(&s->sums, 0, s->sums.at[1]);
    set_rests(s, s->top);
}

/* What the costlier of two groups costs at best when item i leaves the costliest. With item j in
 * its place they cost `kept` + cost of j, falling with j, and cost of i + rest of j; the least such
 * rest from j on rises. So the best is where the one comes to be more than the other. */
static int64_t best_of(struct groups *s, int i)
{
    const struct least *l = &s->rest;
    int64_t gone = cost_of(s, i), kept = s->d->sum[s->top] - gone, behind = NEVER;
    int k = 1, lo = 0;
    for (int width = l->leaves / 2; k < l->leaves; width /= 2, s->d->steps++) {
        int mid = lo + width;
        int64_t right = l->at[2 * k + 1] < behind ? l->at[2 * k + 1] : behind;
        bool before = mid >= s->n || gone + right >= kept + cost_of(s, mid);
        k = 2 * k + !before;
        if (before)
            behind = right;
        else
            lo = mid;
    }
    int64_t here = l->at[k] < behind ? l->at[k] : behind;
    if (gone + here < kept + cost_of(s, lo)) lo++, here = behind;
    int64_t one = lo > 0 ? kept + cost_of(s, lo - 1) : NEVER, other = gone + here;
    return one < other ? one : other;
}

/* The first item that costs at most x. */
static int first_at_most(const struct groups *s, int64_t x)
{
    int lo = 0, hi = s->n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (cost_of(s, mid) <= x)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* In the place of one item another, where it stands by number. */
static void replace(const struct groups *s, int g, int old, int new)
{
    int *list = s->d->list + g * s->each, k = 0;
    while (list[k] != old) k++;
    for (; k > 0 && list[k - 1] > new; k--) list[k] = list[k - 1];
    for (; k + 1 < s->each && list[k + 1] < new; k++) list[k] = list[k + 1];
    list[k] = new;
    s->d->group[new] = g;
}

/* Everything that follows from the sums of the two groups is made anew, nothing else. */
static void change_places(struct groups *s, int give, int take)
{
    struct deal *d = s->d;
    int64_t change = cost_of(s, give) - cost_of(s, take);
    int top = s->top, other = d->group[take];
    d->sum[top] -= change;
    d->sum[other] += change;
    replace(s, top, give, take);
    replace(s, other, take, give);
    least_set(s, &s->sums, top, -d->sum[top]);
    least_set(s, &s->sums, other, -d->sum[other]);
    find_top(s);
    set_rests(s, top);
    set_rests(s, other);
}

/* An item of the costliest group for one of another, so that the costlier of the two costs least:
 * of equals the first to be given, then the first to be taken. false: nothing lowers it. */
static bool trade(struct groups *s)
{
    int64_t before = s->d->sum[s->top], best = before;
    const int *list = s->d->list + s->top * s->each;
    int give = -1;
    for (int k = 0; k < s->each; k++) {
        int64_t costs = best_of(s, list[k]);
        if (costs < best) best = costs, give = list[k];
    }
    if (give < 0) return false;
    int from = first_at_most(s, best - (before - cost_of(s, give)));
    change_places(s, give, least_find(&s->rest, from, best - cost_of(s, give)));
    return true;
}

/* d->group[i] of item[i], i < n. */
static void spread(struct deal *d, const int *item, int n, int groups)
{
    struct groups s = {.d = d, .item = item, .n = n, .groups = groups, .each = n / groups};
    fill_groups(&s);
    s.rest = least_of(d->rest, n);
    s.sums = least_of(d->sums, groups);
    for (int g = 0; g < groups; g++) least_set(&s, &s.sums, g, -d->sum[g]);
    s.top = -1;
    for (int g = 0; g < groups; g++) set_rests(&s, g);
    find_top(&s);
    for (int trades = 0; trades < n && trade(&s); trades++) {
    }
}

/* --- the two levels --- */

/* Leaves in `item` the bins of pipeline 0, those of 1, ...: each by falling cost. */
static void spread_over_pipelines(struct deal *d, const struct deal_shape *s)
{
    spread(d, d->by_cost, d->bins, s->pipelines);
    for (int k = 0; k < d->bins; k++) d->item[k] = d->by_cost[d->list[k]];
}

static void spread_over_directions(struct deal *d, const struct deal_shape *s, int pipeline)
{
    int n = d->bins / s->pipelines, each = n / s->directions;
    const int *item = d->item + pipeline * n;
    spread(d, item, n, s->directions);
    for (int r = 0, k = 0; r < s->directions; r++)
        for (int i = 0; i < each; i++, k++)
            d->number[item[d->list[k]]] = (i * s->directions + r) * s->pipelines + pipeline;
}

void deal_spread(struct deal *d, const struct deal_shape *s)
{
    spread_over_pipelines(d, s);
    for (int p = 0; p < s->pipelines; p++) spread_over_directions(d, s, p);
}
