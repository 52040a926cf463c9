/* What a step of reinforcement learning tells: metrics, samples, progress. */
#ifndef DUET_TRAINER_PHASES_RL_METRICS_H
#define DUET_TRAINER_PHASES_RL_METRICS_H

#include "trainer/learn/algorithm.h"
#include "trainer/run/run.h"

struct rl_step {
    const struct answer *answer; /* (prompts * samples); their rewards are in scratch */
    int equal;                   /* groups without spread: all rewards equal */
    struct learned learned;
    struct rollout_times rollout;
    double reward_seconds, seconds; /* of grading; of the whole step */
};
/* Collective: the step may end with an evaluation. */
void rl_tell(struct run *r, const struct phase_settings *k, const struct rl_step *s);

#endif
