/* THE table of reinforcement-learning algorithms: what makes one of them another than its
 * neighbour, a row each. What they share is the step (trainer/phases/rl.c): sample, grade,
 * advantage, learn.
 *
 * The pieces of a row are pure functions of numbers in a file of the algorithm's own (grpo.{h,c}),
 * shared by rows that do not differ in them. Variants that papers name but that differ in a setting
 * only (Dr. GRPO, DAPO's loss) are settings: README.md. */
#ifndef DUET_TRAINER_LEARN_ALGORITHM_H
#define DUET_TRAINER_LEARN_ALGORITHM_H

#include "trainer/config/settings.h"
#include "trainer/learn/denominator.h"
#include "trainer/learn/loss.h"

/* The rewards of a step and what becomes of them: the same on every rank. */
struct groups {
    int n, samples;      /* questions, answers to each (G) */
    const float *reward; /* (n, samples) */
    bool *equal;         /* (n) the rewards of the group are all equal: groups_compare */
    float *advantage;    /* (n, samples) */
};
/* Fills equal; returns how many groups are. Local. */
int groups_compare(const struct groups *g);

/* --- the table --- */

/* A number of a step's line in metrics.jsonl (docs/METRICS.md): a double of struct learned. */
struct algorithm_metric {
    const char *name; /* NULL ends a list */
    size_t at;
    bool (*told)(const struct phase_settings *k); /* NULL: always */
};

struct algorithm {
    const char *name;
    /* g->advantage from g->reward, of all groups of the step at once. Local, allocates nothing. */
    void (*advantage)(const struct groups *g, const struct phase_settings *k);
    /* The loss of an answer: ratio of its tokens or of the whole, clip, KL. */
    const struct loss_shape *loss;
    /* Aggregation: the weight of each token of an answer in the update's loss; 0: the answer is not
     * run. Local. */
    double (*weight)(const struct denominator *d, const struct counting *rule,
                     struct counted_answer a);
    const struct algorithm_metric *metrics; /* in the order of the line */
};
extern const struct algorithm algorithms[ALGORITHMS];
/* The row of a phase: its setting `algorithm`. */
const struct algorithm *algorithm_of(const struct phase_settings *k);
/* The numbers of its objective. */
struct objective objective_of(const struct phase_settings *k);

#endif
