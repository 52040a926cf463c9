/* The score of the recipe's own reward model: its scalar head where an answer's end is predicted.
 * The phase asks it (trainer/phases/model_reward.c), since it takes the model's passes. */
#include "trainer/reward/grader.h"

static double weight(const struct phase_settings *k)
{
    return k->reward_model;
}

const struct grader grader_model = {.name = "model",
                                    .help = "the score of the recipe's own reward model",
                                    .weight = weight,
                                    .by_model = true};
