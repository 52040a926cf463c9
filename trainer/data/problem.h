/* A problem of a task, its split, and the draws that a generator makes it from. */
#ifndef DUET_TRAINER_DATA_PROBLEM_H
#define DUET_TRAINER_DATA_PROBLEM_H

#include <stdbool.h>
#include <stdint.h>
#include "comm/base/rng.h"

enum split { SPLIT_TRAIN, SPLIT_HELDOUT };
enum { PROBLEMS_HELD = 8 }; /* of a file, whose text is in memory: those taken last */

struct problem {
    const char *prompt; /* as the model sees it, without the opening <think> */
    const char *answer; /* one right answer: of the generator, or the data file's */
    /* A file's record and some generators have them, else NULL: what a program is held against, the
     * JSON of the member as it stands; words that say in which languages an answer is wanted. */
    const char *tests, *language;
    long data[8];   /* the task's own numbers */
    long record;    /* task file: place of the record (collection.h) */
    int turns;      /* task file: of a conversation (example.h), 0: it is none */
    bool no_answer; /* task file: it says none; answer is "" */
    /* From a generator: where prompt, answer and tests point, so do not copy it. Those of a file
     * are the source's (source_problem). */
    char own_prompt[64], own_answer[128], own_tests[1024];
};

struct task_options {
    int difficulty;
    double give_up;
    uint64_t seed;
};

uint64_t problem_hash(const char *prompt); /* XXH64, seed 0 */
/* The split that a problem belongs to: held out when its hash divides by 10. */
enum split problem_split(const char *prompt);
/* The draws of problem number `index`: a generator redraws from it until the problem is of the
 * split. */
struct rng_stream problem_draws(const struct task_options *o, enum split split, uint32_t index);

#endif
