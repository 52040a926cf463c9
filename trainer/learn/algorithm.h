/* What a phase's settings make of reinforcement learning beside its pieces, which have tables of
 * their own: advantages (advantage.c), losses of the policy (policy.c), aggregations (grpo.c).
 * Algorithms by name are presets of those settings: trainer/config/presets.c. The step that all of
 * them share is trainer/phases/rl.c: sample, grade, advantage, learn. */
#ifndef DUET_TRAINER_LEARN_ALGORITHM_H
#define DUET_TRAINER_LEARN_ALGORITHM_H

#include "trainer/config/settings.h"
#include "trainer/learn/loss.h"

/* A number of a step's line in metrics.jsonl (docs/METRICS.md): a double of struct learned. */
struct algorithm_metric {
    const char *name; /* NULL ends a list */
    size_t at;
    bool (*told)(const struct phase_settings *k); /* NULL: always */
};

extern const struct algorithm_metric algorithm_metrics[];
/* The numbers of the objective of a phase. */
struct objective objective_of(const struct phase_settings *k);

#endif
