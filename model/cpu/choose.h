/* Who goes where in a layer of experts: loops over small numbers, with sums whose order decides
 * bits. There is nothing in them that instructions of a processor would do faster, so both tables,
 * the fast and the plain one, take this text (choose.c). */
#ifndef DUET_MODEL_CPU_CHOOSE_H
#define DUET_MODEL_CPU_CHOOSE_H

#include "model/cpu/real.h"

static bool among(const int *list, int n, int x)
{
    for (int i = 0; i < n; i++)
        if (list[i] == x) return true;
    return false;
}

/* Ties go to the expert with the lower number, on every instruction set. */
static void row_select(float *weight, int *expert, const float *prob, int E, int K, bool normed)
{
    float sum = 0;
    for (int j = 0; j < K; j++) {
        int best = -1;
        for (int e = 0; e < E; e++)
            if (!among(expert, j, e) && (best < 0 || prob[e] > prob[best])) best = e;
        expert[j] = best;
        weight[j] = prob[best];
        sum += prob[best];
    }
    for (int j = 0; normed && j < K; j++) weight[j] /= sum;
}

void OP(router_select)(float *weight, int *expert, const float *prob, int T, int E, int K,
                       bool normed)
{
    for (int t = 0; t < T; t++)
        row_select(weight + t * K, expert + t * K, prob + (size_t)t * (size_t)E, E, K, normed);
}

/* A counting sort. */
void OP(router_sort)(int *at, int *start, const int *expert, int n, int E)
{
    memset(start, 0, (size_t)(E + 1) * sizeof *start);
    for (int i = 0; i < n; i++) start[expert[i] + 1]++;
    for (int e = 0; e < E; e++) start[e + 1] += start[e];
    for (int i = 0; i < n; i++) at[i] = start[expert[i]]++;
    memmove(start + 1, start, (size_t)E * sizeof *start);
    start[0] = 0;
}

/* How often each expert was chosen in sequence s. */
static void sequence_count(int *count, const int *expert, struct segments seg, int s, int E, int K)
{
    memset(count, 0, (size_t)E * sizeof *count);
    for (int i = seg.start[s] * K; i < seg.start[s + 1] * K; i++) count[expert[i]]++;
}

/* E / (K * rows of sequence s): what a choice is worth in the balance, beside its expert's
 * probabilities. */
static double choice_worth(struct segments seg, int s, int E, int K)
{
    return (double)E / ((double)K * (seg.start[s + 1] - seg.start[s]));
}

/* The balance loss sequence by sequence, summed exactly: its value does not depend on the order of
 * sequences or on the ranks that have them. */
void OP(router_load)(uint64_t *chosen, struct exact_sum *balance, int *count, const float *prob,
                     const int *expert, struct segments seg, int E, int K)
{
    for (int s = 0; s < seg.n; s++) {
        double sum = 0;
        sequence_count(count, expert, seg, s, E, K);
        for (int t = seg.start[s]; t < seg.start[s + 1]; t++)
            for (int e = 0; e < E; e++)
                sum += count[e] * (double)prob[(size_t)t * (size_t)E + (size_t)e];
        exact_add(balance, sum * choice_worth(seg, s, E, K));
        for (int e = 0; e < E; e++) chosen[e] += (uint64_t)count[e];
    }
}

/* With p = softmax(z) and loss' = dL/dp (balance * count of every expert, and dweight of the chosen
 * ones): dz = p * (loss' - sum of p * loss'). Weights divided by their sum are the softmax over the
 * chosen logits alone, with a gradient of the same form. `of` is of this row. */
static void row_backward(float *prob, struct chosen of, const int *count, float balance, int E,
                         int K, bool normed)
{
    float chosen = 0, all = 0;
    for (int j = 0; j < K; j++) chosen += of.weight[j] * of.dweight[j];
    for (int e = 0; e < E; e++) all += prob[e] * (balance * (float)count[e]);
    if (!normed) all += chosen;
    for (int e = 0; e < E; e++) prob[e] *= balance * (float)count[e] - all;
    for (int j = 0; j < K; j++)
        prob[of.expert[j]] += of.weight[j] * (of.dweight[j] - (normed ? chosen : 0));
}

/* prob is overwritten by the gradient of the logits. */
void OP(router_backward)(float *prob, const struct chosen *of, float balance, int *count,
                         struct segments seg, int E, int K, bool normed)
{
    for (int s = 0; s < seg.n; s++) {
        float worth = (float)((double)balance * choice_worth(seg, s, E, K));
        sequence_count(count, of->expert, seg, s, E, K);
        for (int t = seg.start[s]; t < seg.start[s + 1]; t++) {
            size_t at = (size_t)t * (size_t)K;
            row_backward(prob + (size_t)t * (size_t)E,
                         (struct chosen){of->expert + at, of->weight + at, of->dweight + at}, count,
                         worth, E, K, normed);
        }
    }
}

#endif
