/* Two passes of dynamic programming over (chunks used, layers used): the least largest chunk, and
 * then, among the splits that keep to it, the most even one. layers^2 x chunks steps each at most:
 * runs that begin earlier cost more, so none is tried beyond one that costs too much already. */
#include "pipeline/split.h"

#include <math.h>
#include <stdlib.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"

/* Costs are measured: sums that differ by less are the same, however they were rounded. */
static const double SAME = 1e-9;

struct layer_split {
    int layers, chunks;
    const double *sum; /* [layers+1] of the layers before */
    double first_extra, last_extra;
};

static double run_cost(const struct layer_split *s, int chunk, int from, int to)
{
    double cost = s->sum[to] - s->sum[from];
    if (chunk == 0) cost += s->first_extra;
    if (chunk == s->chunks - 1) cost += s->last_extra;
    return cost;
}

/* One pass. best[c][i]: of the first i layers on c chunks, the least largest run (limit < 0), or
 * the least sum of squares with no run above the limit. from[c][i] is where the last run begins.
 * Returns the best of all. */
static double pass(const struct layer_split *s, double limit, double *best, int *from)
{
    int n = s->layers + 1;
    for (int i = 0; i < n; i++) best[i] = i == 0 ? 0 : INFINITY;
    for (int c = 1; c <= s->chunks; c++)
        for (int i = 0; i < n; i++) {
            double *at = &best[c * n + i];
            *at = INFINITY;
            for (int j = i - 1; j >= c - 1; j--) { /* later beginnings first: they win when equal */
                double before = best[(c - 1) * n + j], run = run_cost(s, c - 1, j, i);
                double least = limit < 0 ? run : run * run, all = before + least;
                if (limit < 0) all = fmax(before, run);
                if (limit >= 0 && run > limit * (1 + SAME)) break; /* and so are all before it */
                if (least >= *at * (1 - SAME)) break;
                if (all < *at * (1 - SAME)) *at = all, from[c * n + i] = j;
            }
        }
    return best[s->chunks * n + s->layers];
}

/* The limit of the second pass is the least largest cost that the first one found. */
void split_by_cost(int *first, const double *cost, int layers, double first_extra,
                   double last_extra, int chunks)
{
    INVARIANT(chunks >= 1 && chunks <= layers, "%d layers on %d chunks", layers, chunks);
    size_t n = (size_t)layers + 1, cells = n * ((size_t)chunks + 1);
    double *sum = memory_take(n, sizeof *sum, "a split of layers"),
           *best = memory_take(cells, sizeof *best, "a split of layers");
    int *from = memory_take(cells, sizeof *from, "a split of layers");
    struct layer_split s = {layers, chunks, sum, first_extra, last_extra};
    for (int i = 0; i < layers; i++) sum[i + 1] = sum[i] + cost[i];
    double limit = pass(&s, -1, best, from);
    pass(&s, limit, best, from);
    first[chunks] = layers;
    for (int c = chunks; c > 0; c--) first[c - 1] = from[(size_t)c * n + (size_t)first[c]];
    free(sum);
    free(best);
    free(from);
}
