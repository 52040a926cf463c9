/* What the updates of one step found together: the numbers of its metrics line (docs/METRICS.md).
 */
#ifndef DUET_TRAINER_LEARN_LEARNED_H
#define DUET_TRAINER_LEARN_LEARNED_H

#include "trainer/learn/step.h"

struct learned {
    int updates, skipped; /* computed; of these not made, since the gradient was not finite */
    long tokens, rows;    /* sums */
    double seconds, reduce_seconds, reduce_exposed; /* sums */
    /* NaN while nothing was measured */
    double loss;                              /* mean over the updates */
    double entropy, clip_fraction, kl;        /* means over their tokens */
    double balance;                           /* mean over their rows */
    double bubble_fraction, exposed_fraction; /* means over their seconds */
    double grad_norm, lr;               /* of updates that were made: the mean; the last one's */
    double imbalance, load_max, rounds; /* the largest */
    double first_deviation, later_deviation; /* of the first; the largest of the others */
};
struct learned learned_nothing(void);
/* Local, allocates nothing. One update's numbers alone are its own, bit for bit. */
void learned_add(struct learned *l, const struct step_stats *update);

#endif
