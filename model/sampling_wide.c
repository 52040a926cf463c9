/* A top p that takes too many tokens to rank them: an untrained model's, or a p
 * next to 1. The logit at which the sum is reached is bracketed, from a sample of the row, then by
 * halving; only the last few candidates are ranked. Kept are all tokens above the bracket and the
 * best of those in it. */
#include <math.h>
#include <string.h>

#include "model/sampling_large.h"
#include "model/weights.h"

enum { FEW = 64, HALVINGS = 24 };

/* Logits [from, to), and the sum of all weights from `to` on. Candidates are the tokens between. */
struct bracket {
    float from, to;
    double heavier, goal, doubt;
    int n, *index;
};

/* Every 32nd token: where about `goal` of their sum is reached. */
static float sampled(const struct sampling_row *r, const double *w, int n, double goal)
{
    float from = r->ranked[0], to = r->most;
    for (int i = 1; i < n; i++) from = r->ranked[i] < from ? r->ranked[i] : from;
    if (!(from > to - 1000 * r->sampling->temperature)) from = to - 1000 * r->sampling->temperature;
    for (int i = 0; i < HALVINGS; i++) {
        float mid = from + (to - from) / 2;
        if (r->ops->sample_sum(w, r->ranked, mid, n) >= goal)
            from = mid;
        else
            to = mid;
    }
    return from;
}

static void bracket_guess(struct bracket *b, struct sampling_row *r, double p)
{
    double *w = (void *)r->index, sum = 0; /* not in use yet */
    int n = r->V / SAMPLING_GROUP;
    for (int i = 0; i < n; i++) {
        r->ranked[i] = r->z[i * SAMPLING_GROUP];
        sum += w[i] = r->weight[i * SAMPLING_GROUP];
    }
    b->to = sampled(r, w, n, (p - 0.03) * sum);
    b->from = sampled(r, w, n, (p + 0.03) * sum);
}

/* True sums at the ends; where the guess was wrong the bracket is what lies beyond. */
static void bracket_check(struct bracket *b, const struct sampling_row *r)
{
    double at_to = r->ops->sample_sum(r->weight, r->z, b->to, r->V);
    double at_from = r->ops->sample_sum(r->weight, r->z, b->from, r->V);
    b->heavier = at_to;
    if (at_to >= b->goal) {
        b->from = b->to, b->to = nextafterf(r->most, INFINITY), b->heavier = 0;
    } else if (at_from < b->goal) {
        b->to = b->from, b->heavier = at_from, b->from = -INFINITY;
    }
    b->n = 0, b->index = r->index;
    for (int v = 0; v < r->V; v++) {
        b->index[b->n] = v; /* n <= v: there is room */
        b->n += (r->z[v] >= b->from) & (r->z[v] < b->to);
    }
}

/* Halves the logits of the bracket; false: it cannot be halved. */
static bool bracket_halve(struct bracket *b, const struct sampling_row *r)
{
    float low = r->z[b->index[0]], high = low, mid;
    double upper = b->heavier;
    int n = 0;
    for (int i = 1; i < b->n; i++) {
        float z = r->z[b->index[i]];
        low = z < low ? z : low;
        high = z > high ? z : high;
    }
    mid = low + (high - low) / 2;
    if (!(mid > low)) mid = high;
    if (!(mid > low)) return false;
    for (int i = 0; i < b->n; i++) {
        int v = b->index[i];
        if (r->z[v] < mid) continue;
        upper += r->weight[v];
        b->index[i] = b->index[n];
        b->index[n++] = v;
    }
    if (upper >= b->goal) {
        b->from = mid, b->n = n;
    } else {
        b->to = mid, b->heavier = upper, b->index += n, b->n -= n;
    }
    return true;
}

static double weight_at(const struct sampling_row *r, float z)
{
    return weight_of_logit(z, r->most, r->sampling->temperature);
}

/* Weights just below z are certainly less than `than`. */
static bool is_less(const struct sampling_row *r, float z, double than)
{
    return weight_at(r, nextafterf(z, -INFINITY)) * (1 + 1e-15) < than;
}

static void sort(int *a, int n)
{
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && a[k] < a[k - 1]; k--) {
            int swap = a[k];
            a[k] = a[k - 1];
            a[k - 1] = swap;
        }
}

/* The token at u of what is kept: all from b->to on, and the candidates that have a weight left. */
static int draw(const struct sampling_row *r, const struct bracket *b, const double *left,
                double sum)
{
    double goal = r->u * sum, reached = 0;
    for (int p = 0, c = 0; p < r->pieces; p++) {
        int v = p * SAMPLING_PIECE, next = c;
        int end = v + SAMPLING_PIECE < r->V ? v + SAMPLING_PIECE : r->V;
        double piece = r->ops->sample_sum(r->weight + v, r->z + v, b->to, end - v);
        for (; next < b->n && b->index[next] < end; next++) piece += left[next];
        bool within = reached + piece > goal;
        for (; within && v < end; v++) {
            while (c < b->n && b->index[c] < v) c++;
            double w = c < b->n && b->index[c] == v ? left[c] : 0;
            if (r->z[v] >= b->to) w = weight_at(r, r->z[v]);
            if (w > 0 && reached + w > goal)
                return reached < goal - b->doubt && reached + w > goal + b->doubt ? v
                                                                                  : SAMPLING_UNSURE;
            reached += w;
        }
        if (within) return SAMPLING_UNSURE;
        reached += piece;
        c = next;
    }
    return SAMPLING_UNSURE;
}

/* SAMPLING_UNSURE wherever rounding could decide (doubt): the caller then takes the exact way. */
int sampling_wide(struct sampling_row *r, double goal, double doubt)
{
    struct bracket b = {.goal = goal, .doubt = doubt};
    double left[FEW];
    int heap[FEW];
    r->ops->sample_weights(r->piece, r->weight, r->z, r->most, 1 / (double)r->sampling->temperature,
                           r->V, SAMPLING_PIECE);
    bracket_guess(&b, r, (double)r->sampling->top_p);
    bracket_check(&b, r);
    while (b.n > FEW)
        if (!bracket_halve(&b, r)) return SAMPLING_UNSURE;
    if (b.n == 0) return SAMPLING_UNSURE;
    sort(b.index, b.n);
    for (int i = 0; i < b.n; i++) left[i] = weight_at(r, r->z[b.index[i]]);
    struct kept kept = weights_keep(left, b.n, b.n, goal - b.heavier, heap);
    bool sure = b.heavier + kept.reached > goal + doubt && b.heavier + kept.before < goal - doubt &&
                is_less(r, b.from, kept.least) && is_less(r, b.to, weight_at(r, b.to));
    return sure ? draw(r, &b, left, b.heavier + kept.reached) : SAMPLING_UNSURE;
}
