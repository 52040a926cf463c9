/* A token from logits: weights exp((logit - max) / temperature) in double, the least likely set to
 * 0 by top-k and top-p, the cumulative sum inverted in token order. A binary heap finds the most
 * likely tokens, as few of them are needed. */
#include "model/sampling.h"

#include <math.h>
#include <stdbool.h>

#include "comm/base/die.h"

/* The lowest of the largest; a NaN is never the largest. */
static int largest(const float *logits, int V)
{
    int best = -1;
    for (int v = 0; v < V; v++)
        if (!isnan(logits[v]) && (best < 0 || logits[v] > logits[best])) best = v;
    SYS_OK(best >= 0 && logits[best] > -INFINITY,
           "the weights have diverged: resume from an earlier checkpoint with a lower lr or "
           "weight_decay",
           "none of the %d logits is a number", V);
    return best;
}

static void fill_weights(double *weight, const float *logits, int V, float max, float temperature)
{
    for (int v = 0; v < V; v++) {
        double below = (double)logits[v] - (double)max; /* NaN: a NaN logit, or both infinite */
        weight[v] = logits[v] == max ? 1 : below < 0 ? exp(below / (double)temperature) : 0;
    }
}

/* The heap's order: more likely first, the lower token first among equals. */
static bool before(const double *weight, int a, int b)
{
    return a < b ? weight[a] >= weight[b] : weight[a] > weight[b];
}

/* A heap of indices by weight: only as much is sorted as top_k or top_p needs. */
static void sift(int *heap, int n, int i, const double *weight)
{
    for (;;) {
        int first = i;
        for (int child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (before(weight, heap[child], heap[first])) first = child;
        if (first == i) return;
        int swap = heap[i];
        heap[i] = heap[first];
        heap[first] = swap;
        i = first;
    }
}

static int heap_pop(int *heap, int *n, const double *weight)
{
    int top = heap[0];
    heap[0] = heap[--*n];
    heap[*n] = top;
    sift(heap, *n, 0, weight);
    return top;
}

static double sum(const double *weight, int V)
{
    double s = 0;
    for (int v = 0; v < V; v++) s += weight[v];
    return s;
}

/* Keeps the most likely tokens: at most k of them, and no more than it takes to weigh `goal`. At
 * least one. */
static void keep_best(double *weight, int V, int k, double goal, int *heap)
{
    int n = V;
    double reached = 0;
    for (int v = 0; v < V; v++) heap[v] = v;
    for (int i = V / 2 - 1; i >= 0; i--) sift(heap, V, i, weight);
    do reached += weight[heap_pop(heap, &n, weight)];
    while (V - n < k && reached < goal);
    for (int i = 0; i < n; i++) weight[heap[i]] = 0;
}

/* The first token whose cumulative weight exceeds u of the whole; one of weight 0 never does. */
static int invert(const double *weight, int V, double u)
{
    double goal = u * sum(weight, V), reached = 0;
    int last = -1;
    for (int v = 0; v < V; v++) {
        if (weight[v] <= 0) continue;
        reached += weight[v];
        last = v;
        if (reached > goal) return v;
    }
    return last; /* for u = 1 only: below it the product rounds to less than the sum */
}

int sample_token(const float *logits, int V, const struct sampling *s, double u, void *scratch)
{
    int best = largest(logits, V);
    if (s->temperature <= 0) return best;
    double *weight = scratch;
    fill_weights(weight, logits, V, logits[best], s->temperature);
    void *behind = weight + V;
    int *heap = behind;
    if (s->top_k > 0 && s->top_k < V) keep_best(weight, V, s->top_k, INFINITY, heap);
    if (s->top_p < 1) keep_best(weight, V, V, (double)s->top_p * sum(weight, V), heap);
    return invert(weight, V, u);
}
