/* A task makes problems, checks answers exactly, and shows how a problem is solved. One generator a
 * file in data/tasks/, one row each in the table. */
#ifndef DUET_TRAINER_DATA_TASK_H
#define DUET_TRAINER_DATA_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include "trainer/data/problem.h"
#include "trainer/data/text.h"
#include "trainer/data/reason.h"

struct span; /* answer.h */

struct task {
    const char *name, *help; /* help: one line on what difficulty means */
    int least_difficulty, most_difficulty;
    bool by_tests; /* answers are programs: verify says REASON_BY_TESTS, problems have tests */
    /* Problem number `index` of a split: a pure function of (options, split, index); the two splits
     * never share a problem (the split is the hash of the problem itself, a tenth held out). */
    void (*make)(struct problem *out, const struct task_options *o, enum split split,
                 uint32_t index);
    /* Grades the text between <answer> and </answer>, any bytes, not empty. What was read of it
     * goes to `read`: its value where it has one, else the text. Answers with the same verdict and
     * the same `read` are the same answer: that is what a majority votes by. */
    enum reason (*verify)(const struct problem *p, struct span answer, struct text *read);
    /* Appends reasoning, "</think><answer>", answer, "</answer>": what follows the prompt's
     * "<think>". */
    void (*demonstrate)(struct text *out, const struct problem *p, const struct task_options *o,
                        struct rng_stream *rng);
    /* Parts of a completion checked one by one, for metrics of the cold start (NULL: none): counts
     * right/total of up to TASK_PARTS kinds, e.g. arithmetic, verdict, copy. */
    const char *const *part_names; /* NULL-terminated */
    void (*parts)(const struct problem *p, const char *completion, size_t n, int right[],
                  int total[]);
};
enum { TASK_PARTS = 4 };

/* Does the answer (n bytes, any) solve the problem? Of programs, which are judged by their tests,
 * only the known one is seen to. */
bool task_right(const struct task *t, const struct problem *p, const char *answer, size_t n);

extern const struct task task_countdown, task_arithmetic, task_equations, task_arithmetic_words,
    task_calculation, task_programs;
/* By TASK_ number of settings.h; NULL for TASK_FILE. */
const struct task *task_find(int number);
/* All of them with what difficulty means, to stdout: `duet help tasks`. */
void tasks_help(void);

#endif
