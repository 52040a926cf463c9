/* Three ways through a row without sorting or weighing all of it: no truncation, the top k, the top
 * p. In each every comparison that decides is of sums in the order in which `exactly` (sampling.c)
 * forms them, or is decided by more than what the sums may differ by. */
#include "model/sampling_large.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "model/weights.h"

/* The widest type first, so that every array is aligned without padding. */
size_t sampling_row_place(struct sampling_row *r, int V, void *scratch)
{
    unsigned char *at = scratch;
    size_t n = (size_t)V;
    int groups = (V + SAMPLING_GROUP - 1) / SAMPLING_GROUP;
    int pieces = (V + SAMPLING_PIECE - 1) / SAMPLING_PIECE;
    size_t bytes = (n + (size_t)pieces) * sizeof(double) + n * sizeof(int) +
                   2 * (size_t)groups * sizeof(float);
    if (!scratch) return bytes;
    *r = (struct sampling_row){.V = V, .groups = groups, .pieces = pieces};
    r->weight = (void *)at;
    r->piece = r->weight + n;
    r->index = (void *)(r->piece + pieces);
    r->group = (void *)(r->index + n);
    r->ranked = r->group + groups;
    return bytes;
}

size_t sampling_scratch(int V)
{
    return sampling_row_place(NULL, V, NULL);
}

/* --- sums of the whole row --- */

/* What the sum over all tokens may differ by from the one in token order, in parts of it: its own
 * error, and a rounding for each addition. */
static double doubt_of(const struct sampling_row *r)
{
    return 3e-11 + 4e-16 * r->V;
}

static double weigh(struct sampling_row *r)
{
    r->ops->sample_weights(r->piece, NULL, r->z, r->most, 1 / (double)r->sampling->temperature,
                           r->V, SAMPLING_PIECE);
    return weights_sum(r->piece, r->pieces);
}

static double weight_at(const struct sampling_row *r, float z)
{
    return weight_of_logit(z, r->most, r->sampling->temperature);
}

/* No truncation: the piece in which the sum is reached, then token by token. */
static int draw_any(struct sampling_row *r)
{
    double total = weigh(r), goal = r->u * total, doubt = doubt_of(r) * total, reached = 0;
    int p = 0;
    while (p < r->pieces - 1 && reached + r->piece[p] <= goal) reached += r->piece[p++];
    for (int v = p * SAMPLING_PIECE; v < r->V; v++) {
        double w = weight_at(r, r->z[v]);
        if (w <= 0) continue;
        if (reached + w > goal)
            return reached < goal - doubt && reached + w > goal + doubt ? v : SAMPLING_UNSURE;
        reached += w;
    }
    return SAMPLING_UNSURE;
}

/* --- candidates: the tokens from some logit on --- */

/* The k-th largest of n numbers, k from 1; they are put in another order. */
static float kth_largest(float *a, int n, int k)
{
    int lo = 0, hi = n - 1, at = k - 1;
    while (lo < hi) {
        float pivot = a[lo + (hi - lo) / 2];
        int i = lo, j = hi;
        while (i <= j) {
            while (a[i] > pivot) i++;
            while (a[j] < pivot) j--;
            if (i > j) break;
            float swap = a[i];
            a[i++] = a[j];
            a[j--] = swap;
        }
        if (at <= j)
            hi = j;
        else if (at >= i)
            lo = i;
        else
            break;
    }
    return a[at];
}

/* A logit that at least k tokens reach: the k-th largest of the groups' largest. */
static float reached_by(struct sampling_row *r, int k)
{
    memcpy(r->ranked, r->group, (size_t)r->groups * sizeof *r->ranked);
    return kth_largest(r->ranked, r->groups, k);
}

/* The candidates in token order, in index, with their weights; returns how many, -1: more than half
 * of all. */
static int gather(struct sampling_row *r, float from)
{
    int m = 0, most = r->V / 2;
    for (int g = 0; g < r->groups; g++) {
        int v = g * SAMPLING_GROUP, end = v + SAMPLING_GROUP < r->V ? v + SAMPLING_GROUP : r->V;
        if (r->group[g] < from) continue;
        if (m + SAMPLING_GROUP > most) return -1;
        for (; v < end; v++)
            if (r->z[v] >= from) {
                r->weight[m] = weight_at(r, r->z[v]);
                r->index[m++] = v;
            }
    }
    return m;
}

/* Does whatever lies below the candidates certainly weigh less than `least`? Weights of different
 * logits may be equal. */
static bool is_behind(const struct sampling_row *r, float from, double least)
{
    return weight_at(r, nextafterf(from, -INFINITY)) * (1 + 1e-15) < least;
}

static int draw_of(const struct sampling_row *r, int m)
{
    return r->index[weights_invert(r->weight, m, r->u)];
}

/* All sums are those of `exactly`, where the others are zeros. */
static int draw_top_k(struct sampling_row *r)
{
    const struct sampling *s = r->sampling;
    if (s->top_k > r->groups) return SAMPLING_UNSURE;
    float from = reached_by(r, s->top_k);
    int m = gather(r, from), *heap = r->index + m;
    if (m < 0) return SAMPLING_UNSURE;
    struct kept kept = weights_keep(r->weight, m, s->top_k, INFINITY, heap);
    if (kept.least > 0 && !is_behind(r, from, kept.least)) return SAMPLING_UNSURE;
    if (s->top_p < 1)
        weights_keep(r->weight, m, m, (double)s->top_p * weights_sum(r->weight, m), heap);
    return draw_of(r, m);
}

/* More candidates than this are bracketed rather than ranked. */
enum { RANKED = 1024 };

/* The sum over all is not that of `exactly`, those of candidates are. More of them until they
 * reach it. */
static int draw_top_p(struct sampling_row *r)
{
    double total = weigh(r), goal = (double)r->sampling->top_p * total;
    double doubt = doubt_of(r) * total;
    for (int k = 16; k <= r->groups; k *= 8) {
        float from = reached_by(r, k);
        int m = gather(r, from);
        if (m < 0 || m > RANKED) break;
        if (weights_sum(r->weight, m) < goal + 2 * doubt) continue;
        struct kept kept = weights_keep(r->weight, m, m, goal, r->index + m);
        bool sure = kept.reached > goal + doubt && (kept.n == 1 || kept.before < goal - doubt);
        return sure && is_behind(r, from, kept.least) ? draw_of(r, m) : SAMPLING_UNSURE;
    }
    return sampling_wide(r, goal, doubt);
}

int sampling_large(struct sampling_row *r)
{
    const struct sampling *s = r->sampling;
    if (!isfinite(r->most) || !isfinite(1 / (double)s->temperature)) return SAMPLING_UNSURE;
    if (s->top_k > 0 && s->top_k < r->V) return draw_top_k(r);
    return s->top_p < 1 ? draw_top_p(r) : draw_any(r);
}
