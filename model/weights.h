/* Weights of tokens in token order: the most likely of them kept, their cumulative sum inverted.
 * What sampling does with a whole row, or with a few candidates. */
#ifndef DUET_MODEL_WEIGHTS_H
#define DUET_MODEL_WEIGHTS_H

/* e^((z - most) / temperature) in double; of a NaN 0. */
double weight_of_logit(float z, float most, float temperature);

struct kept {
    int n;
    double reached, before; /* sum of those kept, the largest first; without the last */
    double least;           /* the last */
};
/* Keeps the largest, of equals those with the lower index: at most k of them, and no more than it
 * takes to reach `goal`; at least one. The others become 0. heap: n ints of scratch. */
struct kept weights_keep(double *weight, int n, int k, double goal, int *heap);
double weights_sum(const double *weight, int n);
/* The first index at which the cumulative sum exceeds u of the whole; one of weight 0 never does.
 */
int weights_invert(const double *weight, int n, double u);

#endif
