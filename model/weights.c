/* A binary heap finds the largest, as few of them are needed. */
#include "model/weights.h"

#include <math.h>
#include <stdbool.h>

double weight_of_logit(float z, float most, float temperature)
{
    double below = (double)z - (double)most; /* NaN: a NaN logit, or both infinite */
    return z == most ? 1 : below < 0 ? exp(below / (double)temperature) : 0;
}

/* The heap's order: more likely first, the lower token first among equals. */
static bool before(const double *weight, int a, int b)
{
    return a < b ? weight[a] >= weight[b] : weight[a] > weight[b];
}

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

double weights_sum(const double *weight, int n)
{
    double s = 0;
    for (int v = 0; v < n; v++) s += weight[v];
    return s;
}

/* A heap gives them largest first without sorting those that are dropped. */
struct kept weights_keep(double *weight, int n, int k, double goal, int *heap)
{
    struct kept kept = {0};
    int left = n;
    for (int v = 0; v < n; v++) heap[v] = v;
    for (int i = n / 2 - 1; i >= 0; i--) sift(heap, n, i, weight);
    do {
        kept.before = kept.reached;
        kept.least = weight[heap_pop(heap, &left, weight)];
        kept.reached += kept.least;
    } while (n - left < k && kept.reached < goal);
    for (int i = 0; i < left; i++) weight[heap[i]] = 0;
    kept.n = n - left;
    return kept;
}

int weights_invert(const double *weight, int n, double u)
{
    double goal = u * weights_sum(weight, n), reached = 0;
    int last = -1;
    for (int v = 0; v < n; v++) {
        if (weight[v] <= 0) continue;
        reached += weight[v];
        last = v;
        if (reached > goal) return v;
    }
    return last; /* for u = 1 only: below it the product rounds to less than the sum */
}
