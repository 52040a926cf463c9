/* Sampling as it is defined: every token weighed in double, a heap for the most likely ones, sums
 * in token order. The oracle of model/sampling.c. Header only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_PLAIN_SAMPLING_H
#define DUET_TESTS_SUPPORT_PLAIN_SAMPLING_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "model/sampling.h"

/* The lowest of the largest; a NaN is never the largest. */
static inline int plain_largest(const float *logits, int V)
{
    int best = -1;
    for (int v = 0; v < V; v++)
        if (!isnan(logits[v]) && (best < 0 || logits[v] > logits[best])) best = v;
    return best;
}

static inline void plain_fill_weights(double *weight, const float *logits, int V, float max,
                                      float temperature)
{
    for (int v = 0; v < V; v++) {
        double below = (double)logits[v] - (double)max; /* NaN: a NaN logit, or both infinite */
        weight[v] = logits[v] == max ? 1 : below < 0 ? exp(below / (double)temperature) : 0;
    }
}

/* The heap's order: more likely first, the lower token first among equals. */
static inline bool plain_before(const double *weight, int a, int b)
{
    return a < b ? weight[a] >= weight[b] : weight[a] > weight[b];
}

static inline void plain_sift(int *heap, int n, int i, const double *weight)
{
    for (;;) {
        int first = i;
        for (int child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (plain_before(weight, heap[child], heap[first])) first = child;
        if (first == i) return;
        int swap = heap[i];
        heap[i] = heap[first];
        heap[first] = swap;
        i = first;
    }
}

static inline int plain_heap_pop(int *heap, int *n, const double *weight)
{
    int top = heap[0];
    heap[0] = heap[--*n];
    heap[*n] = top;
    plain_sift(heap, *n, 0, weight);
    return top;
}

static inline double plain_sum(const double *weight, int V)
{
    double s = 0;
    for (int v = 0; v < V; v++) s += weight[v];
    return s;
}

/* Keeps the most likely tokens: at most k of them, and no more than it takes to weigh `goal`. At
 * least one. */
static inline void plain_keep_best(double *weight, int V, int k, double goal, int *heap)
{
    int n = V;
    double reached = 0;
    for (int v = 0; v < V; v++) heap[v] = v;
    for (int i = V / 2 - 1; i >= 0; i--) plain_sift(heap, V, i, weight);
    do reached += weight[plain_heap_pop(heap, &n, weight)];
    while (V - n < k && reached < goal);
    for (int i = 0; i < n; i++) weight[heap[i]] = 0;
}

/* The first token whose cumulative weight exceeds u of the whole; one of weight 0 never does. */
static inline int plain_invert(const double *weight, int V, double u)
{
    double goal = u * plain_sum(weight, V), reached = 0;
    int last = -1;
    for (int v = 0; v < V; v++) {
        if (weight[v] <= 0) continue;
        reached += weight[v];
        last = v;
        if (reached > goal) return v;
    }
    return last; /* for u = 1 only: below it the product rounds to less than the sum */
}

static inline int plain_sample_token(const float *logits, int V, const struct sampling *s, double u)
{
    int best = plain_largest(logits, V);
    if (s->temperature <= 0) return best;
    double *weight = malloc((size_t)V * 12);
    plain_fill_weights(weight, logits, V, logits[best], s->temperature);
    void *behind = weight + V;
    int *heap = behind;
    if (s->top_k > 0 && s->top_k < V) plain_keep_best(weight, V, s->top_k, INFINITY, heap);
    if (s->top_p < 1) plain_keep_best(weight, V, V, (double)s->top_p * plain_sum(weight, V), heap);
    int token = plain_invert(weight, V, u);
    free(weight);
    return token;
}

#endif
