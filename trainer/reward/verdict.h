/* The verdict on a completion: is its answer right, why not, what was read of it, and which
 * answers are the same to a vote. */
#ifndef DUET_TRAINER_REWARD_VERDICT_H
#define DUET_TRAINER_REWARD_VERDICT_H

#include <stdbool.h>
#include <stdint.h>
#include "trainer/data/task.h"

struct verdict {
    enum reason why; /* right, or the first thing that is wrong */
    uint64_t vote;  /* equal for answers with the same verdict and the same reading; 0: no answer */
    bool has_read;  /* there is an answer */
    char read[256]; /* its value where it has one, else its text, as far as it fits */
};

/* The verdict of a task's verifier, or of exact.h for a problem of a file (task NULL), on the
 * last <answer> of a completion (what follows the prompt's "<think>", any bytes). truncated: it
 * was cut at the limit. Local, allocates nothing. */
struct verdict verdict_of(const struct task *task, const struct problem *p, struct span completion,
                          bool truncated);

/* The same for a problem of a file by the value of the answer (math.h, whose rules also say which
 * part of the completion that is). Votes are equal for equal values. Local; FLINT allocates. */
struct verdict verdict_by_value(const struct problem *p, struct span completion, bool truncated);

#endif
