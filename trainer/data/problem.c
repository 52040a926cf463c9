#include "trainer/data/problem.h"

#include <string.h>
#include "comm/base/checksum.h"

uint64_t problem_hash(const char *prompt)
{
    return checksum(prompt, strlen(prompt), 0);
}

enum split problem_split(const char *prompt)
{
    return problem_hash(prompt) % 10 == 0 ? SPLIT_HELDOUT : SPLIT_TRAIN;
}

struct rng_stream problem_draws(const struct task_options *o, enum split split, uint32_t index)
{
    return (struct rng_stream){o->seed,
                               {.purpose = RNG_PROBLEM, .step = (uint32_t)split, .prompt = index}};
}
